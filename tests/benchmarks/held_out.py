"""How well a model rebuilds faces that it was not trained on.

    uv run python tests/benchmarks/held_out.py MODEL a=FACESET b=FACESET

For each person: structural similarity (SSIM) of the rebuilt crop with the true one, at the coarse size, over the face
mask (what a swap pastes) and over the whole crop; that of the luminance of the large picture, with the detail stage,
and how much fine detail it has by the true one; and the mask's intersection over union. For each swap, which has
no true picture: whether its mouth and eyes open where the source's do, whose face it is, and whose colour it has. And a
sheet of pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional

from faceswap.faces.identity import Identifier, distance, typical
from faceswap.faces.landmarks import FaceMesh, eye_opening, five_points, mouth_opening
from faceswap.media.pictures import write_picture
from faceswap.model.folder import load_model
from faceswap.model.swap_model import Decoded, Rendered, SwapModel
from faceswap.training.bank import FacePlanes
from faceswap.training.losses import luminance, ssim_map, weighted_mean
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.training.data import load_faces

_LARGE = 256
_BOX = (0.22 * _LARGE, 0.2 * _LARGE, 0.78 * _LARGE, 0.88 * _LARGE)  # about where a face lies in a crop

Meshes = list[tuple[np.ndarray, np.ndarray]]
Rows = list[tuple[str, list[np.ndarray]]]


@dataclass(frozen=True)
class Quality:
    """Of one person's faces, rebuilt."""

    face: float
    """SSIM over the face mask."""
    crop: float
    """SSIM over the whole crop."""
    large: float
    """SSIM of the large picture's luminance over the face mask."""
    detail: float
    """Energy of what is finer than a 5 px mean in the large picture, rebuilt by true."""
    overlap: float
    """Of the mask with the true one: intersection over union."""


@dataclass(frozen=True)
class SwapQuality:
    """Of one person's faces, decoded as another."""

    mouth: float
    """Correlation over the faces of how far the mouth is open, before and after, by the face mesh."""
    eyes: float
    """... and of how far the eyes are."""
    to_target: float
    """Mean distance from the typical identity of whom it should be; SAME_PERSON is 0.55."""
    to_source: float
    """... and from that of whom it was."""
    colour: float
    """Distance of its mean colour inside the mask from that of whom it should be, in CIE Lab (delta E, 1976)."""


def load(facesets: Mapping[str, Path], side: int) -> dict[str, FacePlanes]:
    """By person: all kept faces at `side` px."""
    return {person: run(load_faces(folder, side)) for person, folder in facesets.items()}


@torch.inference_mode()
def measure(model: SwapModel, faces: Mapping[str, FacePlanes]) -> dict[str, Quality]:
    """By person; `faces` have the size of the model's large picture."""
    device = next(model.parameters()).device
    return {person: _quality(*_rebuilt(model, theirs.to(device), person)) for person, theirs in faces.items()}


def _rebuilt(model: SwapModel, faces: FacePlanes, person: str) -> tuple[Rendered, torch.Tensor, torch.Tensor]:
    """What the model makes of faces, and these themselves with their masks, 0..1: large and reduced."""
    large, size = model.config.output_size, model.config.size
    true = functional.interpolate(faces.float() / 255, size=(large, large), mode="bilinear")
    small = functional.adaptive_avg_pool2d(true[:, :4], size)
    made = [model.render(model.encode(some), person) for some in small[:, :3].split(32)]
    return Rendered(_together([m.fine for m in made]), _together([m.coarse for m in made])), true, small


def _together(decoded: list[Decoded]) -> Decoded:
    return Decoded(*(torch.cat([getattr(one, name) for one in decoded]) for name in ("picture", "mask", "logits")))


def _quality(made: Rendered, true: torch.Tensor, small: torch.Tensor) -> Quality:
    likeness, mask, found = ssim_map(made.coarse.picture, small[:, :3]), small[:, 3:] > 0.5, made.coarse.mask > 0.5
    inside = (true[:, 3:4] > 0.5).float()
    seen, wanted = luminance(made.fine.picture), luminance(true[:, :3])
    fine = [((x - functional.avg_pool2d(x, 5, 1, 2)) ** 2 * inside).sum() for x in (seen, wanted)]
    return Quality(
        float(weighted_mean(likeness, mask.float())),
        float(likeness.mean()),
        float(weighted_mean(ssim_map(seen, wanted), inside)),
        float(fine[0] / fine[1]),
        float((mask & found).sum() / (mask | found).sum()),
    )


@torch.inference_mode()
def measure_swaps(model: SwapModel, faces: Mapping[str, FacePlanes]) -> dict[tuple[str, str], SwapQuality]:
    """By who is shown and whom they are decoded as; `faces` are as for `measure`. Of the coarse pictures."""
    device = next(model.parameters()).device
    mesh, identifier = FaceMesh(device), Identifier(device)
    small = {
        person: functional.adaptive_avg_pool2d(theirs[:, :4].float().to(device) / 255, model.config.size)
        for person, theirs in faces.items()
    }
    true = {person: theirs[:, :3] for person, theirs in small.items()}
    colours = {person: _mean_colour(true[person], theirs[:, 3:]) for person, theirs in small.items()}
    seen = {person: _meshes(mesh, theirs) for person, theirs in true.items()}
    typically = {person: typical(_identities(identifier, found)) for person, found in seen.items()}
    measured = {}
    for source, target in permutations(faces, 2):
        decoded = model.decode(model.encode(true[source]), target)
        made = _meshes(mesh, decoded.picture)
        who = _identities(identifier, made)
        measured[source, target] = SwapQuality(
            _correlation(mouth_opening, seen[source], made),
            _correlation(lambda points: sum(eye_opening(points)), seen[source], made),
            float(np.mean([distance(one, typically[target]) for one in who])),
            float(np.mean([distance(one, typically[source]) for one in who])),
            float(np.linalg.norm(_mean_colour(decoded.picture, decoded.mask) - colours[target])),
        )
    return measured


def _correlation(opening: Callable[[np.ndarray], float], before: Meshes, after: Meshes) -> float:
    values = [[opening(points) for _, points in found] for found in (before, after)]
    return float(np.corrcoef(values)[0, 1])


def _mean_colour(faces: torch.Tensor, masks: torch.Tensor) -> np.ndarray:
    """Mean CIE Lab colour inside the masks."""
    lab = np.concatenate([cv2.cvtColor(face.astype(np.float32) / 255, cv2.COLOR_RGB2Lab) for face in pictures(faces)])
    weight = masks[:, 0].reshape(-1, lab.shape[1], 1).cpu().numpy()
    return (lab * weight).sum((0, 1)) / weight.sum()


def _identities(identifier: Identifier, found: Meshes) -> np.ndarray:
    return identifier.embed([(picture, five_points(points)) for picture, points in found])


def _meshes(mesh: FaceMesh, faces: torch.Tensor) -> Meshes:
    """Each face enlarged, with its mesh: looked for twice, the second time where the first one lay."""
    large = [cv2.resize(face, (_LARGE, _LARGE), interpolation=cv2.INTER_CUBIC) for face in pictures(faces)]
    found = mesh.locate_each([(picture, _BOX) for picture in large])
    found = mesh.locate_each(list(zip(large, found, strict=True)))
    return [(picture, face.points) for picture, face in zip(large, found, strict=True)]


@torch.inference_mode()
def rows(model: SwapModel, faces: Mapping[str, FacePlanes], columns: int = 8) -> Rows:
    """Each person's faces, and what each decoder makes of them."""
    shown: Rows = []
    for person, theirs in faces.items():
        some = theirs[torch.linspace(0, len(theirs) - 1, columns).long(), :3].float() / 255
        some = some.to(next(model.parameters()).device)
        latent = model.encode(functional.adaptive_avg_pool2d(some, model.config.size))
        shown.append((f"{person}, held out", pictures(some)))
        shown += [(f"{person} as {o}", pictures(model.render(latent, o).fine.picture)) for o in model.config.persons]
    return shown


def pictures(batch: torch.Tensor) -> list[np.ndarray]:
    """RGB uint8 pictures of a float batch."""
    return list((batch * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy())


def named(texts: list[str]) -> dict[str, Path]:
    """NAME=FACESET by name."""
    return {name: Path(folder) for name, _, folder in (text.partition("=") for text in texts)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("facesets", nargs="+", metavar="NAME=FACESET")
    parser.add_argument("--sheet", type=Path, default=Path("held_out.png"))
    arguments = parser.parse_args()
    model = load_model(arguments.model, torch.device("cpu"))
    faces = load(named(arguments.facesets), model.config.output_size)
    for person, quality in measure(model, faces).items():
        print(
            f"{person}: {len(faces[person])} faces  SSIM of the face {quality.face:.3f}"
            f"  of the whole crop {quality.crop:.3f}  of the large face {quality.large:.3f}, which has"
            f" {quality.detail:.2f} of the fine detail  mask IoU {quality.overlap:.3f}"
        )
    for (source, target), swapped in measure_swaps(model, faces).items():
        print(
            f"{source} as {target}: mouth follows with r {swapped.mouth:.2f}, eyes {swapped.eyes:.2f}"
            f"  distance from {target} {swapped.to_target:.2f}, from {source} {swapped.to_source:.2f}"
            f"  colour {swapped.colour:.1f} from {target}'s"
        )
    write_picture(arguments.sheet, sheet(rows(model, faces), side=256))
    print(f"look at {arguments.sheet}")


if __name__ == "__main__":
    main()
