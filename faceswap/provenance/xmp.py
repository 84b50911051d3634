"""XMP: a few lines of metadata that picture and video programs show. Here they say what kind of work a file is.

IPTC's "Digital Source Type" is what search engines and social networks look at to label synthetic media.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import faceswap
from faceswap.errors import MediaError

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE_TYPE = f"{SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"
"""What a swap is: a recording with parts that a trained network has made."""

_PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmp:CreatorTool="faceswap {faceswap.__version__}" Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/>
</rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()

_JPEG_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_KEYWORD = b"XML:com.adobe.xmp\0"
_PNG_NAME = _PNG_KEYWORD + b"\0\0\0\0"  # not compressed; no language, no translation
_PNG_HEADER = 33  # bytes: the signature and the first chunk, IHDR
_MP4_NAME = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")  # the UUID of a box that holds XMP
_MP4_SUFFIXES = (".mp4", ".m4v", ".mov")
_QUICKTIME = (b"moov", b"udta", b"XMP_")  # the boxes, one in the other, in which QuickTime keeps it
_TIFF_TAG = 700
_LONGEST = 1 << 20  # bytes of a packet that are looked at
_MOST = 10_000  # parts of a file that are looked at
_KIND = re.compile(re.escape(SOURCE_TYPES.encode()) + rb"(\w{1,64})")


def add_source_type(file: Path, suffix: str) -> None:
    """Write SOURCE_TYPE into a JPEG, PNG, MP4 or MOV file; one of another kind, by its suffix, is left as it is.

    The file must not have been signed yet. Raises OSError.
    """
    if suffix in _MP4_SUFFIXES:
        with file.open("ab") as video:
            video.write((24 + len(_PACKET)).to_bytes(4, "big") + b"uuid" + _MP4_NAME + _PACKET)
    elif suffix in (".jpg", ".jpeg"):
        segment = _JPEG_NAME + _PACKET
        _insert(file, _behind_jfif(file), b"\xff\xe1" + (2 + len(segment)).to_bytes(2, "big") + segment)
    elif suffix == ".png":
        chunk = b"iTXt" + _PNG_NAME + _PACKET
        check = zlib.crc32(chunk).to_bytes(4, "big")
        _insert(file, _PNG_HEADER, (len(chunk) - 4).to_bytes(4, "big") + chunk + check)


def read_source_type(file: Path) -> str:
    """The last word of the Digital Source Type that the file's XMP gives, such as "trainedAlgorithmicMedia"; "" if it
    gives none.

    Only XMP that lies where the file's format holds it counts, in JPEG, PNG, WebP, TIFF, MP4 and MOV: what is hidden in
    free space, or hung on behind the end, no other program sees.
    Raises MediaError if the file cannot be read.
    """
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            kinds = [kind for packet in _packets(content) for kind in _KIND.findall(packet)]
        return kinds[0].decode() if kinds else ""
    except (ValueError, struct.error):  # empty, which cannot be mapped; or damaged
        return ""
    except OSError as error:
        raise MediaError(f"{file} cannot be read ({error.strerror})", "Check its name and permissions") from error


def _packets(content: mmap.mmap) -> Iterator[bytes]:
    """The XMP of a file, by what its content shows it to be."""
    if content[:2] == b"\xff\xd8":
        return _in_jpeg(content)
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return _in_png(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return _in_webp(content)
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _in_tiff(content)
    if content[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        return _in_mp4(content)
    return iter(())


def _in_jpeg(content: mmap.mmap) -> Iterator[bytes]:
    """Segments up to where the picture itself begins."""
    at = 2
    while content[at : at + 1] == b"\xff" and content[at + 1] not in (0xD9, 0xDA):
        size = int.from_bytes(content[at + 2 : at + 4], "big")
        segment = content[at + 4 : at + 2 + size]
        if content[at + 1] == 0xE1 and segment.startswith(_JPEG_NAME):
            yield segment
        at += 2 + max(2, size)


def _in_png(content: mmap.mmap) -> Iterator[bytes]:
    at = 8
    for _ in range(_MOST):
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if len(kind) < 4 or kind == b"IEND":
            return
        if kind == b"iTXt" and content[at + 8 : at + 8 + len(_PNG_KEYWORD)] == _PNG_KEYWORD:
            yield _text_of(content[at + 8 + len(_PNG_KEYWORD) : at + 8 + min(size, _LONGEST)])
        at += 12 + size


def _text_of(chunk: bytes) -> bytes:
    """What an iTXt chunk says, behind its keyword: the text may be compressed."""
    compressed, (_, _, text) = chunk[0] == 1, chunk[2:].split(b"\0", 2)
    try:
        return zlib.decompressobj().decompress(text, _LONGEST) if compressed else text
    except zlib.error as error:
        raise ValueError("damaged") from error


def _in_webp(content: mmap.mmap) -> Iterator[bytes]:
    at, end = 12, 8 + int.from_bytes(content[4:8], "little")
    for _ in range(_MOST):
        size, kind = int.from_bytes(content[at + 4 : at + 8], "little"), content[at : at + 4]
        if at >= end or len(kind) < 4:
            return
        if kind == b"XMP ":
            yield content[at + 8 : at + 8 + min(size, _LONGEST)]
        at += 8 + size + size % 2


def _in_tiff(content: mmap.mmap) -> Iterator[bytes]:
    """The entries of the first picture."""
    order = "<" if content[:2] == b"II" else ">"
    (at,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, at)
    for number in range(count):
        tag, _, size, place = struct.unpack_from(f"{order}HHII", content, at + 2 + 12 * number)
        if tag == _TIFF_TAG:
            yield content[place : place + min(size, _LONGEST)]


def _in_mp4(content: mmap.mmap) -> Iterator[bytes]:
    for kind, begin, end in boxes(content, 0, len(content)):
        if kind == b"uuid" and content[begin : begin + 16] == _MP4_NAME:
            yield content[begin + 16 : min(end, begin + _LONGEST)]
        elif kind == _QUICKTIME[0]:
            yield from _in_quicktime(content, begin, end)


def _in_quicktime(content: mmap.mmap, begin: int, end: int) -> Iterator[bytes]:
    """In the box of user data that is in a file's header."""
    for kind, inside, stop in boxes(content, begin, end):
        if kind == _QUICKTIME[1]:
            for name, at, last in boxes(content, inside, stop):
                if name == _QUICKTIME[2]:
                    yield content[at : min(last, at + _LONGEST)]


def boxes(content: mmap.mmap, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of what is in each box that lies whole between two places."""
    for _ in range(_MOST):
        size, kind, head = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = end - at
        if at + head > end or size < head or at + size > end:
            return
        yield kind, at + head, at + size
        at += size


def _insert(file: Path, at: int, data: bytes) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:at] + data + content[at:])


def _behind_jfif(file: Path) -> int:
    """Where a JPEG's next segment may begin: that of JFIF, if there is one, has to be the first."""
    with file.open("rb") as picture:
        head = picture.read(6)
    return 4 + int.from_bytes(head[4:6], "big") if head[2:4] == b"\xff\xe0" else 2
