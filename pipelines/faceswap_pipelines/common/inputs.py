"""What jobs read: videos and pictures, folders of them, and ranges of their frames."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from faceswap.errors import ConfigError, MediaError
from faceswap.media.fingerprint import fingerprint
from faceswap.media.info import VideoInfo
from faceswap.media.kinds import is_picture, is_video
from faceswap.media.numbered import NumberedPictures
from faceswap.media.pictures import read_picture
from faceswap.media.video import probe, read_frames, sample_frames
from faceswap.types import Frame

FrameRange = tuple[int, int | None]
"""The first frame, and the one to stop before."""

_FASTEST, _ROUNDED = 1000, Fraction(1, 200)  # frames per second

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


def frame_rate(value: str | float | None) -> Fraction | None:
    """Frames per second, written as 25, 23.976 or 24000/1001, as the exact number that is meant. Raises ConfigError."""
    if value is None:
        return None

    try:
        rate = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)

    if not 0 < rate <= _FASTEST:
        raise ConfigError(f"'{value}' is not a frame rate", "Write it as 25, 23.976 or 24000/1001")

    # 23.976, 29.97 and the like are television's, and not quite what they say.
    television = round(rate) * Fraction(1000, 1001)
    return television if rate.denominator > 1 and abs(rate - television) < _ROUNDED else rate


@dataclass(frozen=True, kw_only=True)
class Footage:
    """What is looked at: the wanted frames of a video, of a folder of numbered pictures, or a picture, which is a video
    of one frame. All that reads raises MediaError for what cannot be read."""

    path: Path
    frames: FrameRange = (0, None)
    frame_rate: Fraction | None = None
    """Of a folder."""

    @property
    def is_picture(self) -> bool:
        """Whether it is a single one."""
        return not self.path.is_dir() and is_picture(self.path)

    @cached_property
    def info(self) -> VideoInfo:
        """What is known of the video, or the folder."""
        return self._numbered.info if self.path.is_dir() else probe(self.path)

    @property
    def originals(self) -> tuple[Path, ...]:
        """The wanted pictures of a folder; of a video there are none."""
        if not self.path.is_dir():
            return ()
        return tuple(self._numbered.files.values())[self.frames[0] : self.frames[1]]

    @property
    def count(self) -> int | None:
        """How many frames there are to look at, if the file says."""
        if self.is_picture:
            return 1
        last = min((n for n in (self.info.frame_count, self.frames[1]) if n is not None), default=None)
        return None if last is None else max(0, last - self.frames[0])

    def read(self, start: int | None = None, known: Mapping[int, Fraction] | None = None) -> Iterator[Frame]:
        """The wanted frames, or those of them from number `start` on; sooner if times before it are `known`: see
        `read_frames`."""
        first, stop = self.frames[0] if start is None else start, self.frames[1]
        if self.is_picture:
            return iter([Frame(read_picture(self.path), 0, Fraction(0))])
        return self._numbered.read(first, stop) if self.path.is_dir() else read_frames(self.path, first, stop, known)

    def sample(self, count: int) -> Iterator[Frame]:
        """About `count` of the wanted frames, evenly."""
        if self.is_picture:
            return self.read()
        if not self.path.is_dir():
            return sample_frames(self.path, count, *self.frames)
        span = self.count or 0
        wanted = sorted({self.frames[0] + int(span * (i + 0.5) / count) for i in range(count if span else 0)})
        return (frame for index in wanted for frame in self._numbered.read(index, index + 1))

    def fingerprint(self, *context: object) -> str:
        """Of all that decides what is seen."""
        rate = () if self.frame_rate is None or not self.path.is_dir() else (self.frame_rate,)
        return fingerprint(self.path, self.frames, *context, *rate)

    @property
    def gaps(self) -> int:
        """How many pictures are missing in a folder, between the first and the last."""
        return self._numbered.gaps if self.path.is_dir() else 0

    @cached_property
    def _numbered(self) -> NumberedPictures:
        if self.frame_rate is None:
            remedy = "Give one of the files inside it; or add --frame-rate 25, to take its pictures for those of a film"
            raise MediaError(f"{self.path} is a folder, not a video", remedy)
        return NumberedPictures(self.path, self.frame_rate)


def list_media(inputs: Sequence[Path], as_frames: bool = False) -> list[Path]:
    """The videos and pictures among `inputs`, folders opened and those inside them, in the order of their names.

    With `as_frames`, the pictures in a folder are those of a film: the folder stands for them.
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
        listed += dict.fromkeys(film_of(file) for file in inside) if as_frames else inside

    return listed


def film_of(file: Path) -> Path:
    """A video, or the folder in which a film's pictures lie."""
    return file.parent if is_picture(file) else file


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
