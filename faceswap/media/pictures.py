"""Still pictures, in and out and cut to size, as RGB arrays; and which files look like pictures or videos."""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from faceswap.errors import MediaError, OutputError
from faceswap.geometry import Similarity
from faceswap.types import Picture, Seal

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".mpg", ".mpeg", ".mts", ".m2ts", ".flv"}

MAX_PIXELS = 100_000_000
"""More than cameras make; a small hostile file can claim to be far larger and fill the memory."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""Pillow's names of the kinds that are read, whatever a file is called: others of its parsers run programs."""

_BAND = 512  # rows that are converted at once

_BLOCK = 32  # pixels

_WRITERS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


def is_picture(path: Path) -> bool:
    """Whether the name is that of a picture that `read_picture` reads."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def is_video(path: Path) -> bool:
    """Whether the name is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_picture(path: Path) -> Picture:
    """The picture at `path` as RGB, upright by its EXIF orientation.

    Grey pictures become RGB, 16 bits become 8, transparency is laid on black, of an animation comes the first frame.

    Raises:
        MediaError: the file is missing, empty, damaged, no picture, or larger than 100 megapixels.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise MediaError(f"{path} {what}", "Check the picture's name and folder")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes)", "Copy or download it again")
    try:
        # Pillow warns of oddities (a large picture, a strange EXIF block) of which the user need not know.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                problem = f"{path} is too large ({picture.width}x{picture.height} pixels)"
                raise MediaError(problem, "Make it smaller than 100 megapixels")
            ImageOps.exif_transpose(picture, in_place=True)
            return _to_rgb(picture)
    except MemoryError:
        raise MediaError(f"{path} does not fit into the memory", "Close other programs, or make it smaller") from None
    except Image.DecompressionBombError:
        raise MediaError(f"{path} is too large", "Make it smaller than 100 megapixels") from None
    except UnidentifiedImageError:
        raise MediaError(f"{path} is not a picture, or is damaged", "Give a JPEG or PNG picture") from None
    except PermissionError:
        raise MediaError(f"{path} may not be read", "Give yourself permission to read it") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error):  # what Pillow's parsers raise on damage
        raise MediaError(f"{path} is damaged", "Copy or download it again") from None


def write_picture(path: Path, image: Picture, quality: int = 92, seal: Seal | None = None) -> None:
    """Writes `image` (RGB) as .jpg or .png by the suffix; `quality` (1 .. 100) is for JPEG.

    The file appears whole or not at all: it is written under another name first.

    Raises:
        OutputError: another suffix, no such folder, no permission, or a full disk.
    """
    kind = _WRITERS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path} would be a kind of picture that cannot be written", "Use .jpg or .png")
    # Full chroma resolution: crops of faces are small, and their lips and eyes are the point.
    options = {"quality": quality, "subsampling": 0} if kind == "JPEG" else {"compress_level": 3}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        Image.fromarray(image).save(unfinished, kind, **options)
        if seal:
            seal(unfinished, path.name)
        os.replace(unfinished, path)
    except OSError as error:
        remedy = "Check that the folder exists, may be written to and has space"
        raise OutputError(f"{path} cannot be written ({error.strerror or error})", remedy) from error
    finally:
        unfinished.unlink(missing_ok=True)


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
        # Pillow would clip at 255; a picture of these modes holds 0..65535.
        grey = np.clip(np.rint(values / 257), 0, 255).astype(np.uint8)
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
