"""What is swapped, and how; and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from faceswap.config import SwapConfig, from_dict, known_are, read_toml
from faceswap.errors import ConfigError
from faceswap.faces.selection import Selection, check_choice
from faceswap.media.codecs import Encoding
from faceswap_pipelines.common.inputs import Footage, FrameRange
from faceswap_pipelines.swapping.origin import ORIGIN

_PARTS: dict[str, Any] = {"look": SwapConfig, "encoding": Encoding}
"""The parts of SwapSettings."""


@dataclass(frozen=True, kw_only=True)
class SwapSettings:
    """How to swap: what can be kept in a TOML file and used for many videos."""

    face: str = "main"
    """Which faces: one of `selected_faces.CHOICES`."""
    to: tuple[str, ...] = ("b",)
    """Who they become: one of the model's persons, or several from left to right."""
    map: tuple[str, ...] = ()
    """Instead of `face` and `to`: "a=b" makes b of the face that is recognised as a, and so on."""
    look: SwapConfig = field(default_factory=SwapConfig)
    encoding: Encoding = field(default_factory=Encoding)
    label: bool = False
    """Whether every picture says in its corner that it was modified. The invisible mark is always there."""

    def __post_init__(self) -> None:
        check_choice(self.face, self.to)
        if not self.to:
            raise ConfigError("nobody is named whom the face becomes", "Add --to PERSON")
        pairs = [text.partition("=") for text in self.map]
        if not all(source and target for source, _, target in pairs) or len(self.mapping) < len(pairs):
            raise ConfigError(f"'{' '.join(self.map)}' does not say who becomes whom", "Write --map a=b, each a once")

    @property
    def picture(self) -> Path | None:
        """That `face` names, if it does."""
        name = self.face.partition("=")[2]
        return Path(name) if name else None

    @property
    def mapping(self) -> dict[str, str]:
        """`map` by person."""
        return {source: target for source, _, target in (text.partition("=") for text in self.map)}


@dataclass(frozen=True, kw_only=True)
class SwapJob:
    """What to swap, and how."""

    video: Path
    """A video, a picture, or a folder of numbered pictures."""
    model: Path
    out: Path
    """A video; a picture, for a picture; or, without a suffix, a folder for a sequence of PNG pictures."""
    settings: SwapSettings = field(default_factory=SwapSettings)
    frames: FrameRange = (0, None)
    frame_rate: Fraction | None = field(default=None, repr=False)
    """Of a folder of numbered pictures: frames per second."""
    overwrite: bool = False
    mask_out: Path | None = None
    """For how much of each pixel is swapped, as grey pictures: the same kinds as `out`."""
    min_face: int | None = None
    """Width in pixels of the smallest face to look for; None: an eighth of the frame's short side."""
    device: str = "auto"
    segments: int = field(default=1, repr=False)
    """Into how many it is cut where several processes or machines can do it together; the result is the same."""

    def __post_init__(self) -> None:
        if self.segments < 1:
            raise ConfigError(f"a video cannot be cut into {self.segments} segments", "Choose 1 or more")

    @property
    def footage(self) -> Footage:
        """What is looked at."""
        return Footage(path=self.video, frames=self.frames, frame_rate=self.frame_rate)


@dataclass(frozen=True, kw_only=True)
class FirstPassJob(SwapJob):
    """Of a swap in segments: find the faces, and say where it is cut."""


@dataclass(frozen=True, kw_only=True)
class FirstPassResult:
    """What all segments have to know."""

    segments: tuple[tuple[int, ...], ...]
    """Of each the first frame, and the one to stop before."""
    selections: tuple[Selection, ...]
    """Who becomes whom in the whole video."""


@dataclass(frozen=True, kw_only=True)
class SegmentJob(SwapJob):
    """Of a swap in segments: swap the frames of one."""

    span: tuple[int, int]
    """The first frame, and the one to stop before."""
    selections: tuple[Selection, ...]


@dataclass(frozen=True, kw_only=True)
class FrameCounts:
    """What was done in some frames of a swap."""

    written: int = 0
    swapped: int = 0
    """In how many a face was swapped."""
    faded: int = 0
    """In how many one was only in part, or not, since it is turned too far."""

    def __add__(self, other: FrameCounts) -> FrameCounts:
        return FrameCounts(
            written=self.written + other.written,
            swapped=self.swapped + other.swapped,
            faded=self.faded + other.faded,
        )


@dataclass(frozen=True, kw_only=True)
class SwapResult:
    """What came of it."""

    out: str
    frames: int
    """Written in this run."""
    swapped: int
    """Of those, how many had a face that was swapped; the others passed through unchanged."""
    faded: int = 0
    """Of those, in how many the swap of a face was faded or left out, since it is turned further than the new person's
    footage shows."""
    frames_per_second: float
    sheet: str
    """A picture with some frames before and after."""
    settings: str
    """The settings, as a file that --settings reads."""
    notes: tuple[str, ...] = ()
    """What is not as in the input, besides faces: sound that was encoded, tracks left out, interlacing undone; and
    where faces are as in the input."""


def note_of_faded(faded: int, frames: int) -> tuple[str, ...]:
    """What the user should know of swaps that were faded in so many of the frames: a note, or none."""
    if not faded:
        return ()
    where = f"in {faded:,} of {frames:,} frames the head is turned further than the new person's footage shows"
    return (f"{where}: there the swap fades out",)


def settings_from(file: Path | None, changes: Mapping[str, Any]) -> SwapSettings:
    """The settings in a TOML file, if one is given, with changes by name: fields of SwapSettings or of its parts.

    Raises ConfigError.
    """
    values = read_toml(file) if file else {}
    values.pop(ORIGIN, None)

    for name, value in changes.items():
        part = next((part for part, kind in _PARTS.items() if name in kind.__dataclass_fields__), None)
        if part is None and name not in SwapSettings.__dataclass_fields__:
            known = [field for kind in _PARTS.values() for field in kind.__dataclass_fields__]
            raise ConfigError(f"there is no setting '{name}'", known_are(name, known))

        table = values if part is None else values.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"'{part}' in {file} is no table", f"Write it as [{part}] and its settings below")
        table[name] = value

    return from_dict(SwapSettings, values, str(file or "settings"))
