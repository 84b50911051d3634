"""Portraits brought to life: what is asked of a face is what the mesh network sees it do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from faceswap.faces.align import align
from faceswap.faces.detect import MTCNNDetector
from faceswap.faces.landmarks import FaceMesh
from faceswap.training.animate import Act, Portraits, alike, animate, draw_acts, paint_mouths, portraits
from faceswap.training.augment import sample
from faceswap.types import AlignedFace, Face
from faceswap_pipelines.actors import CAST, frames

SIDE = 192
STILL = torch.nn.functional.affine_grid(torch.eye(2, 3)[None], [1, 1, SIDE, SIDE], align_corners=False)
ACTORS = [CAST[name] for name in ("ada", "bruno", "dina")]  # behind glasses lids are hard to see


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(scope="module")
def sitters(mesh: FaceMesh) -> list[AlignedFace]:
    """One portrait of each actor."""
    taken = []
    for number, actor in enumerate(ACTORS):
        image = next(iter(frames(actor, 1, 256, seed=number))).image
        face = mesh.locate(image, [MTCNNDetector().detect([image])[0][0]])[0]
        taken.append(align(image, mesh.locate(image, [face])[0], SIDE))
    return taken


def still(faces: Portraits) -> Act:
    """Nothing but what the picture shows."""
    return draw_acts(faces, 0.0, torch.Generator().manual_seed(0))


def seen(mesh: FaceMesh, sitter: AlignedFace, **does: torch.Tensor) -> Face:
    """The mesh of a portrait that does something else than it did."""
    faces = portraits(sitter.crop_points[None], SIDE)
    animated = animate(faces, dataclasses.replace(still(faces), **does), STILL)
    picture = torch.from_numpy(sitter.image).permute(2, 0, 1)[None]
    painted = paint_mouths(sample(picture, animated.source), animated, torch.full((1, 5), 0.5))
    image = (painted[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return mesh.locate(image, [mesh.locate(image, [Face(sitter.crop_points, 1.0)])[0]])[0]


def jaw(much: float) -> torch.Tensor:
    return torch.nn.functional.pad(torch.tensor([[much]]), (0, 6))


def test_a_face_that_does_nothing_else_is_the_portrait(sitters: list[AlignedFace]) -> None:
    for sitter in sitters:
        faces = portraits(sitter.crop_points[None], SIDE)
        animated = animate(faces, still(faces), STILL)
        assert (animated.source - STILL).abs().max() < 1e-3
        assert not animated.mouth.any()


def test_acts_are_the_same_for_the_same_seed_and_weaken_to_nothing(sitters: list[AlignedFace]) -> None:
    faces = portraits(np.stack([sitter.crop_points for sitter in sitters]), SIDE)
    one, again, other = (draw_acts(faces, 1.0, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.blend, again.blend)
    assert not torch.equal(one.blend, other.blend)
    assert still(faces).blend.abs().max() == 0
    assert torch.equal(still(faces).turn, faces.turn)


def test_who_does_alike_is_somebody_else(sitters: list[AlignedFace]) -> None:
    meshes = [seen_twice.crop_points for seen_twice in sitters for _ in range(2)]
    faces = portraits(np.stack(meshes), SIDE)
    persons = [number for number in range(len(sitters)) for _ in range(2)]
    nearest = alike(faces, persons, 2)
    for face, others in enumerate(nearest.tolist()):
        assert all(persons[other] != persons[face] for other in others)
