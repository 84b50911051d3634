"""What the buttons of the page ask for, as arguments of the command line. The page runs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from faceswap.errors import ConfigError
from faceswap.media.kinds import is_picture

AUTO = "auto"  # the preset that suits the device
LONGEST_TRAINING = 10_080.0  # minutes: a week
_SIMILAR, _LEAST = "--skip-similar", "--min-face"


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the Train tab says of a model; the first four are for a new one."""

    preset: str = AUTO
    latent: str = "plain"
    decoder: str = "separate"
    from_scratch: bool = False
    minutes: float | None = 10.0
    until_plateau: bool = False


@dataclass(frozen=True, kw_only=True)
class Swap:
    """What the Swap tab says besides clip and model."""

    face: str = "main"
    """Which face is replaced, unless `mapping` says who becomes whom."""
    to: str = "b"
    """Who gives the new face."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    """By the settings' names."""
    first: int = 0
    stop: int | None = None
    """The first frame of the part that is wanted, counted from 0, and the one to stop before."""
    min_face: float | None = None
    mask_out: Path | None = None
    codec: str = "h264"
    crf: float = 18
    label: bool = False


def extract(inputs: Sequence[Path], faceset: Path, skip_similar: float, min_face: float | None) -> list[str]:
    """Collect a person's faces."""
    words = ["extract", *map(str, inputs), "--out", str(faceset)]
    words += [_SIMILAR, f"{skip_similar:g}"] if skip_similar else []
    return words + _least_face(min_face)


def _least_face(width: float | None) -> list[str]:
    if width and width < 8:
        raise ConfigError("faces under 8 pixels cannot be found", "Ask for a width of 8 or more, or leave it empty")
    return [_LEAST, f"{width:.0f}"] if width else []


def extraction_options(words: Sequence[str]) -> tuple[float | None, float | None]:
    """`skip_similar` and `min_face` of such a command, where it says them."""
    said = dict(pairwise(words))
    try:
        similar, least = (float(said[name]) if name in said else None for name in (_SIMILAR, _LEAST))
    except ValueError:  # a job's file that was damaged
        return None, None
    return similar, least


def reject(
    faceset: Path, strangers: bool, duplicates: bool, least_sharpness: float | None, balance: float | None
) -> list[str]:
    """Clean a faceset."""
    words = ["faces", "reject", str(faceset)]
    words += ["--strangers"] if strangers else []
    words += ["--duplicates"] if duplicates else []
    words += ["--where", f"sharpness<{least_sharpness:g}"] if least_sharpness else []
    words += ["--balance", f"{balance:.0f}"] if balance else []

    if len(words) == 3:
        raise ConfigError("it is not said what to leave out", "Tick or fill in at least one of the choices")
    return words


def train(
    facesets: Mapping[str, Path], consent: Mapping[str, str], model: Path, training: Training, new: bool
) -> list[str]:
    """Train a model, a new one or one that is there; `consent`: who the persons are, as `Project.consent` says it."""
    minutes = training.minutes or 0.0

    if not training.until_plateau and not 0 < minutes <= LONGEST_TRAINING:
        raise ConfigError(f"a model cannot be trained for {minutes:g} minutes", "Choose more than 0, 10 to begin with")

    words = ["train"]
    for key, faceset in facesets.items():
        words += [f"--{key}", str(faceset)] if key in ("a", "b") else ["--person", f"{key}={faceset}"]

    for key in facesets:
        words += ["--consent", f"{key}={consent[key]}"] if key in consent else []

    words += ["--model", str(model)]
    words += ["--until-plateau"] if training.until_plateau else ["--minutes", f"{minutes:g}"]

    if new:
        words += ["--preset", training.preset] if training.preset != AUTO else []
        words += ["--latent", training.latent, "--decoder", training.decoder]
        words += ["--from-scratch"] if training.from_scratch else []

    return [*words, "--save-every", "15"]  # seconds: what is seen while it trains is drawn with each checkpoint


def swap(clip: Path, model: Path, wanted: Swap) -> list[str]:
    """Swap a clip, or a picture; where to is added when the job is queued."""
    # Who becomes whom.
    words = ["swap", str(clip), "--model", str(model)]
    for source, target in wanted.mapping.items():
        words += ["--map", f"{source}={target}"]
    words += [] if wanted.mapping else ["--to", wanted.to, "--face", wanted.face]

    # How.
    for name, value in wanted.settings.items():
        words += ["--set", f"{name}={value}"]
    words += _least_face(wanted.min_face)
    words += ["--label"] if wanted.label else []
    words += ["--mask-out", str(wanted.mask_out)] if wanted.mask_out else []
    if is_picture(clip):
        return words

    # What only videos have.
    words += ["--frames", frames_text(wanted.first, wanted.stop)] if wanted.first or wanted.stop else []
    words += ["--codec", wanted.codec]
    return words + (["--crf", f"{wanted.crf:.0f}"] if wanted.codec not in ("prores", "ffv1") else [])


def frames_text(first: int, stop: int | None) -> str:
    """A range of frames as the command line has it. Raises ConfigError for none."""
    if first < 0 or (stop is not None and stop <= first):
        raise ConfigError(
            "the part ends before it begins", "Choose a later end, or leave both empty for the whole clip"
        )
    return f"{first}:{'' if stop is None else stop}"


def evaluate(swapped: Path, clip: Path, faceset: Path) -> list[str]:
    """Measure a swap of a clip; `faceset` shows whose face it should be."""
    return ["evaluate", "--swap", str(swapped), "--target", str(clip), "--identity", str(faceset)]


def evaluate_models(models: Sequence[Path], facesets: Mapping[str, Path]) -> list[str]:
    """Measure models on the faces of their persons."""
    first, *others = map(str, models)
    words = ["evaluate", first]
    for other in others:
        words += ["--compare", other]
    for person, faceset in facesets.items():
        words += ["--clip", f"{person}={faceset}"]
    return words


def demo(folder: Path, minutes: float) -> list[str]:
    """Everything, on two people who do not exist."""
    return ["demo", "--out", str(folder), "--minutes", f"{minutes:g}"]
