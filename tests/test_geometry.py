"""Laws of similarity transforms and of the crop convention."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from faceswap.faces.align import TEMPLATE, align, crop_transform, cut
from faceswap.faces.masks import face_mask, feature_mask
from faceswap.faces.track import MainFace, overlap, smooth_landmarks
from faceswap.geometry import Similarity
from faceswap.types import Face

RNG = np.random.default_rng(0)
TRANSFORMS = [Similarity(*map(float, (*RNG.normal(size=2), *RNG.normal(scale=50, size=2)))) for _ in range(20)]
POINTS = RNG.normal(scale=100, size=(9, 2))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_inverse_undoes(transform: Similarity) -> None:
    np.testing.assert_allclose(transform.inverse().apply(transform.apply(POINTS)), POINTS, atol=1e-8)


@pytest.mark.parametrize(("first", "second"), list(pairwise(TRANSFORMS)))
def test_composition_applies_left_to_right(first: Similarity, second: Similarity) -> None:
    np.testing.assert_allclose(first.then(second).apply(POINTS), second.apply(first.apply(POINTS)), atol=1e-8)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_fit_finds_the_transform_that_was_applied(transform: Similarity) -> None:
    found = Similarity.fit(POINTS, transform.apply(POINTS))
    np.testing.assert_allclose(found.matrix, transform.matrix, atol=1e-9)


def test_fit_is_the_least_squares_solution() -> None:
    target = TRANSFORMS[0].apply(POINTS) + RNG.normal(size=POINTS.shape)
    best = Similarity.fit(POINTS, target)

    def error(s: Similarity) -> float:
        return float(((s.apply(POINTS) - target) ** 2).sum())

    for _ in range(50):
        a, b, tx, ty = (np.array([best.a, best.b, best.tx, best.ty]) + RNG.normal(scale=1e-3, size=4)).tolist()
        assert error(Similarity(a, b, tx, ty)) >= error(best)


def test_fit_refuses_a_single_point() -> None:
    with pytest.raises(ValueError, match="distinct"):
        Similarity.fit(np.zeros((3, 2)), POINTS[:3])


def test_matrix_agrees_with_opencv() -> None:
    image = RNG.integers(0, 255, (40, 50, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 2)
    quarter = Similarity(0.0, 1.0, 39.0, 0.0)  # a quarter turn clockwise of a picture 40 px high
    turned = cv2.warpAffine(image, quarter.matrix, (40, 50), flags=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(turned, np.rot90(image, -1))


def test_resize_matches_cv2_resize() -> None:
    image = cv2.GaussianBlur(RNG.integers(0, 255, (64, 64, 3), np.uint8), (0, 0), 3)
    ours = cv2.warpAffine(image, Similarity.resize(2.0).matrix, (128, 128), borderMode=cv2.BORDER_REPLICATE)
    theirs = cv2.resize(image, (128, 128), interpolation=cv2.INTER_LINEAR)
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 2


def a_face(landmarks: np.ndarray) -> Face:
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    return Face((float(low[0]), float(low[1]), float(high[0]), float(high[1])), 0.99, landmarks)


def test_alignment_puts_a_template_face_on_the_template() -> None:
    size = 128
    there = Similarity(0.8, 0.5, 40.0, 3.0)
    landmarks = there.apply(TEMPLATE * size - 0.5)
    np.testing.assert_allclose(crop_transform(landmarks, size).apply(landmarks), TEMPLATE * size - 0.5, atol=1e-8)


def test_the_crop_does_not_depend_on_how_the_frame_lies() -> None:
    """A face filmed larger and tilted gives the same crop."""
    big = cv2.GaussianBlur(RNG.integers(0, 255, (400, 400, 3), np.uint8), (0, 0), 6)
    landmarks = np.array([[170.0, 180], [230, 180], [200, 215], [175, 245], [225, 245]])
    tilt = Similarity(0.85, 0.3, -20.0, -60.0)
    tilted = cv2.warpAffine(big, tilt.matrix, (400, 400), flags=cv2.INTER_CUBIC)
    straight = align(big, a_face(landmarks), 96).image.astype(int)
    same = align(tilted, a_face(tilt.apply(landmarks)), 96).image.astype(int)
    assert np.abs(straight - same)[16:80, 16:80].mean() < 1.5


def test_a_strong_reduction_averages_instead_of_sampling() -> None:
    checkerboard = np.indices((512, 512)).sum(axis=0) % 2 * 255
    image = np.repeat(checkerboard[..., None], 3, axis=2).astype(np.uint8)
    small = cut(image, Similarity.resize(1 / 8), 64)
    assert np.abs(small.astype(int) - 127).max() <= 2


def test_masks_lie_where_the_face_is() -> None:
    size = 128
    landmarks = TEMPLATE * size - 0.5
    mask, features = face_mask(landmarks, size), feature_mask(landmarks, size)
    for x, y in landmarks.round().astype(int):
        assert mask[y, x] > 250
    for x, y in landmarks[[0, 1]].round().astype(int):
        assert features[y, x] > 200
    assert features[int(landmarks[3:, 1].mean()), int(landmarks[3:, 0].mean())] > 200
    assert mask[0].max() == 0
    assert mask[:, 0].max() == 0
    assert (features[mask < 10] < 128).all()


def test_masks_turn_with_the_face() -> None:
    size = 128
    upright = TEMPLATE * size - 0.5
    centre = (size - 1) / 2
    turn = Similarity(0.0, 1.0, 2 * centre, 0.0)
    turned = face_mask(turn.apply(upright), size).astype(int)
    assert np.abs(turned - np.rot90(face_mask(upright, size), -1).astype(int)).max() <= 8


def box_face(left: float, top: float, side: float) -> Face:
    return Face((float(left), float(top), float(left + side), float(top + side)), 1.0, TEMPLATE * side + [left, top])


def test_the_main_face_is_the_largest_and_stays_who_it_was() -> None:
    main = MainFace()
    he, inset = box_face(100, 100, 200), box_face(0, 400, 60)
    assert main.choose([inset, he]) == 1
    assert main.choose([box_face(300, 100, 220), box_face(110, 105, 200)]) == 1  # a larger newcomer is not he
    assert main.choose([inset]) is None  # he is not seen; the inset does not take his place
    assert main.choose([]) is None
    assert main.choose([inset, box_face(120, 110, 190)]) == 1


def test_somebody_else_takes_over_when_the_main_face_stays_away() -> None:
    main = MainFace(box_face(100, 100, 200))
    inset = box_face(0, 400, 60)
    chosen = [main.choose([inset]) for _ in range(60)]
    assert chosen[0] is None
    assert chosen[-1] == 0


def test_overlap_of_boxes() -> None:
    assert overlap((0.0, 0.0, 2.0, 2.0), (0.0, 0.0, 2.0, 2.0)) == 1
    assert overlap((0.0, 0.0, 2.0, 2.0), (1.0, 0.0, 3.0, 2.0)) == pytest.approx(1 / 3)
    assert overlap((0.0, 0.0, 1.0, 1.0), (2.0, 2.0, 3.0, 3.0)) == 0


def moving_landmarks(times: np.ndarray) -> list[np.ndarray]:
    """A face that speeds up: quadratic in time."""
    return [TEMPLATE * 200 + [30 * t + 80 * t * t, -20 * t] for t in times]


def test_steadying_follows_acceleration_exactly() -> None:
    times = np.arange(9) / 25
    landmarks = moving_landmarks(times)
    for at in range(9):
        np.testing.assert_allclose(smooth_landmarks(list(times), landmarks, at, 0.18), landmarks[at], atol=1e-6)


def test_steadying_takes_out_jitter() -> None:
    times = np.arange(200) / 25
    truth = moving_landmarks(times / 10)
    noisy = [five + RNG.normal(size=(5, 2)) for five in truth]
    steady = [smooth_landmarks(list(times), noisy, at, 0.18) for at in range(200)]
    before = np.std([a - b for a, b in zip(noisy, truth, strict=True)])
    after = np.std([a - b for a, b in zip(steady, truth, strict=True)])
    assert after < 0.75 * before


def test_steadying_stops_at_a_cut() -> None:
    times = np.arange(8) / 25
    landmarks = [TEMPLATE * 200 + (0 if i < 4 else 500) for i in range(8)]
    for at in range(8):
        np.testing.assert_allclose(smooth_landmarks(list(times), landmarks, at, 0.18), landmarks[at], atol=1e-6)
