"""Which files are pictures and which are videos: told by what is in them, in this one place.

Where a file is not there yet, or its beginning says nothing, the name has to do: reading it will say what is wrong.
"""

from __future__ import annotations

import mimetypes
import struct
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from PIL import Image

PICTURE, VIDEO = "image", "video"

_LOOKED_AT = 4096  # bytes at the beginning
_TS_PACKETS = {0: 188, 4: 192}
"""MPEG transport streams: where the first packet begins, and how many bytes apart they are; cameras put a time before
each."""
_PICTURE_BRANDS = {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
"""Of ISO media files that are pictures."""
_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof"}
"""With which MP4 and QuickTime files begin, behind the box's length."""

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*", b"v/1\x01")
_VIDEOS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"0&\xb2u\x8ef\xcf\x11",  # ASF: WMV
    b"FLV\x01",
    b"OggS",
    b"\x00\x00\x01\xba",  # MPEG-PS
    b"\x00\x00\x01\xb3",  # MPEG-1 and -2, raw
    b"\x1f\x07\x00",  # DV
    b"\x06\x0e\x2b\x34",  # MXF
    b"DKIF",  # IVF
    b"YUV4MPEG2",
    b".RMF",
    b"nut/multimedia",
)
_RAW_UNITS = (b"\x09", b"\x06", b"\x27", b"\x47", b"\x67", b"\x40\x01", b"\x42\x01", b"\x46\x01")
"""With which raw H.264 and H.265 begin, behind a mark of zeros and a one: delimiters and sets of parameters."""
_ANIMATED = (b"GIF8", b"\x89PNG", b"RIFF")
"""Beginnings of pictures that may move."""


def is_picture(path: Path) -> bool:
    """Whether it is a picture: whether `read_picture` reads it is another question."""
    return _kind(path) == PICTURE


def is_video(path: Path) -> bool:
    """Whether it is a video; a picture that moves (GIF, PNG, WebP) is one."""
    return _kind(path) == VIDEO


def _kind(path: Path) -> str | None:
    """PICTURE, VIDEO, or None for everything else."""
    kind = None
    with suppress(OSError):
        if path.is_file():
            facts = path.stat()
            kind = _kind_of_content(path, facts.st_mtime_ns, facts.st_size)
    named = (mimetypes.guess_type(path.name)[0] or "").partition("/")[0]
    return kind or (named if named in (PICTURE, VIDEO) else None)


def is_animated_webp(path: Path) -> bool:
    """Whether it is a WebP picture that moves."""
    if not path.is_file() or _kind(path) != VIDEO:
        return False
    with path.open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def is_exr(path: Path) -> bool:
    """Whether it is a picture as renderers write them: OpenEXR."""
    with path.open("rb") as file:
        return file.read(4) == b"v/1\x01"


def is_heic(path: Path) -> bool:
    """Whether it is a photo as iPhones take them: HEVC in an ISO media file."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:10] in (b"he", b"mi", b"ms")


@lru_cache(maxsize=4096)
def _kind_of_content(path: Path, _changed: int, _size: int) -> str | None:
    """Folders are listed again and again: a file that has not changed is not opened twice."""
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    if _begins_as_picture(head):
        return VIDEO if head.startswith(_ANIMATED) and _moves(path) else PICTURE
    return VIDEO if _begins_as_video(head) else None


def _begins_as_picture(head: bytes) -> bool:
    is_bitmap = head[:2] == b"BM" and head[6:10] == bytes(4)
    is_iso = head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS
    return head.startswith(_PICTURES) or is_bitmap or is_iso or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _begins_as_video(head: bytes) -> bool:
    if head.startswith(_VIDEOS) or head[4:8] in _BOXES or (head[:4] == b"RIFF" and head[8:11] == b"AVI"):
        return True

    mark, _, unit = head.partition(b"\x01")
    if mark in (bytes(2), bytes(3)) and unit.startswith(_RAW_UNITS):
        return True

    return any(
        len(head) > start + 3 * length and set(head[start : start + 3 * length + 1 : length]) == {0x47}
        for start, length in _TS_PACKETS.items()
    )


def _moves(path: Path) -> bool:
    try:
        with Image.open(path, formats=("GIF", "PNG", "WEBP")) as picture:
            return bool(getattr(picture, "is_animated", False))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError):
        return False  # a damaged picture: reading it will say so
