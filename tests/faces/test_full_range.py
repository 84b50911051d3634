"""The second detector: equal to the original network, and not put off by how a head is turned in the picture.

`data/full_range_reference.npz` holds 192 px pictures (two actors, black) and what MediaPipe's own
`face_detection_full_range.tflite` made of them under ai-edge-litert 2: all scores, and the best cell's numbers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from faceswap.faces.full_range import FullRangeDetector, FullRangeNetwork
from faceswap.faces.landmarks import pose
from faceswap.types import Picture
from faceswap.weights import weight_file
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.demo.actors import CAST, Rendering, Stage, perform
from faceswap_pipelines.demo.people import PEOPLE, film

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
REFERENCE = Path(__file__).parents[1] / "data" / "full_range_reference.npz"


@pytest.fixture(scope="module")
def upright() -> Rendering:
    return Stage(CAST["ada"]).render(replace(perform(0, 0), roll=0.0))


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(CPU)


def rolled(image: Picture, degrees: float) -> tuple[Picture, np.ndarray]:
    """The picture turned clockwise about its middle, and the matrix of that."""
    middle = ((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, -degrees, 1)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), matrix


def test_it_equals_the_original() -> None:
    network = FullRangeNetwork()
    network.load_state_dict(load_file(weight_file("full_range")))
    reference = np.load(REFERENCE)
    pixels = torch.from_numpy(reference["pictures"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        scores, places = (values.numpy() for values in network.eval()(pixels))
    np.testing.assert_allclose(scores, reference["scores"], atol=0.001)
    for place, (row, column), true in zip(places, reference["cells"], reference["places"], strict=True):
        np.testing.assert_allclose(place[:, row, column], true, atol=0.001)


@pytest.mark.parametrize("degrees", range(0, 360, 45))
def test_points_lie_on_the_face_however_it_is_turned(degrees: int, upright: Rendering) -> None:
    image, matrix = rolled(upright.image, degrees)
    [face] = FullRangeDetector().detect([image])[0]
    true = upright.landmarks @ matrix[:, :2].T + matrix[:, 2]
    size = np.linalg.norm(upright.landmarks[:2].mean(axis=0) - upright.landmarks[3:].mean(axis=0))
    assert np.linalg.norm(face.landmarks - true, axis=1).max() < 0.45 * size
    left, top, right, bottom = face.box
    assert ((true > [left, top]) & (true < [right, bottom])).all()


@pytest.mark.parametrize("shape", [(120, 400), (400, 120), (64, 64), (8, 8)])
def test_nothing_is_found_in_noise(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    assert FullRangeDetector().detect([noise, np.zeros_like(noise)]) == [[], []]


@pytest.mark.parametrize("degrees", range(0, 360, 30))
def test_heads_at_any_angle_are_found_with_their_mesh(degrees: int, finder: FaceFinder) -> None:
    for person in PEOPLE:
        image, _ = rolled(next(iter(film(person, 1))), degrees)
        tracks, [(_, seen)] = finder.look_at([image])
        assert len(tracks) == 1
        away = (pose(seen.faces[0].points).roll - degrees + 180) % 360 - 180
        assert abs(away) < 12


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_somebody_who_lies_beside_somebody_upright_is_found(quarters: int, finder: FaceFinder) -> None:
    upright, lying = (next(iter(film(person, 1))) for person in PEOPLE)
    _, [(_, seen)] = finder.look_at([np.hstack([upright, np.rot90(lying, quarters)])])
    left, right = sorted(seen.faces, key=lambda face: face.box[0])
    assert abs(pose(left.points).roll) < 12
    assert abs((pose(right.points).roll + 90 * quarters + 180) % 360 - 180) < 12
