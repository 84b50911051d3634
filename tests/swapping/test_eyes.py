"""Swapped eyes look where the video's look, and nothing else moves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
import torch

from faceswap.faces.irises import EYES, Eye, IrisFinder
from faceswap.faces.landmarks import FaceMesh
from faceswap.geometry import Similarity
from faceswap.swapping.color import Palette
from faceswap.swapping.eyes import Gaze, lacking, looking
from faceswap.swapping.infer import Swap
from faceswap.swapping.smooth import smoothed_over_time
from faceswap.types import Detection, Frame, MeshPoints, Picture
from faceswap_pipelines.demo.actors import CAST, frames

SIDE = 256


def shown(picture: Picture) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255


def as_picture(shown: torch.Tensor) -> Picture:
    return np.ascontiguousarray((shown.permute(1, 2, 0) * 255).round().byte().numpy())


@pytest.fixture(scope="module")
def finder() -> IrisFinder:
    return IrisFinder()


@pytest.fixture(scope="module", params=["ada", "bruno"])
def face(request: pytest.FixtureRequest) -> tuple[Picture, MeshPoints]:
    """An actor who looks ahead."""
    shot = next(shot for shot in islice(frames(CAST[request.param], 60, SIDE, 0), 60) if shot.performance.lid > 0.9)
    mesh = FaceMesh()
    [first] = mesh.locate(shot.image, [Detection((0, 0, 0, 0), 1.0, shot.landmarks)])
    [face] = mesh.locate(shot.image, [first])
    return shot.image, face.points


def both(finder: IrisFinder, picture: Picture, points: MeshPoints) -> tuple[Eye, Eye]:
    left, right = finder.locate([(picture, points, outline) for outline in EYES])
    return left, right


@pytest.mark.parametrize("across", [-0.1, 0.1])
def test_irises_move_by_what_they_lack(finder: IrisFinder, face: tuple[Picture, MeshPoints], across: float) -> None:
    picture, points = face
    eyes = both(finder, picture, points)
    moved = both(finder, as_picture(looking(shown(picture), Gaze(eyes, across), 1.0)), points)
    for before, after in zip(eyes, moved, strict=True):
        width = abs(before.lids[8, 0] - before.lids[0, 0])
        assert (after.iris[0] - before.iris[0]) / width == pytest.approx(across, rel=0.5)


def test_nothing_moves_outside_the_lids_or_where_nothing_lacks(
    finder: IrisFinder, face: tuple[Picture, MeshPoints]
) -> None:
    picture, points = face
    eyes, before = both(finder, picture, points), shown(picture)
    assert looking(before, None, 1.0) is before
    assert looking(before, Gaze(eyes, 0.2), 0.0) is before
    torch.testing.assert_close(looking(before, Gaze(eyes, 0.0), 1.0), before, atol=1e-4, rtol=0)

    changed = (looking(before, Gaze(eyes, 0.2), 1.0) - before).abs().amax(dim=0) > 1e-3
    rows, columns = changed.nonzero().numpy().T
    assert len(rows)
    for row, column in zip(rows, columns, strict=True):
        assert any(
            (eye.lids.min(axis=0) - 1 <= [column, row]).all() and (eye.lids.max(axis=0) + 1 >= [column, row]).all()
            for eye in eyes
        )


def test_what_is_lacking_is_what_is_missing_and_never_out_of_reach() -> None:
    lids = np.zeros((16, 2))
    lids[8] = (10, 0)
    lids[3:6], lids[11:14] = (5, 2), (5, -2)

    def eye(gaze: float) -> Eye:
        return Eye(lids, np.array([5 + 10 * gaze, 0.0]))

    assert lacking(eye(0.1), eye(0.1)) == 0
    assert lacking(eye(-0.1), eye(0.0)) == pytest.approx(0.1)
    assert lacking(eye(0.0), eye(0.2)) > 0.2  # near a corner irises move less
    assert abs(lacking(eye(-0.5), eye(0.5))) <= 0.25

    shut = Eye(lids * [1, 0.1], np.array([9.0, 0.0]))
    assert lacking(eye(0.0), shut) == lacking(shut, eye(0.2)) == 0


def test_a_gaze_is_evened_out_over_the_nearest_frames_alone() -> None:
    plain = torch.zeros(3, 8, 8)
    values = torch.ones(1, 3)
    lids = np.zeros((16, 2))
    eye = Eye(lids, lids[0])
    swap = Swap(
        picture=plain,
        coarse=plain,
        original=plain,
        mask=plain[0],
        eyes=plain[0],
        colours=Palette(values, values, torch.ones(1)),
        tone=(50.0, 0.0, 0.0),
        to_crop=Similarity.resize(1.0),
        track=1,
    )
    black = np.zeros((8, 8, 3), np.uint8)
    lacks = [0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 0.0]
    timed = [
        (Frame(black, number, Fraction(number, 25)), [replace(swap, gaze=Gaze((eye, eye), value))])
        for number, value in enumerate(lacks)
    ]
    evened = [swaps[0].gaze.lacking for _, swaps in smoothed_over_time(timed, 0.2) if swaps[0].gaze]
    assert len(evened) == len(lacks)
    assert evened[0] == evened[-1] == 0
    assert 0 < evened[2] < evened[3] < 0.2
