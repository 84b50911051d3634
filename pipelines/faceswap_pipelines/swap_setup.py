"""How a swap begins: what the job asks for, held against the video, the model and the outputs that are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceswap.config import SwapConfig, from_dict, read_toml, to_toml
from faceswap.errors import ConfigError, FaceError, MediaError, ModelError, OutputError
from faceswap.faces.cast import Part, check_way, choose, recognise
from faceswap.faces.identity import Embedding
from faceswap.faces.trackfile import Track
from faceswap.media.codecs import Encoding
from faceswap.media.fingerprint import fingerprint
from faceswap.media.kinds import is_picture
from faceswap.media.video_write import check_kind
from faceswap.swapping.infer import Swapper
from faceswap.training.checkpoint import latest_checkpoint
from faceswap.training.identities import identity_file, read_identities
from faceswap.types import FrameFaces
from faceswap_pipelines.analyse import FaceFinder, FrameRange
from faceswap_pipelines.models import Models

_PARTS: dict[str, Any] = {"look": SwapConfig, "encoding": Encoding}
"""The parts of SwapSettings."""


@dataclass(frozen=True)
class SwapSettings:
    """How to swap: what can be kept in a TOML file and used for many videos."""

    face: str = "main"
    """Which faces: one of `cast.WAYS`."""
    to: tuple[str, ...] = ("b",)
    """Who they become: one of the model's persons, or several from left to right."""
    map: tuple[str, ...] = ()
    """Instead of `face` and `to`: "a=b" makes b of the face that is recognised as a, and so on."""
    look: SwapConfig = field(default_factory=SwapConfig)
    encoding: Encoding = field(default_factory=Encoding)
    label: bool = False
    """Whether every picture says in its corner that it was modified. The invisible mark is always there."""

    def __post_init__(self) -> None:
        check_way(self.face, self.to)
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


@dataclass(frozen=True)
class SwapJob:
    """What to swap, and how."""

    video: Path
    """A video, or a picture."""
    model: Path
    out: Path
    """A video; a picture, for a picture; or, without a suffix, a folder for a sequence of PNG pictures."""
    settings: SwapSettings = field(default_factory=SwapSettings)
    frames: FrameRange = (0, None)
    overwrite: bool = False
    mask_out: Path | None = None
    """For how much of each pixel is swapped, as grey pictures: the same kinds as `out`."""
    min_face: int | None = None
    """Width in pixels of the smallest face to look for; None: an eighth of the frame's short side."""
    device: str = "auto"


def settings_from(file: Path | None, changes: Mapping[str, Any]) -> SwapSettings:
    """The settings in a TOML file, if one is given, with changes by name: fields of SwapSettings or of its parts.

    Raises ConfigError.
    """
    values = read_toml(file) if file else {}
    for name, value in changes.items():
        part = next((part for part, kind in _PARTS.items() if name in kind.__dataclass_fields__), None)
        if part is None and name not in SwapSettings.__dataclass_fields__:
            known = [field for kind in _PARTS.values() for field in kind.__dataclass_fields__]
            raise ConfigError(f"there is no setting '{name}'", f"Known are: {', '.join(known)}")
        table = values if part is None else values.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"'{part}' in {file} is no table", f"Write it as [{part}] and its settings below")
        table[name] = value
    return from_dict(SwapSettings, values, str(file or "settings"))


def check_output(job: SwapJob) -> None:
    """Raises OutputError if an output is there already, has no folder, is the input itself, or is not what the input
    becomes."""
    for path in (job.out, job.mask_out):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist", "Create it or choose another place")
        if path.exists() and not job.overwrite:
            raise OutputError(f"{path} exists already", "Name another output, or add --overwrite")
        if path.exists() and job.video.exists() and path.samefile(job.video):
            raise OutputError(f"{path} is the input itself", "Choose another name for the output")
        if is_picture(job.video) and path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise OutputError(
                f"{job.video} is a picture, and {path} is not", "Name an output that ends in .png or .jpg"
            )
        if path.suffix and not is_picture(job.video):
            check_kind(path, job.settings.encoding)
    if job.out == job.mask_out:
        raise OutputError(f"{job.out} cannot hold both pictures and masks", "Name another --mask-out")


def signature_of(job: SwapJob) -> str:
    """Names all that decides the output's pictures: input, model, settings. Part of what makes resuming safe.

    "marked": work that was begun before pictures were marked is not gone on with.
    """
    read = "\n".join(fingerprint(path) for path in read_by(job) if path.is_file())
    return f"{job.video.resolve()}\n{read}\n{to_toml(job.settings)}{job.frames} {job.min_face} marked"


def read_by(job: SwapJob) -> list[Path]:
    """The files whose content decides the output, whether they are there or not."""
    checkpoint = latest_checkpoint(job.model)
    weights = [checkpoint / "weights.safetensors"] if checkpoint else []
    known = [identity_file(job.model)] if job.settings.map else []
    return [job.video, *weights, *known, *([picture] if (picture := job.settings.picture) else [])]


def open_swapper(job: SwapJob, models: Models) -> Swapper:
    """The job's model, ready to swap. Raises ModelError if it does not know those whom the job wants."""
    swapper = models.swapper(job.model, job.device)
    mapping = job.settings.mapping
    for person in [*mapping, *mapping.values()] or job.settings.to:
        swapper.check(person)
    known = read_identities(job.model) if mapping else {}
    if unknown := next((person for person in mapping if person not in known), None):
        raise ModelError(
            f"the model does not know what '{unknown}' looks like",
            "Choose with --face; or extract that person's faces from a video and train the model for a moment more",
        )
    return swapper


def pictured(job: SwapJob, finder: FaceFinder) -> Embedding | None:
    """Who is to be seen in the picture that like=PICTURE or not=PICTURE names. Raises MediaError or FaceError."""
    picture = job.settings.picture
    return None if picture is None else finder.person_in(picture)


def parts_of(
    job: SwapJob, tracks: list[Track], who: Embedding | None, frames: Callable[[], Iterable[FrameFaces]]
) -> list[Part]:
    """Which of the faces that were followed become whom. Raises FaceError if it is none, MediaError if no frame was
    looked at."""
    settings, way = job.settings, job.settings.face
    if not tracks and next(iter(frames()), None) is None:
        raise MediaError(f"{job.video} has no frame {job.frames[0]}", "Choose an earlier range of frames")
    if not tracks:
        raise FaceError(
            f"no face was found in {job.video}, so there is nothing to swap",
            "Use footage that shows a face, or look for smaller ones with --min-face",
        )
    if mapping := settings.mapping:
        parts, whom = recognise(read_identities(job.model), mapping, tracks), f"nobody like {' or '.join(mapping)}"
    else:
        parts, whom = choose(way, settings.to, tracks, frames, who), f"no face that is '{way}'"
    if not parts:
        raise FaceError(f"{whom} was found in {job.video}", "Choose another with --face, for example --face main")
    return parts
