"""Swapped eyes look where the video's look and shut when they do, and nothing else moves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from faceswap.faces.irises import EYES, Eye, IrisFinder
from faceswap.faces.landmarks import FaceMesh
from faceswap.geometry import Similarity
from faceswap.swapping.color import Palette
from faceswap.swapping.eyes import Gaze, closing, lacking, looking
from faceswap.swapping.infer import FrameSwaps, Swap
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
    moved = both(finder, as_picture(looking(shown(picture), Gaze(drawn=eyes, lacking=across), 1.0)), points)
    for before, after in zip(eyes, moved, strict=True):
        width = abs(before.lids[8, 0] - before.lids[0, 0])
        assert (after.iris[0] - before.iris[0]) / width == pytest.approx(across, rel=0.5)


def test_nothing_moves_outside_the_lids_or_where_nothing_lacks(
    finder: IrisFinder, face: tuple[Picture, MeshPoints]
) -> None:
    picture, points = face
    eyes, before = both(finder, picture, points), shown(picture)
    assert looking(before, None, 1.0) is before
    assert looking(before, Gaze(drawn=eyes, lacking=0.2), 0.0) is before
    torch.testing.assert_close(looking(before, Gaze(drawn=eyes, lacking=0.0), 1.0), before, atol=1e-4, rtol=0)

    changed = (looking(before, Gaze(drawn=eyes, lacking=0.2), 1.0) - before).abs().amax(dim=0) > 1e-3
    rows, columns = changed.nonzero().numpy().T
    assert len(rows)
    for row, column in zip(rows, columns, strict=True):
        assert any(
            (eye.lids.min(axis=0) - 1 <= [column, row]).all() and (eye.lids.max(axis=0) + 1 >= [column, row]).all()
            for eye in eyes
        )


def test_lids_close_as_far_as_they_are_told(finder: IrisFinder, face: tuple[Picture, MeshPoints]) -> None:
    picture, points = face
    eyes = both(finder, picture, points)

    def closed(left: float, right: float) -> tuple[Eye, Eye]:
        gaze = Gaze(drawn=eyes, lacking=0.0, closing=(left, right))
        return both(finder, as_picture(looking(shown(picture), gaze, 1.0)), points)

    half, shut, winked = closed(0.5, 0.5), closed(1.0, 1.0), closed(1.0, 0.0)
    for before, between, after in zip(eyes, half, shut, strict=True):
        assert before.opening > between.opening > after.opening
        assert after.opening < 0.7 * before.opening
    assert winked[0].opening == pytest.approx(shut[0].opening, abs=0.02)
    assert winked[1].opening == pytest.approx(eyes[1].opening, abs=0.02)


def test_lids_follow_those_that_nearly_meet_and_no_others() -> None:
    def eye(opening: float) -> Eye:
        lids = np.zeros((16, 2))
        lids[8] = (10, 0)
        lids[3:6], lids[11:14] = (5, 5 * opening), (5, -5 * opening)
        return Eye(lids, np.array([5.0, 0.0]))

    for drawn in (0.25, 0.3, 0.4):
        # Of somebody whose eyes are wider open or narrower than the other's.
        assert closing(eye(drawn), eye(0.26)) == closing(eye(drawn), eye(0.4)) == 0
        assert closing(eye(drawn), eye(0.05)) == pytest.approx(1)

    amounts = [closing(eye(0.3), eye(filmed)) for filmed in np.linspace(0.05, 0.26, 22)]
    assert all(0 <= after <= before for before, after in pairwise(amounts))
    assert max(before - after for before, after in pairwise(amounts)) < 0.3  # lids do not jump

    # Nothing is done to an eye that is as shut already.
    assert closing(eye(0.08), eye(0.05)) == closing(eye(0.15), eye(0.2)) == 0


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
    lacking_gazes = [Gaze(drawn=(eye, eye), lacking=value, closing=(value, 0.0)) for value in lacks]
    timed = [
        FrameSwaps(Frame(black, number, Fraction(number, 25)), [replace(swap, gaze=gaze)])
        for number, gaze in enumerate(lacking_gazes)
    ]
    gazes = [gaze for each in smoothed_over_time(timed, 0.2) if (gaze := each.swaps[0].gaze)]
    assert [gaze.closing[0] for gaze in gazes] == lacks  # a blink is a frame or two
    evened = [gaze.lacking for gaze in gazes]
    assert len(evened) == len(lacks)
    assert evened[0] == evened[-1] == 0
    assert 0 < evened[2] < evened[3] < 0.2
