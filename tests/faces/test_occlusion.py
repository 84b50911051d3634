"""What lies in front of faces: seen before people and of kinds that were not trained on; bare faces are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import UInt8

from faceswap.faces.align import align
from faceswap.faces.masks import face_mask, feature_mask
from faceswap.faces.occlusion import SIDE, OcclusionFinder
from faceswap.training.bank import Sample
from faceswap.training.occlusion.learning import Step, loss, measure, new_network, train
from faceswap.training.occlusion.occluders import HELD_OUT, TRAINED, Pool
from faceswap.training.occlusion.samples import batch_of, draw_sample
from faceswap_pipelines.common.analyse import FaceFinder
from faceswap_pipelines.demo.people import PEOPLE, film

CPU = torch.device("cpu")
LARGE = 192


@pytest.fixture(scope="module")
def people() -> UInt8[torch.Tensor, "faces 5 side side"]:
    """Faces of the demo's people, of whom the network knows nothing, with their masks."""
    finder, faces = FaceFinder(CPU), []
    for person in PEOPLE:
        pictures = list(film(person, 31))[::10]
        for picture, (_, seen) in zip(pictures, finder.look_at(pictures)[1], strict=True):
            crop = align(picture, seen.faces[0], LARGE)
            masks = (draw(crop.crop_points, LARGE) for draw in (face_mask, feature_mask))
            faces.append(Sample(crop.image, *masks).planes())
    return torch.stack(faces)


def test_things_are_found_before_people_who_were_not_trained_on(people: torch.Tensor) -> None:
    network = OcclusionFinder(CPU)._network
    with_things = measure(network, people, HELD_OUT)
    assert with_things.iou > 0.8
    assert with_things.false_hits < 0.03
    untrained = measure(new_network().eval(), people, HELD_OUT)
    assert with_things.iou > untrained.iou + 0.2


def test_a_crop_is_visible_where_nothing_lies(people: torch.Tensor) -> None:
    rng = np.random.default_rng(1)
    crop = (draw_sample(people, 0, {}, rng).picture * 255).astype(np.uint8)
    covered = crop.copy()
    covered[80:128, 30:100] = (20, 90, 40)
    bare, half = OcclusionFinder(CPU).visible([crop, covered])
    assert bare[30:100, 35:93].mean() > 0.97
    assert half[90:120, 45:85].mean() < 0.2
    assert half[35:65, 40:88].mean() > 0.9
    assert OcclusionFinder(CPU).visible([]).shape == (0, SIDE, SIDE)


@pytest.mark.parametrize("kind", [*TRAINED, *HELD_OUT])
def test_occluders_are_pictures_with_covers(kind: str) -> None:
    pool = Pool([np.random.default_rng(0).random((64, 64, 3), np.float32)], np.array([0.8, 0.6, 0.5]))
    draw = (dict(TRAINED) | dict(HELD_OUT))[kind]
    shares = []
    for seed in range(6):
        drawn, again = (draw(np.random.default_rng(seed), SIDE, pool) for _ in range(2))
        assert drawn.colour.shape == (SIDE, SIDE, 3)
        assert 0 <= drawn.cover.min() <= drawn.cover.max() <= 1
        assert (drawn.colour[drawn.cover > 0.5] >= 0).all()
        np.testing.assert_array_equal(drawn.cover, again.cover)
        shares.append(drawn.cover.mean())
    assert 0 < np.mean(shares) < 0.8


def test_training_learns_from_a_few_batches(people: torch.Tensor) -> None:
    torch.manual_seed(0)
    steps: list[Step] = []
    for step in train(new_network(), people, seconds=1e6):
        steps.append(step)
        if step.number == 14:
            break
    assert np.mean([step.loss for step in steps[-3:]]) < 0.94 * np.mean([step.loss for step in steps[:3]])


def test_the_loss_asks_only_where_the_face_is(people: torch.Tensor) -> None:
    _, covers, faces = batch_of([draw_sample(people, n, TRAINED, np.random.default_rng(n)) for n in range(4)])
    right = (covers - 0.5) * 20
    wrong_beside = torch.where(faces > 0, right, -right)
    hard = (covers > 0.5).float()
    assert loss(right, hard, faces) < 0.15
    assert loss(wrong_beside, hard, faces) < 0.3 * loss(-right, hard, faces)
