"""Laws of blending and colour matching."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from faceswap.geometry import Similarity
from faceswap.swapping.blend import blend, face_box
from faceswap.swapping.color import match_color
from faceswap.types import Swap

RNG = np.random.default_rng(1)
FRAME = RNG.integers(0, 255, (120, 160, 3), np.uint8)
FROM_FRAME = Similarity(0.7, 0.2, -30.0, -40.0)


def a_swap(mask: np.ndarray, to_crop: Similarity = FROM_FRAME) -> Swap:
    return Swap(np.full((64, 64, 3), (200, 30, 90), np.uint8), mask.astype(np.uint8), to_crop)


def spot(value: int = 255) -> np.ndarray:
    mask = np.zeros((64, 64), np.uint8)
    mask[20:44, 22:42] = value
    return mask


def test_an_empty_mask_changes_nothing() -> None:
    np.testing.assert_array_equal(blend(FRAME, a_swap(np.zeros((64, 64)))), FRAME)


def test_outside_the_box_every_byte_stays_and_the_input_is_not_written_to() -> None:
    before = FRAME.copy()
    swap = a_swap(spot())
    result = blend(FRAME, swap)
    box = face_box(swap, 160, 120)
    assert box is not None
    left, top, right, bottom = box
    outside = np.ones((120, 160), bool)
    outside[top:bottom, left:right] = False
    np.testing.assert_array_equal(result[outside], FRAME[outside])
    np.testing.assert_array_equal(FRAME, before)
    assert not np.array_equal(result, FRAME)


def test_a_full_mask_pastes_the_face_and_a_half_mask_half_of_it() -> None:
    upright = Similarity(1.0, 0.0, -40.0, -30.0)
    whole = blend(FRAME, a_swap(spot(), upright))
    inner = (slice(30 + 22, 30 + 42), slice(40 + 24, 40 + 40))
    np.testing.assert_array_equal(whole[inner], np.broadcast_to((200, 30, 90), whole[inner].shape))
    half = blend(FRAME, a_swap(spot(128), upright))[inner].astype(float)
    wanted = FRAME[inner] + 128 / 255 * (np.array([200, 30, 90.0]) - FRAME[inner])
    assert np.abs(half - wanted).max() <= 1


@pytest.mark.parametrize("shift", [(-400.0, 0.0), (0.0, 400.0), (-190.0, -130.0)])
def test_a_face_beyond_the_picture_is_cut_off_not_an_error(shift: tuple[float, float]) -> None:
    result = blend(FRAME, a_swap(spot(), Similarity(1.0, 0.0, *shift)))
    assert result.shape == FRAME.shape


def test_matching_gives_the_mean_of_the_reference_and_moves_the_spread_towards_its_own() -> None:
    yy, xx = np.mgrid[0:64, 0:64]
    ours = np.dstack([120 + 0.6 * xx, 100 + 0.3 * yy, 90 + 0.2 * xx]).astype(np.uint8)
    theirs = np.dstack([60 + 0.8 * xx, 70 + 0.4 * yy, 80 + 0.3 * xx]).astype(np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[10:50, 10:50] = 255
    matched = match_color(ours, theirs, mask)
    inside = mask > 0

    def lab(picture: np.ndarray) -> np.ndarray:
        return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[inside]

    np.testing.assert_allclose(lab(matched).mean(axis=0), lab(theirs).mean(axis=0), atol=0.5)
    was, wanted, got = (lab(picture).std(axis=0) for picture in (ours, theirs, matched))
    np.testing.assert_allclose(got, np.clip(wanted, 0.85 * was, 1.15 * was), atol=0.5)


def test_matching_a_picture_to_itself_or_under_no_mask_changes_nothing() -> None:
    picture = cv2.GaussianBlur(RNG.integers(40, 220, (64, 64, 3), np.uint8), (0, 0), 3)
    assert np.abs(match_color(picture, picture, spot()).astype(int) - picture.astype(int)).max() <= 1
    np.testing.assert_array_equal(match_color(picture, FRAME[:64, :64], np.zeros((64, 64), np.uint8)), picture)
