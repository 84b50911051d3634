"""Laws of similarity transforms, and of cutting pictures with them."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from faceswap.geometry import Similarity
from faceswap.media.pictures import cut

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


def test_a_strong_reduction_averages_instead_of_sampling() -> None:
    checkerboard = np.indices((512, 512)).sum(axis=0) % 2 * 255
    image = np.repeat(checkerboard[..., None], 3, axis=2).astype(np.uint8)
    small = cut(image, Similarity.resize(1 / 8), 64)
    assert np.abs(small.astype(int) - 127).max() <= 2
