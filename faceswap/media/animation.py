"""Animated WebP, read as a video: FFmpeg knows only WebP that stands still, Pillow knows both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import accumulate, islice
from pathlib import Path

import numpy as np
from PIL import Image

from faceswap.errors import MediaError
from faceswap.media.info import WEBP, VideoInfo
from faceswap.media.limits import make_smaller
from faceswap.media.pictures import DAMAGES, in_srgb, on_black, opened
from faceswap.types import Frame

_TICK = Fraction(1, 1000)  # seconds: what WebP counts in
_TOO_SHORT, _INSTEAD = 10, 100  # ticks: so short a frame is shown for longer, as browsers do


def probe_animation(path: Path) -> VideoInfo:
    """What is in the animated WebP at `path`; decodes its first frame. Raises MediaError."""
    durations = _durations(path)
    with _opened(path) as picture:
        picture.load()
        duration = sum(durations) * _TICK

        return VideoInfo(
            path=path,
            width=picture.width,
            height=picture.height,
            rotation=0,
            pixel_aspect=Fraction(1),
            frame_rate=len(durations) / duration,
            frame_count=len(durations),
            duration=duration,
            time_base=_TICK,
            codec=WEBP,
            bit_depth=8,
            color_matrix="untagged",
            full_range=True,
            has_audio=False,
            has_alpha=_is_transparent(picture),
        )


def read_animation(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """The frames `start`, `start` + 1, ... up to but without `stop`: in sRGB by the file's colour profile, transparency
    laid on black. Ends where the file is damaged. Raises MediaError on the first `next`, as `probe_animation` does."""
    info = probe_animation(path)
    times = accumulate(_durations(path), initial=0)

    with _opened(path) as picture:
        for index, ticks in islice(enumerate(times), info.frame_count if stop is None else stop):
            try:
                picture.seek(index)
                picture.load()
            except DAMAGES:  # EOFError behind the last frame, too
                return
            if index < start:
                continue

            image = in_srgb(picture)
            if not info.has_alpha:
                yield Frame(np.array(image.convert("RGB")), index, ticks * _TICK)
                continue
            planes = np.array(image.convert("RGBA"))
            alpha = np.ascontiguousarray(planes[..., 3])
            yield Frame(on_black(planes[..., :3], alpha), index, ticks * _TICK, alpha)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with opened(path, ("WEBP",)) as picture:
            yield picture
    except Image.DecompressionBombError:
        raise MediaError(f"{path} is too large", make_smaller()) from None
    except PermissionError:
        raise MediaError(f"{path} may not be read", "Give yourself permission to read it") from None
    except DAMAGES:
        raise MediaError(f"{path} is damaged", "Copy or download it again") from None


def _is_transparent(picture: Image.Image) -> bool:
    """Whether its first frame is somewhere: many that can be are not."""
    if not picture.has_transparency_data:
        return False
    least, _ = picture.convert("RGBA").getchannel("A").getextrema()
    return least < 255  # type: ignore[operator]  # of one channel these are numbers


def _durations(path: Path) -> list[int]:
    """Ticks for which each frame is shown; Pillow would have to decode them all.

    WebP is a list of chunks: four letters, a length, the content, padded to an even length. Those of frames hold
    place and size in 12 bytes, then the duration in three.
    """
    durations = []
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            content = file.read(min(length, 15))
            if head[:4] == b"ANMF" and len(content) == 15:
                ticks = int.from_bytes(content[12:], "little")
                durations.append(ticks if ticks > _TOO_SHORT else _INSTEAD)
            file.seek(length + length % 2 - len(content), 1)

    if not durations:
        raise MediaError(f"{path} holds no frame that can be decoded", "Copy or download it again")
    return durations
