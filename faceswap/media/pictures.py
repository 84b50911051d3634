"""Still pictures, in and out and cut to size, as RGB arrays."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from faceswap.errors import MediaError, OutputError
from faceswap.files import replaced
from faceswap.geometry import Similarity
from faceswap.media.gamut import narrowed
from faceswap.media.kinds import is_exr, is_heic
from faceswap.media.limits import make_smaller, max_pixels
from faceswap.types import Alpha, Picture, Seal

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
"""Pillow's names of the kinds that are read, whatever a file is called: others of its parsers run programs."""

_PILLOWS_LIMIT = Image.MAX_IMAGE_PIXELS or 0

DAMAGES = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow's parsers raise on damage."""

_BAND = 512  # rows that are converted at once

_BLOCK = 32  # pixels

_HEAD = 1 << 16  # bytes in which an ISO media file's tags are looked for
_COLOUR_TAGS = re.compile(rb"colrnclx(....)", re.DOTALL)
"""Primaries and transfer by the numbers of H.273, in AVIF and HEIC."""
_HDR_TRANSFERS = {16, 18}
"""PQ and HLG."""

_WRITERS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


def read_picture(path: Path, middle: int | None = None) -> Picture:
    """The picture at `path` as RGB, upright by its EXIF orientation; with `middle`, at most so many pixels of it from
    its middle, in each direction.

    Colours are converted to sRGB from the profile that the picture carries (Display P3, Adobe RGB, CMYK ...). Grey
    pictures become RGB, 16 bits and floating point become 8 bits, transparency is laid on black, of an animation comes
    the first frame.

    Raises:
        MediaError: the file is missing, empty, damaged, no picture, or larger than `limits.max_pixels`.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise MediaError(f"{path} {what}", "Check the picture's name and folder")

    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes)", "Copy or download it again")

    try:
        with opened(path, formats_of(path)) as picture:
            ImageOps.exif_transpose(picture, in_place=True)
            has_profile = "icc_profile" in picture.info
            image = _to_rgb(in_srgb(picture if middle is None else _middle_of(picture, middle)))

        return image if has_profile else _by_tags(image, path)

    except MemoryError:
        raise MediaError(f"{path} does not fit into the memory", "Close other programs, or make it smaller") from None
    except Image.DecompressionBombError:
        raise MediaError(f"{path} is too large", make_smaller()) from None
    except UnidentifiedImageError:
        if is_heic(path):
            remedy = "Export it as JPEG first, or install what reads it: uv sync --extra heic"
            raise MediaError(f"{path} is a HEIC photo, which cannot be read here", remedy) from None
        if is_exr(path):
            problem = f"{path} is an OpenEXR picture: light without limits, of which each renderer makes other colours"
            raise MediaError(problem, "Render it as PNG, or as a video") from None
        raise MediaError(f"{path} is not a picture, or is damaged", "Give a JPEG or PNG picture") from None
    except PermissionError:
        raise MediaError(f"{path} may not be read", "Give yourself permission to read it") from None
    except DAMAGES:
        raise MediaError(f"{path} is damaged", "Copy or download it again") from None


def _middle_of(picture: Image.Image, side: int) -> Image.Image:
    """At most `side` pixels in each direction."""
    width, height = min(side, picture.width), min(side, picture.height)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


@contextmanager
def opened(path: Path, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """A picture of one of Pillow's `formats`. Raises MediaError if it is too large, and what Pillow raises."""
    Image.MAX_IMAGE_PIXELS = max(_PILLOWS_LIMIT, max_pixels())  # it refuses what has twice as many
    # Pillow warns of oddities (a large picture, a strange EXIF block) of which the user need not know.
    with warnings.catch_warnings(action="ignore"), Image.open(path, formats=formats) as picture:
        if picture.width * picture.height > max_pixels():
            raise MediaError(f"{path} is too large ({picture.width}x{picture.height} pixels)", make_smaller())
        yield picture


def formats_of(path: Path) -> tuple[str, ...]:
    """What a picture may be; HEIC, where the extra that reads it is installed."""
    if not is_heic(path):
        return FORMATS

    try:
        import pillow_heif  # an extra, and it takes time
    except ImportError:
        return FORMATS

    pillow_heif.register_heif_opener()
    return (*FORMATS, "HEIF")


@dataclass(frozen=True)
class Extras:
    """What a picture has besides its colours."""

    alpha: Alpha | None
    """Opacity, upright; None: it is opaque."""
    exif: bytes
    """When, where and with what it was taken, without the small picture of it and the orientation; b"" if nothing."""


def read_extras(path: Path) -> Extras:
    """What is to be kept of a picture that `read_picture` has read."""
    with opened(path, formats_of(path)) as picture:
        tags = picture.getexif()
        alpha = None
        if picture.has_transparency_data:
            alpha = np.array(ImageOps.exif_transpose(picture).convert("RGBA").getchannel("A"))
        tags.pop(ExifTags.Base.Orientation, None)
        return Extras(alpha, tags.tobytes() if len(tags) else b"")


def on_black(image: Picture, alpha: Alpha) -> Picture:
    """A picture as it is seen on black."""
    return np.rint(image * (alpha[..., None] / np.float32(255))).astype(np.uint8)


def with_alpha(image: Picture, alpha: Alpha) -> UInt8[np.ndarray, "_ _ 4"]:
    """RGBA of a picture that was laid on black: as bright as before, where it is seen."""
    opacity = np.maximum(alpha, 1)[..., None] / np.float32(255)
    return np.dstack([np.clip(np.rint(image / opacity), 0, 255).astype(np.uint8), alpha])


def write_picture(
    path: Path, image: Picture, quality: int = 92, seal: Seal | None = None, extras: Extras | None = None
) -> None:
    """Writes `image` (RGB) as .jpg or .png by the suffix; `quality` (1 .. 100) is for JPEG.

    With `extras`, its EXIF comes along, and in a .png its transparency, under which `image` was laid on black.

    The file appears whole or not at all: it is written under another name first.

    Raises:
        OutputError: another suffix, no such folder, no permission, or a full disk.
    """
    kind = _WRITERS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path} would be a kind of picture that cannot be written", "Use .jpg or .png")

    # Full chroma resolution: crops of faces are small, and their lips and eyes are the point.
    options: dict[str, Any] = {"quality": quality, "subsampling": 0} if kind == "JPEG" else {"compress_level": 3}

    if extras and extras.exif:
        options["exif"] = extras.exif
    alpha = extras.alpha if extras and kind == "PNG" else None
    pixels = image if alpha is None else with_alpha(image, alpha)

    try:
        with replaced(path) as fresh:
            Image.fromarray(pixels).save(fresh, kind, **options)
            if seal:
                seal(fresh, path.name)
    except OSError as error:
        remedy = "Check that the folder exists, may be written to and has space"
        raise OutputError(f"{path} cannot be written ({error.strerror or error})", remedy) from error


def in_srgb(picture: Image.Image) -> Image.Image:
    """The picture as RGB, RGBA or unchanged, its colours converted by the profile that it carries."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode.startswith("I") or picture.mode == "F":
        return picture

    alpha = None
    if picture.has_transparency_data or picture.mode == "P":
        picture = picture.convert("RGBA")
        alpha, picture = picture.getchannel("A"), picture.convert("RGB")

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted: Image.Image | None = picture
        if "sRGB" not in ImageCms.getProfileDescription(own):
            converted = ImageCms.profileToProfile(
                picture,
                own,
                ImageCms.createProfile("sRGB"),
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
    except (ImageCms.PyCMSError, OSError):  # damaged, or of another kind than the picture
        converted = picture

    assert converted is not None  # it is only where it was to be changed in its place
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _by_tags(image: Picture, path: Path) -> Picture:
    """The picture in sRGB by the colour tags of an AVIF or HEIC file without a profile. Raises MediaError for HDR."""
    with path.open("rb") as file:
        head = file.read(_HEAD)

    tags = _COLOUR_TAGS.search(head) if head[4:8] == b"ftyp" else None
    if tags is None:
        return image

    primaries, transfer = struct.unpack(">HH", tags[1])
    if transfer in _HDR_TRANSFERS:
        problem = f"{path} is an HDR picture (PQ or HLG), which cannot be read here"
        raise MediaError(problem, "Export it as JPEG, or without HDR, first")

    return narrowed(image, primaries, is_video=False)


def _to_rgb(picture: Image.Image) -> Picture:
    """Any of Pillow's modes as RGB, 8 bits; band by band: what lies between takes several times as much memory."""
    rgb = np.empty((picture.height, picture.width, 3), np.uint8)
    for top in range(0, picture.height, _BAND):
        band = picture.crop((0, top, picture.width, min(top + _BAND, picture.height)))
        rgb[top : top + _BAND] = _band_to_rgb(band)
    return rgb


def _band_to_rgb(picture: Image.Image) -> Picture:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.asarray(picture, dtype=np.float32)

        # Pillow would clip at 255; floating point is white at 1, other pictures of these modes hold 0..65535.
        levels = values * 255 if picture.mode == "F" else values / 257
        grey = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)

    if picture.has_transparency_data:
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, picture.convert("RGBA"))
    return np.array(picture.convert("RGB"))


def cut(image: Picture, to_crop: Similarity, size: int) -> Picture:
    """The `size` px square that `to_crop` describes; beyond the picture's edge its border pixels are repeated.

    A crop much smaller than its source is averaged, not sampled: the source is first halved until the
    remaining reduction is under two, so that fine texture does not turn into noise.
    """
    if to_crop.scale < 0.5:
        image, to_crop = _around(image, to_crop, size)

    while to_crop.scale < 0.5:
        half = (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
        to_crop = Similarity.resize(2.0).then(to_crop)

    return cv2.warpAffine(
        image, to_crop.matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8, copy=False)


def _around(image: Picture, to_crop: Similarity, size: int) -> tuple[Picture, Similarity]:
    """The part of the picture that the crop shows, and the way from there: the rest need not be halved."""
    height, width = image.shape[:2]
    corners = np.array([[-1, -1], [size, -1], [size, size], [-1, size]])
    at = to_crop.inverse().apply(corners)

    # Beginning and ending at multiples of this, it can be halved as often as a crop needs it, pixel by pixel as before.
    left, top = (np.floor(at.min(axis=0) / _BLOCK) * _BLOCK).astype(int).tolist()
    right, bottom = (np.ceil((at.max(axis=0) + 1) / _BLOCK) * _BLOCK).astype(int).tolist()
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)

    part = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    return part, Similarity(1.0, 0.0, float(left), float(top)).then(to_crop)
