"""Sample: faces that nobody has shown, drawn from the prior of a latent, or from a distribution fitted to its codes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from faceswap.errors import ConfigError, ModelError
from faceswap.faces.detect import MTCNNDetector
from faceswap.faces.landmarks import FaceMesh
from faceswap.latent.codes import Codes, Pictures, decode, sample
from faceswap.latent.faces import measure_pictures
from faceswap.latent.gaussian import fit_gaussian
from faceswap.model.folder import load_model
from faceswap.model.swap_model import SwapModel
from faceswap.types import Picture
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.devices import pick_device
from faceswap_pipelines.common.marks import seal_of, write_marked
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.latent.faces import LatentInputs, coded_faces

_COLUMNS = 8
_SIDE = 144  # pixels of a face on the sheet
_MARGIN = 0.2  # of a picture's side, added all round: the detector is used to faces with something round them


@dataclass(frozen=True, kw_only=True)
class SampleJob:
    """How many faces to draw, and from what."""

    model: Path
    count: int = 16
    """For each person."""
    temperature: float = 1.0
    """How far draws reach from what is most likely, see `faceswap.latent.codes.sample`."""
    seed: int = 0
    fit: LatentInputs | None = None
    """Faces to whose codes a normal distribution is fitted, which is drawn from instead of the latent's own prior."""
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """One person's new faces, counted."""

    faces: int
    """As the face mesh has it."""
    detected: int
    """As the face detector has it, which looks for a face anywhere in the picture."""
    spread: float
    """Mean distance of the pictures from their mean, 0..255: 0 if they are all the same."""


@dataclass(frozen=True, kw_only=True)
class SampleResult:
    """What was drawn."""

    picture: str
    origin: str
    """What it was drawn from."""
    count: int
    persons: dict[str, Sampled]

    @property
    def text(self) -> str:
        """For people."""
        lines = [f"Drawn from {self.origin}"]
        for person, drawn in self.persons.items():
            lines.append(
                f"{person}: the face mesh takes {drawn.faces} of {self.count} for faces, the detector {drawn.detected};"
                f" they differ by {drawn.spread:.1f} grey levels"
            )
        return "\n".join([*lines, f"Look at {self.picture}"])


def sample_faces(job: SampleJob, out: Path) -> Run[SampleResult]:
    """Draw codes, decode them as every person of the model, and count what finders of faces take for faces.

    Raises ModelError for a latent without a prior, unless the job says to fit one.
    """
    model = load_model(job.model, pick_device(job.device))
    codes, origin = yield from _drawn(job, model)

    mesh, detector = FaceMesh(pick_device(job.device)), MTCNNDetector(pick_device(job.device))
    rows: list[tuple[str, list[Picture]]] = []
    persons: dict[str, Sampled] = {}
    for person in model.config.persons:
        yield Progress(title="Drawing faces", done=len(persons), total=len(model.config.persons), unit="persons")
        pictures = decode(model, codes, person)
        drawn = _counted(pictures, mesh, detector)
        persons[person] = drawn
        title = f"{person}, from {origin}: {drawn.faces} of {job.count} are faces"
        starts = range(0, len(pictures), _COLUMNS)
        rows += [("" if start else title, list(pictures[start : start + _COLUMNS])) for start in starts]

    write_marked(out, sheet(rows, side=_SIDE), seal_of(job.model))
    return SampleResult(picture=str(out), origin=origin, count=job.count, persons=persons)


def _drawn(job: SampleJob, model: SwapModel) -> Run[tuple[Codes, str]]:
    """The codes, and what they were drawn from."""
    warmth = "" if job.temperature == 1 else f" at temperature {job.temperature:g}"
    if job.fit is None:
        if not model.bottleneck.generative:
            raise ModelError(
                f"the {model.config.latent} latent of {job.model} has no prior that faces could be drawn from",
                "Add --fit to draw from a normal distribution fitted to codes of faces; or train with --latent vae",
            )
        return sample(model, job.count, seed=job.seed, temperature=job.temperature), f"the model's prior{warmth}"

    coded = yield from coded_faces(job.fit)
    if not job.temperature > 0:
        raise ConfigError(f"a temperature of {job.temperature:g} draws nothing", "Use one above 0; 1 is as fitted")

    with threadpool_limits(1):
        fitted = fit_gaussian(coded.codes)
        codes = fitted.sample(job.count, seed=job.seed, temperature=job.temperature)
    return codes, f"a normal distribution fitted to {len(coded.codes)} codes{warmth}"


def _counted(pictures: Pictures, mesh: FaceMesh, detector: MTCNNDetector) -> Sampled:
    room = round(_MARGIN * pictures.shape[1])
    framed = [cv2.copyMakeBorder(one, room, room, room, room, cv2.BORDER_REPLICATE) for one in pictures]
    found = [bool(faces) for picture in framed for faces in detector.detect([picture.astype(np.uint8, copy=False)])]

    values = pictures.astype(np.float32)
    return Sampled(
        faces=int(measure_pictures(mesh, pictures).is_face.sum()),
        detected=sum(found),
        spread=float(np.abs(values - values.mean(axis=0)).mean()),
    )
