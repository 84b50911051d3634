"""HEIC photos of several tiles, as phones write them.

Only with the extra: `uv run --extra heic pytest tests/media/test_heic.py`.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceswap.media.gamut import DISPLAY_P3, narrowed
from faceswap.media.pictures import read_picture
from faceswap.types import Picture
from support.clips import gradient

pillow_heif = pytest.importorskip("pillow_heif", reason="the extra `heic` is not installed")

TILE = 256  # pixels
QUARTER_TURN = b"\1"  # counter-clockwise


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of an ISO media file."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """One that has a version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What a box holds."""
    while data:
        size, kind = struct.unpack(">I4s", data[:8])
        yield kind, data[8:size]
        data = data[size:]


def encoded(tile: Picture) -> tuple[bytes, bytes]:
    """The HEVC decoder's configuration and the stream of a single picture."""
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(tile)).save(file, quality=95, chroma="444")
    outer = dict(boxes(file.getvalue()))
    properties = dict(boxes(dict(boxes(outer[b"meta"][4:]))[b"iprp"]))
    return dict(boxes(properties[b"ipco"]))[b"hvcC"], outer[b"mdat"]


def write_tiled(path: Path, image: Picture, turn: bytes = b"\0", colours: bytes = b"") -> None:
    """A photo of tiles, of which the last of each row and column reach beyond its edge."""
    height, width = image.shape[:2]
    rows, columns = -(-height // TILE), -(-width // TILE)
    padded = np.pad(image, ((0, rows * TILE - height), (0, columns * TILE - width), (0, 0)), mode="edge")
    places = [(row * TILE, column * TILE) for row in range(rows) for column in range(columns)]
    tiles = [encoded(padded[top : top + TILE, left : left + TILE]) for top, left in places]
    whole = len(tiles) + 1  # the number of the item that is put together of the others
    layout = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)

    def size(width: int, height: int) -> bytes:
        return full_box(b"ispe", 0, 0, struct.pack(">II", width, height))

    def item(number: int, kind: bytes, hidden: int) -> bytes:
        return full_box(b"infe", 2, hidden, struct.pack(">HH4s", number, 0, kind) + b"\0")

    def properties_of(number: int, places: Iterable[int]) -> bytes:
        return struct.pack(">HB", number, len(bytes(places))) + bytes(places)

    properties = [box(b"hvcC", tiles[0][0]), size(TILE, TILE), size(width, height), box(b"irot", turn)]
    properties += [box(b"colr", colours)] if colours else []
    coloured = [5] if colours else []
    owners = [properties_of(number, [0x81, 2, *coloured]) for number in range(1, whole)]
    owners.append(properties_of(whole, [3, 0x84, *coloured]))

    def head(first: int) -> bytes:
        extents, at = b"", first
        for number, (_, stream) in enumerate(tiles, start=1):
            extents += struct.pack(">HHHHII", number, 0, 0, 1, at, len(stream))
            at += len(stream)
        extents += struct.pack(">HHHHII", whole, 1, 0, 1, 0, len(layout))

        return box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + full_box(
            b"meta",
            0,
            0,
            full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, b"pict") + b"\0"),
            full_box(b"pitm", 0, 0, struct.pack(">H", whole)),
            full_box(b"iloc", 1, 0, struct.pack(">BBH", 0x44, 0, whole), extents),
            full_box(
                b"iinf",
                0,
                0,
                struct.pack(">H", whole),
                *(item(number, b"hvc1", hidden=1) for number in range(1, whole)),
                item(whole, b"grid", hidden=0),
            ),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full_box(b"ipma", 0, 0, struct.pack(">I", len(owners)), *owners),
            ),
            full_box(b"iref", 0, 0, box(b"dimg", struct.pack(f">HH{whole - 1}H", whole, whole - 1, *range(1, whole)))),
            box(b"idat", layout),
        )

    path.write_bytes(head(len(head(0)) + 8) + box(b"mdat", *(stream for _, stream in tiles)))


def differs(path: Path, wanted: Picture) -> float:
    """By how many levels, on average."""
    read = read_picture(path)
    assert read.shape == wanted.shape
    return float(np.abs(read.astype(int) - wanted).mean())


def test_all_tiles_are_read_and_what_lies_beyond_the_edge_is_cut_off(tmp_path: Path) -> None:
    write_tiled(tmp_path / "a.heic", image := gradient(1, 600, 400))
    assert differs(tmp_path / "a.heic", image) < 1


def test_a_turned_photo_is_upright(tmp_path: Path) -> None:
    write_tiled(tmp_path / "a.heic", image := gradient(1, 600, 400), turn=QUARTER_TURN)
    assert differs(tmp_path / "a.heic", np.rot90(image)) < 1


def test_wide_colours_become_srgb(tmp_path: Path) -> None:
    tags = b"nclx" + struct.pack(">HHHB", DISPLAY_P3, 13, 6, 0x80)
    write_tiled(tmp_path / "a.heic", image := gradient(1, 600, 400), colours=tags)
    wanted = narrowed(image, DISPLAY_P3, is_video=False)
    assert differs(tmp_path / "a.heic", wanted) < 1
    assert np.abs(wanted.astype(int) - image).mean() > 2
