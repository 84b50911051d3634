"""Morph: from one face to another through the latent, from one person to another through their decoders; or both."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from faceswap.errors import ConfigError, OutputError
from faceswap.faces.faceset import Faceset
from faceswap.latent.codes import Pictures, Shares, decode, decode_between, encode, interpolate, is_variational, resized
from faceswap.model.folder import load_model
from faceswap.model.swap_model import SwapModel
from faceswap.types import Picture
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.devices import pick_device
from faceswap_pipelines.common.marks import seal_of, write_marked, write_marked_film
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.latent.walk import check_person
from faceswap_pipelines.swapping.sheet import sheet_path

_RATE = 25  # frames a second
_COLUMNS = 9  # of the sheet
_SIDE = 128  # pixels of a face on it
_AT_ONCE = 16  # frames between two reports of progress


@dataclass(frozen=True, kw_only=True)
class MorphJob:
    """Where a film begins and where it ends."""

    model: Path
    first: Path
    """A picture in a faceset."""
    person: str
    """Whose decoder draws it."""
    last: Path | None = None
    """Another; None is the same one."""
    to: str | None = None
    """Whose decoder draws the end; None is the same person."""
    seconds: float = 3.0
    overwrite: bool = False
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class MorphResult:
    """The film, and a picture of it."""

    out: str
    sheet: str
    frames: int
    path: str
    """How the codes lie between: "straight" or "spherical"."""

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.frames} frames, on a {self.path} path. Watch {self.out}, look at {self.sheet}"


def morph(job: MorphJob, out: Path) -> Run[MorphResult]:
    """Write a film that begins as one face and ends as another, and a sheet of it beside.

    The ends stay for a moment; between them speed rises and falls evenly. Pictures and files are marked as a swap's
    are. Raises ConfigError if nothing would change, FaceError for a picture in no faceset, OutputError.
    """
    _check(job, out)
    model = load_model(job.model, pick_device(job.device))
    ends = (job.person, job.to or job.person)
    for person in ends:
        check_person(model, person)

    # The codes of all frames.
    first, last = encode(model, np.stack([_crop(path, model) for path in (job.first, job.last or job.first)]))
    shares = _eased(round(job.seconds * _RATE))
    spherical = is_variational(model)
    codes = interpolate(first, last, shares, spherical=spherical)

    # The frames.
    frames: list[Pictures] = []
    for start in range(0, len(codes), _AT_ONCE):
        yield Progress(title="Morphing", done=start, total=len(codes), unit="frames")
        chosen = slice(start, start + _AT_ONCE)
        if ends[0] == ends[1]:
            frames.append(decode(model, codes[chosen], job.person))
        else:
            frames.append(decode_between(model, codes[chosen], ends, shares[chosen]))
    pictures = np.concatenate(frames)

    # The film and its sheet, marked and signed.
    seal = seal_of(job.model)
    write_marked_film(out, pictures, Fraction(_RATE), seal)
    shown = np.abs(shares[None] - np.linspace(0, 1, _COLUMNS)[:, None]).argmin(axis=1)
    write_marked(sheet_path(out), sheet([(_title(job), list(pictures[shown]))], side=_SIDE), seal)
    return MorphResult(
        out=str(out),
        sheet=str(sheet_path(out)),
        frames=len(pictures),
        path="spherical" if spherical else "straight",
    )


def _check(job: MorphJob, out: Path) -> None:
    """Refuse what cannot be meant."""
    if job.last is None and job.to in (None, job.person):
        raise ConfigError("nothing would change from the first frame to the last", "Name a second face, or --to PERSON")
    if not 0.2 <= job.seconds <= 60:
        raise ConfigError(f"a morph cannot take {job.seconds:g} seconds", "Choose 0.2 to 60 with --seconds")

    if out.suffix.lower() != ".mp4":
        raise OutputError(f"{out} would be a kind of film that morphs are not written as", "Use .mp4")
    if not out.parent.is_dir():
        raise OutputError(f"the folder {out.parent} does not exist", "Create it, or choose another place with --out")
    if out.exists() and not job.overwrite:
        raise OutputError(f"{out} exists already", "Add --overwrite, or name another file")


def _crop(path: Path, model: SwapModel) -> Picture:
    """The aligned crop at the model's size. Raises FaceError if the picture lies in no faceset."""
    with Faceset.open(path.parent.parent) as faceset:
        [record] = faceset.named([path.name])
        crop = faceset.picture(record)
    picture: Picture = resized(crop[None], model.config.size)[0]
    return picture


def _eased(count: int) -> Shares:
    """From 0 to 1 on half a cosine, with an eighth of the frames at rest at either end."""
    moving = np.clip(np.linspace(-1 / 6, 7 / 6, count), 0, 1)
    return np.asarray((1 - np.cos(np.pi * moving)) / 2)


def _title(job: MorphJob) -> str:
    return f"{job.first.stem} as {job.person} to {(job.last or job.first).stem} as {job.to or job.person}"
