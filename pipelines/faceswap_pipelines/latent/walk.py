"""Walk: change one number of a code at a time, and see what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from faceswap.errors import ModelError
from faceswap.faces.identity import Identifier
from faceswap.faces.landmarks import FaceMesh
from faceswap.latent.codes import Code, Codes, decode
from faceswap.latent.disentanglement import Dci, Gap, dci, mutual_information_gaps
from faceswap.latent.faces import identities_of, measure_pictures
from faceswap.latent.walk import (
    Directions,
    most_ordinary,
    number_directions,
    picture_changes,
    principal_directions,
    spreads_of,
    walk,
)
from faceswap.model.swap_model import SwapModel
from faceswap.types import Picture
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.marks import seal_of, write_marked
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.latent.faces import CodedFaces, LatentInputs, coded_faces

_STEPS = 7  # pictures in a row
_SIDE = 144  # pixels of each on the sheet
_WORTH_TELLING = 0.5  # standard deviations that a measure has to move
_COMPONENTS = 64  # principal directions that are compared


@dataclass(frozen=True, kw_only=True)
class WalkJob:
    """From whose ordinary face to walk, and how far."""

    inputs: LatentInputs
    person: str
    """Whose decoder draws, and among whose faces walks begin."""
    rows: int = 12
    """Directions that are shown: those that change the picture most."""
    reach: float = 2.5
    """How far to either side, in standard deviations of the codes."""
    principal: bool = False
    """Along principal directions instead of single numbers."""


@dataclass(frozen=True, kw_only=True)
class Walked:
    """One row of the sheet."""

    name: str
    pixels: float
    """Root mean square difference between the two ends, 0..255."""
    moves: dict[str, float]
    """By measure, its change from end to end in standard deviations over the faces."""
    identity: float
    """How far apart an identity network sees the ends: 0.6 and more are two people, for filmed faces."""

    @property
    def text(self) -> str:
        """For people: what it moves, the most moved first."""
        strongest = sorted(self.moves.items(), key=lambda move: -abs(move[1]))
        told = [f"{name} {change:+.1f}" for name, change in strongest if abs(change) >= _WORTH_TELLING]
        return f"{self.name}: {', '.join(told) or 'no measure'}; identity {self.identity:.2f}"


@dataclass(frozen=True, kw_only=True)
class WalkResult:
    """What the numbers mean, and how far each means one thing only."""

    picture: str
    rows: list[Walked]
    gaps: dict[str, Gap]
    """By measure, see `faceswap.latent.disentanglement`; of single numbers, or of the principal directions walked."""
    mig: float
    """Their mean."""
    dci: Dci

    @property
    def text(self) -> str:
        """For people."""
        return "\n".join(
            [
                *(row.text for row in self.rows),
                f"MIG {self.mig:.2f}; DCI: disentanglement {self.dci.disentanglement:.2f}, completeness"
                f" {self.dci.completeness:.2f}, informativeness {self.dci.informativeness:.2f}",
                f"Look at {self.picture}",
            ]
        )


def walk_latent(job: WalkJob, out: Path) -> Run[WalkResult]:
    """Walk from the person's most ordinary face along every direction; show those that change it most, and score all.

    Raises ModelError if the model cannot draw the person, ConfigError if no faces of theirs are given.
    """
    coded = yield from coded_faces(job.inputs)
    own = coded.codes[coded.of(job.person)]
    check_person(coded.model, job.person)
    start = own[most_ordinary(own)]

    # Which directions change most, and what.
    yield Progress(title="Walking", done=0, total=3, unit="parts", note="looking at every direction")
    with threadpool_limits(1):
        directions = principal_directions(own, _COMPONENTS) if job.principal else number_directions(own)
    changes = picture_changes(model=coded.model, person=job.person, start=start, directions=directions, reach=job.reach)
    strongest = np.argsort(-changes, kind="stable")[: job.rows]

    # Those as rows of a sheet.
    yield Progress(title="Walking", done=1, total=3, unit="parts", note="drawing")
    spreads = spreads_of({name: values[coded.of(job.person)] for name, values in coded.factors.items()})
    walker = _Walker(job, coded.model, start, spreads)
    walked: list[Walked] = []
    rows: list[tuple[str, list[Picture]]] = []
    for place in strongest:
        row, pictures = walker.row(directions.names[place], directions.steps[place], float(changes[place]))
        walked.append(row)
        rows.append((row.text, pictures))
    write_marked(out, sheet(rows, side=_SIDE), seal_of(job.inputs.model))

    # How far one number means one thing.
    yield Progress(title="Walking", done=2, total=3, unit="parts", note="scoring")
    with threadpool_limits(1):
        gaps, scores = scored(coded, directions if job.principal else None)
    return WalkResult(
        picture=str(out), rows=walked, gaps=gaps, mig=float(np.mean([gap.gap for gap in gaps.values()])), dci=scores
    )


def check_person(model: SwapModel, person: str) -> None:
    """Raises ModelError if the model has no decoder for this person."""
    if person not in model.config.persons:
        raise ModelError(f"the model knows no person '{person}'", f"Choose one of: {', '.join(model.config.persons)}")


class _Walker:
    """Draws walks, and measures their ends."""

    def __init__(self, job: WalkJob, model: SwapModel, start: Code, spreads: Mapping[str, float]) -> None:
        self._job, self._model, self._start, self._spreads = job, model, start, spreads
        device = next(model.parameters()).device
        self._mesh, self._identifier = FaceMesh(device), Identifier(device)

    def row(self, name: str, step: Code, pixels: float) -> tuple[Walked, list[Picture]]:
        """One walk: what it moves, and its pictures."""
        reaches = np.linspace(-self._job.reach, self._job.reach, _STEPS)
        pictures = decode(self._model, walk(self._start, step, reaches), self._job.person)

        ends = pictures[[0, -1]]
        drawn = measure_pictures(self._mesh, ends)
        moves = {
            factor: float(np.diff(values)[0]) / max(self._spreads[factor], 1e-9)
            for factor, values in drawn.measures.items()
        }
        before, behind = identities_of(self._identifier, ends, drawn)
        identity = float(np.linalg.norm(behind - before))
        return Walked(name=name, pixels=pixels, moves=moves, identity=identity), list(pictures)


def scored(coded: CodedFaces, directions: Directions | None) -> tuple[dict[str, Gap], Dci]:
    """MIG by measure and DCI, of the codes' numbers, or of their coordinates along directions.

    Of everybody's faces together, since measures are compared within each person: from each person's own mean.
    """
    codes = _centred(coded.codes.astype(np.float64), coded)
    factors = {name: _centred(values[:, None], coded)[:, 0] for name, values in coded.factors.items()}
    if directions is not None:
        lengths = np.linalg.norm(directions.steps, axis=1, keepdims=True)
        codes = codes @ (directions.steps / np.maximum(lengths, 1e-12)).T
    return mutual_information_gaps(codes, factors), dci(codes, factors)


def _centred(values: Codes, coded: CodedFaces) -> Codes:
    """Values from the mean of the person whose they are."""
    means = np.stack([values[coded.persons == person].mean(axis=0) for person in range(len(coded.names))])
    return np.asarray(values - means[coded.persons])
