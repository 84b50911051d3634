"""Laws of still pictures: written then read is the same; every kind of file comes out as upright RGB."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceswap.errors import MediaError, OutputError
from faceswap.media.pictures import is_picture, is_video, read_picture, write_picture
from faceswap.types import Picture


@pytest.fixture
def picture() -> Picture:
    y, x = np.mgrid[0:40, 0:60]
    return np.stack([4 * x, 6 * y, 2 * (x + y)], axis=2).astype(np.uint8)


def test_png_is_exact_and_jpeg_close(tmp_path: Path, picture: Picture) -> None:
    write_picture(tmp_path / "a.png", picture)
    assert np.array_equal(read_picture(tmp_path / "a.png"), picture)
    write_picture(tmp_path / "a.jpg", picture)
    assert np.abs(read_picture(tmp_path / "a.jpg").astype(int) - picture).mean() < 2


def test_quality_decides_the_size(tmp_path: Path, picture: Picture) -> None:
    write_picture(tmp_path / "fine.jpg", picture, quality=98)
    write_picture(tmp_path / "coarse.jpg", picture, quality=30)
    assert (tmp_path / "fine.jpg").stat().st_size > (tmp_path / "coarse.jpg").stat().st_size


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (2, lambda upright: upright[:, ::-1]),
        (3, lambda upright: np.rot90(upright, 2)),
        (6, lambda upright: np.rot90(upright, 1)),
        (8, lambda upright: np.rot90(upright, -1)),
    ],
)
def test_exif_orientation_is_applied(
    tmp_path: Path, picture: Picture, orientation: int, stored: Callable[[Picture], Picture]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored(picture))).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "a.png"), picture)


def test_every_mode_becomes_rgb(tmp_path: Path, picture: Picture) -> None:
    grey = picture[..., 0]
    as_rgb = np.repeat(grey[..., None], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "grey16.png")
    Image.fromarray(np.dstack([picture, np.full_like(grey, 255)])).save(tmp_path / "opaque.png")
    Image.fromarray(np.dstack([picture, np.zeros_like(grey)])).save(tmp_path / "clear.png")
    Image.fromarray(picture).quantize(16).save(tmp_path / "palette.png")
    Image.fromarray(picture).convert("CMYK").save(tmp_path / "cmyk.tif")
    assert np.array_equal(read_picture(tmp_path / "grey.png"), as_rgb)
    assert np.array_equal(read_picture(tmp_path / "grey16.png"), as_rgb)
    assert np.array_equal(read_picture(tmp_path / "opaque.png"), picture)
    assert not read_picture(tmp_path / "clear.png").any()
    for name in ("palette.png", "cmyk.tif"):
        image = read_picture(tmp_path / name)
        assert image.shape == (40, 60, 3)
        assert image.dtype == np.uint8


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG file that claims to be of this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(999))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, data)
    )


def test_bad_files_are_refused_with_a_remedy(tmp_path: Path, picture: Picture) -> None:
    write_picture(tmp_path / "whole.jpg", picture)
    write_picture(tmp_path / "whole.png", picture)
    contents = {
        "empty.jpg": b"",
        "text.png": b"dear diary\n" * 99,
        "cut.jpg": (tmp_path / "whole.jpg").read_bytes()[:700],
        "cut.png": (tmp_path / "whole.png").read_bytes()[:-40],
        "large.png": png_header(12_000, 9_000),
        "bomb.png": png_header(60_000, 60_000),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.png").mkdir()
    for name in (*contents, "folder.png", "missing.png"):
        with pytest.raises(MediaError) as caught:
            read_picture(tmp_path / name)
        assert name in caught.value.problem
        assert len(caught.value.remedy) > 10


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_no_program_is_run_whatever_a_file_is_called(tmp_path: Path, name: str) -> None:
    """Pillow hands PostScript to an interpreter; loaded, this one would never end."""
    endless = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{ } loop\nshowpage\n"
    (tmp_path / name).write_text(endless)
    with pytest.raises(MediaError, match="is not a picture"):
        read_picture(tmp_path / name)


def test_a_large_palette_with_transparency_takes_little_more_memory_than_the_picture(tmp_path: Path) -> None:
    side = 3000
    picture = Image.new("P", (side, side), 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    picture.save(tmp_path / "p.png", transparency=bytes([0, 128]))
    tracemalloc.start()
    image = read_picture(tmp_path / "p.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert image.shape == (side, side, 3)
    assert np.unique(image.reshape(-1, 3), axis=0).tolist() == [[100, 50, 25]]
    assert peak < 2 * image.nbytes


def test_a_picture_that_does_not_fit_into_the_memory(
    tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    write_picture(tmp_path / "a.png", picture)
    monkeypatch.setattr(Image.Image, "convert", full)
    with pytest.raises(MediaError, match="memory"):
        read_picture(tmp_path / "a.png")


def test_writing_is_all_or_nothing(tmp_path: Path, picture: Picture) -> None:
    write_picture(tmp_path / "a.png", picture)
    for path in (tmp_path / "a.gif", tmp_path / "no" / "a.png"):
        with pytest.raises(OutputError):
            write_picture(path, picture)
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(OutputError):
        write_picture(tmp_path / "taken.png", picture)
    assert sorted(os.listdir(tmp_path)) == ["a.png", "taken.png"]


def test_kinds_go_by_suffix() -> None:
    assert is_picture(Path("a.JPG"))
    assert not is_picture(Path("a.mp4"))
    assert is_video(Path("b/a.MOV"))
    assert not is_video(Path("a.txt"))
