"""What jobs read: videos and pictures, folders of them, and ranges of their frames."""

from __future__ import annotations

import os
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

_OWN = {"faceset.db", "checkpoint"}
"""What lies in every faceset, and in every model."""


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
    """The videos and pictures among `inputs`, folders opened and those inside them, in the order of their names.

    Raises MediaError for a folder that holds none.
    """
    listed: list[Path] = []
    for path in inputs:
        if not path.is_dir():
            listed.append(path)
            continue

        inside = [file for file in files_inside(path) if is_media(file)]
        if not inside:
            raise MediaError(f"the folder {path} holds no videos or pictures", "Name a folder that does")
        listed += inside
    return listed


def other_files(inputs: Sequence[Path]) -> list[Path]:
    """What lies in the folders among `inputs` and is passed over: neither hidden nor a video nor a picture."""
    return [file for folder in inputs if folder.is_dir() for file in files_inside(folder) if not is_media(file)]


def is_media(path: Path) -> bool:
    """Whether it is a video or a picture."""
    return is_picture(path) or is_video(path)


def files_inside(folder: Path) -> list[Path]:
    """The files in a folder and in those inside it, in the order of their names.

    Without hidden ones, which systems leave beside photos, and without facesets and models: what this program has made
    of footage is none.
    """
    files: list[Path] = []
    for place, folders, names in os.walk(folder):
        if _OWN.isdisjoint([*folders, *names]):
            files += [Path(place, name) for name in names if not name.startswith(".")]
            folders[:] = [name for name in folders if not name.startswith(".")]
        else:
            folders.clear()
    return sorted(files)


def named_facesets(texts: Iterable[str], known: Mapping[str, Path] | None = None) -> dict[str, Path]:
    """Facesets by name: those `known`, and those of texts NAME=FACESET. Raises ConfigError for anything else."""
    facesets = dict(known or {})
    for text in texts:
        name, equals, folder = text.partition("=")
        if not name or not equals or not folder or name in facesets:
            raise ConfigError(f"'{text}' does not name a faceset", "Write it as NAME=FACESET, each name once")
        facesets[name] = Path(folder)
    return facesets
