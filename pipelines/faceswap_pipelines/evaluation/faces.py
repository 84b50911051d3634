"""Faces kept aside, rebuilt by models and decoded as each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from faceswap.errors import ModelError
from faceswap.model.folder import load_model
from faceswap.model.swap_model import SwapModel
from faceswap.quality.reconstruction import FaceScores, crop_swaps, pictures_of, rebuild
from faceswap.training.bank import FacePlanes
from faceswap.types import Picture
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.evaluation.job import ModelQuality
from faceswap_pipelines.training.data import load_faces

MOST_FACES = 96
"""Of each person, evenly from the faceset: more change the means by less than what differs between clips."""
_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What is shown of one person's faces."""

    rows: tuple[tuple[str, list[Picture]], ...]
    """With their titles: as filmed, rebuilt, and as everybody else."""
    worst: list[tuple[float, Picture, Picture]]
    """Structural similarity, as filmed, rebuilt: the worst first."""


def measure_faces(
    models: tuple[Path, ...], facesets: Mapping[str, Path], device: torch.device
) -> Run[tuple[list[ModelQuality], dict[str, Rebuilt]]]:
    """The quality of each model, and what is to be shown of the first one, by person.

    Raises ModelError if a model does not know one of the persons.
    """
    loaded = {folder: load_model(folder, device) for folder in models}
    for folder, model in loaded.items():
        _check(folder, model, facesets)

    # All models see the same faces, at the size of the largest picture that one of them makes.
    side = max(model.config.output_size for model in loaded.values())
    faces = {}
    for person, faceset in facesets.items():
        everything = yield from load_faces(faceset, side, person=person)
        faces[person] = _evenly(everything, MOST_FACES)

    qualities: list[ModelQuality] = []
    shown: dict[str, Rebuilt] = {}
    for number, (folder, model) in enumerate(loaded.items()):
        yield Progress(title="Rebuilding faces", done=number, total=len(loaded), unit="models", note=folder.name)
        scores = {person: rebuild(model, theirs, person) for person, theirs in faces.items()}
        swapped = crop_swaps(model, faces) if len(faces) > 1 else {}
        qualities.append(
            ModelQuality(
                model=str(folder),
                faces={person: len(theirs) for person, theirs in faces.items()},
                rebuilt={person: score.mean(model.config.output_size) for person, score in scores.items()},
                swapped={f"{source} as {target}": swap for (source, target), swap in swapped.items()},
            )
        )
        if not shown:
            shown = {person: _shown(model, theirs, person, scores[person]) for person, theirs in faces.items()}
    return qualities, shown


def _check(folder: Path, model: SwapModel, facesets: Mapping[str, Path]) -> None:
    persons = model.config.persons
    if unknown := next((person for person in facesets if person not in persons), None):
        raise ModelError(
            f"the model {folder} does not know '{unknown}'", f"Name its persons with --clip: {', '.join(persons)}"
        )


def _evenly(faces: FacePlanes, count: int) -> FacePlanes:
    return faces[torch.linspace(0, len(faces) - 1, min(count, len(faces))).long()]


@torch.inference_mode()
def _shown(model: SwapModel, faces: FacePlanes, person: str, scores: FaceScores) -> Rebuilt:
    """Some faces evenly, and the worst ones."""
    others = [other for other in model.config.persons if other != person]
    some = _evenly(faces, _SHOWN)
    rows = [(f"{person}, kept aside", _filmed(some))]
    rows += [("rebuilt" if who == person else f"as {who}", _drawn(model, some, who)) for who in (person, *others)]

    order = torch.argsort(scores.large)[:_SHOWN]
    worst = zip(scores.large[order].tolist(), _filmed(faces[order]), _drawn(model, faces[order], person), strict=True)
    return Rebuilt(rows=tuple(rows), worst=list(worst))


def _filmed(faces: FacePlanes) -> list[Picture]:
    return pictures_of(faces[:, :3].float() / 255)


def _drawn(model: SwapModel, faces: FacePlanes, person: str) -> list[Picture]:
    device = next(model.parameters()).device
    small = torch.nn.functional.adaptive_avg_pool2d(faces[:, :3].float().to(device) / 255, model.config.size)
    return pictures_of(model.render(model.encode(small), person).fine.picture)
