"""What is evaluated, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faceswap.errors import ConfigError
from faceswap.quality.reconstruction import CropSwap, Reconstruction
from faceswap.quality.scales import Scale
from faceswap_pipelines.common.inputs import FrameRange


@dataclass(frozen=True, kw_only=True)
class SwapFiles:
    """A swapped video and what it was made of."""

    swap: Path
    target: Path
    """The video that was swapped."""
    identity: Path | None = None
    """Shows the wanted person: a video, a picture or a faceset."""
    frames: FrameRange = (0, None)
    """Of the target, that the swap shows; the swap begins with the first of them."""


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """What to evaluate: models on facesets, a swapped video, or both."""

    models: tuple[Path, ...] = ()
    """The first one is the one in question, the others are compared with it."""
    facesets: Mapping[str, Path] = field(default_factory=dict)
    """Faces that training has not seen, by the models' names for their persons."""
    swap: SwapFiles | None = None
    out: Path | None = None
    """The report to write, an .html file."""
    min_face: int | None = None
    """Width in pixels of the smallest face to look for; None: an eighth of the frame's short side."""
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.facesets and not self.models:
            raise ConfigError("faces are given, but no model that could rebuild them", "Name the model first")
        if not self.facesets and self.swap is None:
            raise ConfigError(
                "there is nothing to evaluate: a model does not keep the faces that it has learnt",
                "Add --clip NAME=FACESET with faces kept aside, or --swap OUT --target VIDEO",
            )
        if self.out is not None and self.out.suffix.lower() not in (".html", ".htm"):
            raise ConfigError(f"the report {self.out} is no .html file", "Name one that ends in .html")


@dataclass(frozen=True, kw_only=True)
class SwapLikeness:
    """Whose face a swapped video shows: see `faceswap.quality.scales.LIKENESS`."""

    to_wanted: float
    to_replaced: float
    identity_way: float
    nearer: float
    retrieved: float
    rank: float
    gallery: int
    """How many people `rank` compares."""
    shape_way: float
    sharpness_of_wanted: float


@dataclass(frozen=True, kw_only=True)
class SwapQuality:
    """Of a swapped video: see `faceswap.quality.scales.SWAP` for what each measure means."""

    frames: int
    faces: int
    """Frames in which the video shows the face that was swapped."""
    likeness: SwapLikeness | None
    """None if it is not known who is wanted."""
    unswapped: float
    standing: float
    pose_error: float
    expression_error: float
    mouth: float
    mouth_gain: float
    eyes: float
    eyes_gain: float
    gaze: float | None
    """None where the eyes hardly move in the video."""
    delay: int
    trembling: float
    boiling: float
    sharpness: float
    colour: float
    flicker: float
    drift: float
    seam: float
    background: float | None
    """None where faces fill the picture."""


@dataclass(frozen=True, kw_only=True)
class ModelQuality:
    """Of one model."""

    model: str
    faces: dict[str, int]
    """How many were looked at, by person."""
    rebuilt: dict[str, Reconstruction]
    """By person."""
    swapped: dict[str, CropSwap]
    """By "a as b"."""


THE_SWAP = "the swap"
"""What a verdict on the video is of: no person can be called that."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One measure of the swap or of the first model, in words."""

    of: str
    """THE_SWAP, a person, or "a as b"."""
    name: str
    title: str
    value: float
    text: str
    """The value with its unit."""
    grade: str
    """good, fair or poor."""
    meaning: str
    aim: str
    """What good is."""


@dataclass(frozen=True, kw_only=True)
class EvaluateResult:
    """What came of it."""

    models: tuple[ModelQuality, ...]
    swap: SwapQuality | None
    verdicts: tuple[Verdict, ...]
    worst: dict[str, list[int]]
    """The worst frames of the target by measure, the worst first."""
    report: str
    """The page that was written; "" if none."""
    seconds: float


def verdicts_of(of: str, scales: Mapping[str, Scale], values: object) -> list[Verdict]:
    """What each measure of `values` that has a scale says; those that are not known are left out."""
    known = ((name, scale, getattr(values, name)) for name, scale in scales.items())
    return [
        Verdict(
            of=of,
            name=name,
            title=scale.title,
            value=value,
            text=scale.text(value),
            grade=scale.grade(value),
            meaning=scale.meaning,
            aim=scale.aim,
        )
        for name, scale, value in known
        if value is not None
    ]
