"""What jobs read: videos and pictures, folders of them, and ranges of their frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from faceswap.errors import ConfigError, MediaError
from faceswap.media.kinds import is_picture, is_video
from faceswap.media.pictures import read_picture
from faceswap.media.video import probe, read_frames
from faceswap.types import Frame

FrameRange = tuple[int, int | None]
"""The first frame, and the one to stop before."""


def frame_range(text: str) -> FrameRange:
    """ "0:300", "100:" or ":50" as (first, stop); "" is everything. Raises ConfigError."""
    if not text:
        return 0, None
    first, colon, stop = text.partition(":")
    try:
        wanted = int(first or 0), int(stop) if stop else None
    except ValueError:
        wanted = -1, None
    if not colon or wanted[0] < 0 or (wanted[1] is not None and wanted[1] <= wanted[0]):
        raise ConfigError(f"'{text}' is not a range of frames", "Write it as FIRST:STOP, for example 0:300")
    return wanted


def open_frames(path: Path, frames: FrameRange) -> Iterator[Frame]:
    """The wanted frames of a video; a picture is a video of one frame."""
    if is_picture(path):
        return iter([Frame(read_picture(path), 0, Fraction(0))])
    return read_frames(path, *frames)


def count_frames(path: Path, frames: FrameRange) -> int | None:
    """How many frames there are to look at, if the file says."""
    if is_picture(path):
        return 1
    count = probe(path).frame_count
    last = min((n for n in (count, frames[1]) if n is not None), default=None)
    return None if last is None else max(0, last - frames[0])


def list_media(inputs: Sequence[Path]) -> list[Path]:
    """The videos and pictures among `inputs`, folders opened (not those inside them), in the order of their names."""
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if is_picture(p) or is_video(p))
            if not inside:
                raise MediaError(f"the folder {path} holds no videos or pictures", "Name a folder that does")
            found += inside
        else:
            found.append(path)
    return found


def other_files(inputs: Sequence[Path]) -> list[Path]:
    """What lies in the folders among `inputs` and is passed over: neither hidden nor a video nor a picture."""
    inside = (path for folder in inputs if folder.is_dir() for path in sorted(folder.iterdir()))
    return [p for p in inside if p.is_file() and not p.name.startswith(".") and not (is_picture(p) or is_video(p))]


def named_facesets(texts: Iterable[str], known: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """Facesets by name: those `known`, and those of texts NAME=FACESET. Raises ConfigError for anything else."""
    facesets = dict(known or {})
    for text in texts:
        name, equals, folder = text.partition("=")
        if not name or not equals or not folder or name in facesets:
            raise ConfigError(f"'{text}' does not name a faceset", "Write it as NAME=FACESET, each name once")
        facesets[name] = Path(folder)
    return facesets
