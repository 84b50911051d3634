"""Laws of still pictures: written then read is the same; every kind of file comes out as upright RGB."""

from __future__ import annotations

import io
import os
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from faceswap.errors import MediaError, OutputError
from faceswap.media.kinds import is_picture, is_video
from faceswap.media.limits import MAX_PIXELS
from faceswap.media.pictures import Extras, read_extras, read_picture, write_picture
from faceswap.media.video import read_frames
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


def test_larger_pictures_are_read_where_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = {"large.png": (12_000, 9_000), "larger.png": (24_000, 9_000)}
    for name, size in bounds.items():
        (tmp_path / name).write_bytes(png_header(*size))
        with pytest.raises(MediaError, match=r"too large.*--max-pixels"):
            read_picture(tmp_path / name)
    monkeypatch.setenv(MAX_PIXELS, "400")
    for name in bounds:
        with pytest.raises(MediaError, match="damaged"):  # it is looked into: there is nothing behind the header
            read_picture(tmp_path / name)


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


def matrix_profile(primaries: Sequence[tuple[float, float]], gamma: float) -> bytes:
    """An ICC profile of a screen: where its red, green and blue lie, relative to D50, and its curve."""

    def fixed(*numbers: float) -> bytes:
        return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))

    white = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in primaries]).T
    columns = columns * np.linalg.solve(columns, white)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.9642, 1.0, 0.8249])
    adapted = np.linalg.inv(bradford) @ np.diag((bradford @ d50) / (bradford @ white)) @ bradford @ columns
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {name: b"XYZ " + bytes(4) + fixed(*adapted[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve) | {b"wtpt": b"XYZ " + bytes(4) + fixed(*d50)}
    text = b"a screen\0"
    tags[b"desc"] = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78 + 3)
    table, data = b"", b""
    for name, content in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4xI", 128 + len(body), 0x02400000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    return head + fixed(*d50) + bytes(48) + body


DISPLAY_P3 = matrix_profile([(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], 2.2)
ADOBE_RGB = matrix_profile([(0.640, 0.330), (0.210, 0.710), (0.150, 0.060)], 2.2)
TONES = np.array([[200, 150, 120], [90, 60, 45], [60, 90, 170], [70, 140, 80], [180, 70, 90]], np.uint8)


@pytest.mark.parametrize("profile", [DISPLAY_P3, ADOBE_RGB])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_colours_are_converted_to_srgb(tmp_path: Path, profile: bytes, name: str) -> None:
    """What was made of sRGB for another screen, and says so, comes out as it was."""
    upright = np.repeat(np.repeat(TONES[None], 16, axis=1), 16, axis=0)
    stored = ImageCms.profileToProfile(
        Image.fromarray(upright),
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert stored is not None
    assert np.abs(np.array(stored).astype(int) - upright).max() > 8
    options = {"quality": 100, "subsampling": 0} if name == "a.jpg" else {"lossless": True} if name == "a.webp" else {}
    stored.save(tmp_path / name, icc_profile=profile, **options)
    middles = read_picture(tmp_path / name)[8, 8::16].astype(int)
    assert np.abs(middles - TONES).max() <= 3


def test_a_damaged_profile_is_passed_over_and_transparency_kept(tmp_path: Path, picture: Picture) -> None:
    Image.fromarray(picture).save(tmp_path / "damaged.png", icc_profile=DISPLAY_P3[:150])
    assert np.array_equal(read_picture(tmp_path / "damaged.png"), picture)
    clear = np.dstack([picture, np.zeros(picture.shape[:2], np.uint8)])
    Image.fromarray(clear).save(tmp_path / "clear.png", icc_profile=DISPLAY_P3)
    assert not read_picture(tmp_path / "clear.png").any()


def test_floating_point_is_white_at_1(tmp_path: Path) -> None:
    ramp = np.linspace(-0.1, 1.2, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    assert np.abs(read_picture(tmp_path / "a.tif")[..., 1] - np.clip(ramp * 255, 0, 255)).max() <= 0.5


def test_transparency_and_exif_come_along(tmp_path: Path, picture: Picture) -> None:
    alpha = np.linspace(0, 255, picture.shape[0] * picture.shape[1]).reshape(picture.shape[:2]).astype(np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Model] = 6, "a camera"
    Image.fromarray(np.dstack([picture, alpha])).save(tmp_path / "a.webp", lossless=True, exact=True, exif=exif)
    extras = read_extras(tmp_path / "a.webp")
    write_picture(tmp_path / "out.png", read_picture(tmp_path / "a.webp"), extras=extras)

    with Image.open(tmp_path / "out.png") as written:
        tags = written.getexif()
        pixels = np.array(written)
    assert tags[ExifTags.Base.Model] == "a camera"
    assert ExifTags.Base.Orientation not in tags
    upright = np.rot90(np.dstack([picture, alpha]), -1)
    assert np.array_equal(pixels[..., 3], upright[..., 3])
    seen = upright[..., 3] > 128
    assert np.abs(pixels[seen].astype(int) - upright[seen]).max() <= 1
    # Read again, it lies on black as before: what is seen is what was seen.
    before, after = read_picture(tmp_path / "a.webp").astype(int), read_picture(tmp_path / "out.png").astype(int)
    assert np.abs(before - after).max() <= 1


def test_an_opaque_picture_without_exif_has_no_extras(tmp_path: Path, picture: Picture) -> None:
    write_picture(tmp_path / "a.jpg", picture)
    assert read_extras(tmp_path / "a.jpg") == Extras(None, b"")


def test_heic_is_refused_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if the extra were not installed
    (tmp_path / "photo.heic").write_bytes(struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic" + bytes(999))
    assert is_picture(tmp_path / "photo.heic")
    with pytest.raises(MediaError, match=r"HEIC.*--extra heic"):
        read_picture(tmp_path / "photo.heic")


def test_exr_is_refused_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"v/1\x01\x02" + bytes(400))
    assert is_picture(tmp_path / "a")
    with pytest.raises(MediaError, match="OpenEXR"):
        read_picture(tmp_path / "a")


def tagged_avif(path: Path, picture: Picture, primaries: int, transfer: int) -> Path:
    """An AVIF picture without a profile, of these tags (numbers of H.273)."""
    Image.fromarray(picture).save(path, "AVIF", quality=100, subsampling="4:4:4")
    parts = path.read_bytes().split(b"colrnclx")
    assert len(parts) == 2
    path.write_bytes(b"colrnclx".join([parts[0], struct.pack(">HH", primaries, transfer) + parts[1][4:]]))
    return path


class TestColourTags:
    @pytest.mark.parametrize(("primaries", "wide"), [(12, (186, 88, 84)), (9, (168, 95, 84)), (1, (200, 80, 80))])
    def test_wide_primaries_become_srgb(self, tmp_path: Path, primaries: int, wide: tuple[int, int, int]) -> None:
        """One red of sRGB, in the levels that it has in Display P3, BT.2020 and BT.709."""
        picture = np.full((64, 64, 3), wide, np.uint8)
        picture[:32] = 128
        read = read_picture(tagged_avif(tmp_path / "a.avif", picture, primaries, 13)).astype(int)
        assert np.abs(read[8:24] - 128).max() <= 2
        assert np.abs(read[40:56] - (200, 80, 80)).max() <= 3

    @pytest.mark.parametrize("transfer", [16, 18])
    def test_hdr_is_refused_in_its_own_words(self, tmp_path: Path, transfer: int) -> None:
        clip = tagged_avif(tmp_path / "a.avif", np.full((64, 64, 3), 128, np.uint8), 9, transfer)
        with pytest.raises(MediaError, match="HDR picture"):
            read_picture(clip)


class TestKinds:
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
    def test_pictures_are_known_under_every_name(self, tmp_path: Path, picture: Picture, kind: str) -> None:
        for name in ("a.jfif", "a.mp4", "a", "a.txt"):
            Image.fromarray(picture).save(tmp_path / name, kind)
            assert is_picture(tmp_path / name)
            assert not is_video(tmp_path / name)
        assert np.abs(read_picture(tmp_path / "a.jfif").astype(int) - picture).mean() < 12

    @pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
    def test_pictures_that_move_are_videos(self, tmp_path: Path, picture: Picture, kind: str) -> None:
        pictures = [Image.fromarray(np.roll(picture, 7 * shift, axis=1)) for shift in range(3)]
        pictures[0].save(tmp_path / "a", kind, save_all=True, append_images=pictures[1:], duration=100)
        assert is_video(tmp_path / "a")
        assert not is_picture(tmp_path / "a")
        assert [frame.time for frame in read_frames(tmp_path / "a")] == [0, Fraction(1, 10), Fraction(1, 5)]

    @pytest.mark.parametrize(
        ("muxer", "codec"),
        [
            ("mp4", "libx264"),
            ("mov", "libx264"),
            ("3gp", "mpeg4"),
            ("matroska", "libx264"),
            ("webm", "libvpx"),
            ("avi", "mpeg4"),
            ("asf", "wmv2"),
            ("flv", "flv"),
            ("mpegts", "libx264"),
            ("vob", "mpeg2video"),
            ("mxf", "mpeg2video"),
            ("ogv", "libtheora"),
            ("h264", "libx264"),
            ("hevc", "libx265"),
            ("ivf", "libvpx"),
        ],
    )
    def test_videos_are_known_under_every_name(self, tmp_path: Path, muxer: str, codec: str) -> None:
        if codec not in av.codecs_available:
            pytest.skip(f"this FFmpeg has no {codec}")
        with av.open(str(tmp_path / "clip"), "w", format=muxer) as container:
            stream = container.add_stream(codec, rate=25, width=176, height=144, pix_fmt="yuv420p")
            for number in range(5):
                frame = av.VideoFrame.from_ndarray(np.full((144, 176, 3), 40 * number, np.uint8), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        assert is_video(tmp_path / "clip")
        assert not is_picture(tmp_path / "clip")

    def test_what_is_not_there_or_says_nothing_goes_by_its_name(self, tmp_path: Path) -> None:
        assert is_picture(Path("a.JPG"))
        assert is_video(Path("b/a.MOV"))
        assert not is_video(Path("a.txt"))
        (tmp_path / "empty.mp4").touch()
        assert is_video(tmp_path / "empty.mp4")
        (tmp_path / "notes.txt").write_text("dear diary")
        assert not is_video(tmp_path / "notes.txt")
        assert not is_picture(tmp_path / "notes.txt")
