"""Lids and irises, on drawn actors whose truth is known.

`data/irises_reference.npz` holds 64 px pictures of eyes of two actors and what MediaPipe's own `iris_landmark.tflite`
made of them under ai-edge-litert 2.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from faceswap.faces.irises import EYES, Eye, IrisFinder, IrisNetwork, nearer_eye
from faceswap.faces.landmarks import FaceMesh, pose
from faceswap.types import Detection, MeshPoints, Picture
from faceswap.weights import weight_file
from faceswap_pipelines.demo.actors import CAST, Rendering, frames

FRAMES = 40
REFERENCE = Path(__file__).parents[1] / "data" / "irises_reference.npz"
Shots = list[tuple[Rendering, MeshPoints]]


@pytest.fixture(scope="module")
def finder() -> IrisFinder:
    return IrisFinder()


@pytest.fixture(scope="module", params=["ada", "bruno", "dina"])
def shots(request: pytest.FixtureRequest) -> Shots:
    """An actor without glasses, and the face mesh in each frame."""
    drawn = list(islice(frames(CAST[request.param], FRAMES, 256, 0), FRAMES))
    mesh = FaceMesh()
    first = mesh.locate_each([(shot.image, Detection((0, 0, 0, 0), 1.0, shot.landmarks)) for shot in drawn])
    faces = mesh.locate_each([(shot.image, face) for shot, face in zip(drawn, first, strict=True)])
    return [(shot, face.points) for shot, face in zip(drawn, faces, strict=True)]


def looked_at(finder: IrisFinder, shots: Shots) -> list[tuple[Eye, Eye]]:
    eyes = finder.locate([(shot.image, points, outline) for shot, points in shots for outline in EYES])
    return list(zip(eyes[::2], eyes[1::2], strict=True))


def test_lids_are_as_far_apart_as_they_were_drawn(finder: IrisFinder, shots: Shots) -> None:
    openings = [(left.opening + right.opening) / 2 for left, right in looked_at(finder, shots)]
    lids = [shot.performance.lid for shot, _ in shots]
    assert np.corrcoef(openings, lids)[0, 1] > 0.9


def test_both_eyes_look_the_same_way_and_where_they_were_drawn_to(finder: IrisFinder, shots: Shots) -> None:
    opened = [(shot, points) for shot, points in shots if shot.performance.lid > 0.8]
    gazes = np.array([(left.gaze, right.gaze) for left, right in looked_at(finder, opened)])
    true = np.array([shot.performance.gaze[0] for shot, _ in opened])
    for side in gazes.T:
        assert np.corrcoef(side, true)[0, 1] > 0.8


def test_a_mirrored_face_has_mirrored_eyes(finder: IrisFinder, shots: Shots) -> None:
    def mirrored(picture: Picture, points: MeshPoints) -> tuple[Picture, MeshPoints]:
        other = points.copy()
        other[:, 0] = picture.shape[1] - 1 - other[:, 0]
        for left, right in zip(*EYES, strict=True):
            other[[left, right]] = other[[right, left]]
        return np.ascontiguousarray(picture[:, ::-1]), other

    shot, points = shots[0]
    [(left, right)] = looked_at(finder, [(shot, points)])
    there, back = finder.locate([(*mirrored(shot.image, points), outline) for outline in EYES])
    assert there.gaze == pytest.approx(-right.gaze, abs=0.01)
    assert back.gaze == pytest.approx(-left.gaze, abs=0.01)
    assert shot.image.shape[1] - 1 - there.iris[0] == pytest.approx(right.iris[0], abs=0.3)


def test_the_nearer_eye_is_the_one_that_a_turned_head_shows(shots: Shots) -> None:
    for _, points in shots:
        yaw = pose(points).yaw
        if abs(yaw) > 15:
            assert nearer_eye(points) == (0 if yaw > 0 else 1)
        elif abs(yaw) < 3:
            assert nearer_eye(points) == 0


def test_it_equals_the_original() -> None:
    network = IrisNetwork()
    network.load_state_dict({name: value.float() for name, value in load_file(weight_file("irises")).items()})
    reference = np.load(REFERENCE)
    pixels = torch.from_numpy(reference["pictures"]).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        lids, irises = (points.numpy() for points in network.eval()(pixels))
    for points, true in ((lids, reference["lids"]), (irises, reference["irises"])):
        np.testing.assert_allclose(points[..., :2], true[..., :2], atol=0.1)  # weights were rounded to float16


def test_the_network_looks_at_eyes_one_by_one() -> None:
    network = IrisNetwork().eval()
    eyes = torch.rand(3, 3, 64, 64)
    together, alone = network(eyes), network(eyes[1:2])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[1:2], other, rtol=1e-3, atol=1e-3)


def test_no_eyes_are_found_where_none_are_asked_for(finder: IrisFinder) -> None:
    assert finder.locate([]) == []
