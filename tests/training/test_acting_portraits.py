"""Portraits brought to life: what is asked of a face is what the mesh network sees it do."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from faceswap.faces.align import align
from faceswap.faces.detect import MTCNNDetector
from faceswap.faces.landmarks import LEFT_EYE, RIGHT_EYE, FaceMesh, eye_opening, mouth_opening, pose
from faceswap.training.augment import resampled
from faceswap.training.base_weights.acting import Motion, Portraits, nearest_expressions, portraits, sample_motions
from faceswap.training.base_weights.animation import animate, paint_mouths
from faceswap.types import AlignedFace, Face
from faceswap_pipelines.demo.actors import CAST, frames

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


def still(faces: Portraits) -> Motion:
    """Nothing but what the picture shows."""
    return sample_motions(faces, 0.0, torch.Generator().manual_seed(0))


def seen(mesh: FaceMesh, sitter: AlignedFace, **does: torch.Tensor) -> Face:
    """The mesh of a portrait that does something else than it did."""
    faces = portraits(sitter.crop_points[None], SIDE)
    animated = animate(faces, dataclasses.replace(still(faces), **does), STILL)
    picture = torch.from_numpy(sitter.image).permute(2, 0, 1)[None]
    painted = paint_mouths(resampled(picture, animated.source), animated, torch.full((1, 5), 0.5))
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


def test_a_jaw_that_drops_opens_the_mouth_as_far(mesh: FaceMesh, sitters: list[AlignedFace]) -> None:
    for sitter in sitters:
        opened = [mouth_opening(seen(mesh, sitter, blend=jaw(much)).points) for much in (0.0, 0.35, 0.7)]
        assert np.all(np.diff(opened) > 0.01), opened
        assert opened[-1] - opened[0] > 0.05, opened


def test_lids_cover_as_much_of_the_eyes_as_they_close(sitters: list[AlignedFace]) -> None:
    for sitter in sitters:
        faces = portraits(sitter.crop_points[None], SIDE)
        eyes = np.zeros((SIDE, SIDE), np.uint8)
        for eye in (LEFT_EYE, RIGHT_EYE):
            cv2.fillPoly(eyes, [sitter.crop_points[list(eye), :2].round().astype(np.int32)], 255)
        eyes = cv2.erode(eyes, np.ones((3, 3), np.uint8))  # without the lids' own edges, which stay to be seen
        area = []
        for closed in (-0.25, 0.0, 0.5, 1.0):
            act = dataclasses.replace(still(faces), lids=torch.full((1, 2), closed))
            shown = resampled(torch.from_numpy(eyes)[None, None], animate(faces, act, STILL).source)
            area.append(float(shown.sum()))
        assert np.all(np.diff(area) < 0), area
        assert area[2] < 0.75 * area[1]
        assert area[3] < 0.3 * area[1]


def test_half_shut_eyes_are_seen_so(mesh: FaceMesh, sitters: list[AlignedFace]) -> None:
    for sitter in sitters:
        half, usual = (
            np.mean(eye_opening(seen(mesh, sitter, lids=torch.full((1, 2), closed)).points)) for closed in (0.5, 0.0)
        )
        assert half < usual - 0.015


@pytest.mark.parametrize(("axis", "name"), [(1, "yaw"), (0, "pitch")])
def test_a_head_that_turns_is_seen_to_turn(axis: int, name: str, mesh: FaceMesh, sitters: list[AlignedFace]) -> None:
    for sitter in sitters:
        faces = portraits(sitter.crop_points[None], SIDE)
        angles = []
        for degrees in (-15, 0, 15):
            turn = torch.zeros(3, 3)
            first, second = [i for i in range(3) if i != axis]
            c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
            turn[axis, axis], turn[first, first], turn[second, second] = 1, c, c
            turn[first, second], turn[second, first] = -s, s
            angles.append(getattr(pose(seen(mesh, sitter, turn=faces.turn @ turn).points), name))
        assert np.all(np.diff(angles) > 2), angles


def test_acts_are_the_same_for_the_same_seed_and_weaken_to_nothing(sitters: list[AlignedFace]) -> None:
    faces = portraits(np.stack([sitter.crop_points for sitter in sitters]), SIDE)
    one, again, other = (sample_motions(faces, 1.0, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.blend, again.blend)
    assert not torch.equal(one.blend, other.blend)
    assert still(faces).blend.abs().max() == 0
    assert torch.equal(still(faces).turn, faces.turn)


def test_who_does_alike_is_somebody_else(sitters: list[AlignedFace]) -> None:
    meshes = [seen_twice.crop_points for seen_twice in sitters for _ in range(2)]
    faces = portraits(np.stack(meshes), SIDE)
    persons = [number for number in range(len(sitters)) for _ in range(2)]
    nearest = nearest_expressions(faces, persons, 2)
    for face, others in enumerate(nearest.tolist()):
        assert all(persons[other] != persons[face] for other in others)
