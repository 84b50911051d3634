"""What lies in front of faces: seen before people and of kinds that were not trained on; bare faces are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import UInt8

from faceswap.faces.align import align
from faceswap.faces.landmarks import FaceMesh
from faceswap.faces.masks import face_mask, feature_mask
from faceswap.faces.occlusion import SIDE, OcclusionFinder
from faceswap.training.bank import Sample
from faceswap.training.occlusion.learning import Step, loss, measure, new_network, train
from faceswap.training.occlusion.occluders import HELD_OUT, TRAINED, Pool
from faceswap.training.occlusion.samples import batch_of, draw_sample
from faceswap_pipelines.demo.actors import CAST, Stage, perform

CPU = torch.device("cpu")
LARGE = 192


@pytest.fixture(scope="module")
def actors() -> UInt8[torch.Tensor, "faces 5 side side"]:
    """Drawn actors, of whom the network knows nothing, with their masks."""
    mesh, faces = FaceMesh(CPU), []
    for number, actor in enumerate(CAST.values()):
        stage = Stage(actor, 256)
        for moment in (3, 40):
            picture = stage.render(perform(moment, number)).image
            face = mesh.locate_each([(picture, (48.0, 40.0, 208.0, 232.0))])[0]
            face = mesh.locate_each([(picture, face)])[0]
            crop = align(picture, face, LARGE)
            points = crop.crop_points
            faces.append(Sample(crop.image, face_mask(points, LARGE), feature_mask(points, LARGE)).planes())
    return torch.stack(faces)


def test_things_are_found_before_people_who_were_not_trained_on(actors: torch.Tensor) -> None:
    network = OcclusionFinder(CPU)._network
    with_things = measure(network, actors, HELD_OUT)
    assert with_things.iou > 0.8
    assert with_things.false_hits < 0.03
    untrained = measure(new_network().eval(), actors, HELD_OUT)
    assert with_things.iou > untrained.iou + 0.2


def test_a_crop_is_visible_where_nothing_lies(actors: torch.Tensor) -> None:
    rng = np.random.default_rng(1)
    crop = (draw_sample(actors, 0, {}, rng).picture * 255).astype(np.uint8)
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


def test_training_learns_from_ten_batches(actors: torch.Tensor) -> None:
    torch.manual_seed(0)
    steps: list[Step] = []
    for step in train(new_network(), actors, seconds=1e6):
        steps.append(step)
        if step.number == 10:
            break
    assert np.mean([step.loss for step in steps[-3:]]) < 0.9 * np.mean([step.loss for step in steps[:3]])


def test_the_loss_asks_only_where_the_face_is(actors: torch.Tensor) -> None:
    _, covers, faces = batch_of([draw_sample(actors, n, TRAINED, np.random.default_rng(n)) for n in range(4)])
    right = (covers - 0.5) * 20
    wrong_beside = torch.where(faces > 0, right, -right)
    assert loss(right, covers, faces) < 0.05
    assert loss(wrong_beside, covers, faces) < 0.2 * loss(-right, covers, faces)
