"""A person's skin: unwrapped from pictures of known heads, it comes to lie where it was, however the head is turned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from faceswap.errors import ModelError
from faceswap.faces.align import align
from faceswap.faces.masks import face_mask, feature_mask, nostril_mask
from faceswap.faces.quality import measure
from faceswap.faces.skin import (
    FIELD,
    Skin,
    View,
    best_views,
    familiarity,
    read_skins,
    seen_turns,
    skin_field,
    skin_file,
    unwrapped,
    write_skins,
)
from faceswap.types import AlignedFace
from support.heads import head

SIDE = 256
EVERYWHERE = np.ones((32, 32), np.float32)


def textured_head(seed: int, strength: float = 6, angles: tuple[float, float, float] = (0, 0, 0)) -> AlignedFace:
    """A grey head with spots of two pixels all over, which stay where they are in the picture."""
    spots = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(256, 256)).astype(np.float32), (0, 0), 1.0)
    grey = np.clip(128 + strength * spots / spots.std(), 0, 255).astype(np.uint8)
    return align(np.repeat(grey[..., None], 3, axis=2), head(angles=angles), SIDE)


def view(face: AlignedFace, visible: np.ndarray = EVERYWHERE) -> View:
    return View(crop=face.image, points=face.crop_points, visible=visible)


def skin_of(*views: View) -> Skin:
    return unwrapped(views, (-10.0, 10.0))


def laid_on(skin: Skin, face: AlignedFace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The skin's detail and how far it is known on a face's crop, and how far the skin there faces the camera."""
    x, y, facing = (cv2.resize(plane, (SIDE, SIDE)) for plane in skin_field(face.crop_points, SIDE))
    height, width = skin.detail.shape
    detail, known = (cv2.remap(plane, x * width - 0.5, y * height - 0.5, 1) for plane in (skin.detail, skin.known))
    return detail, known, facing


def fine(face: AlignedFace) -> np.ndarray:
    brightness = np.log(face.image[..., 0].astype(np.float32))
    return np.asarray(brightness - cv2.GaussianBlur(brightness, (0, 0), 0.012 * SIDE))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (-15, 10, 5)])
def test_skin_taken_from_a_face_and_laid_on_it_again_is_the_same(angles: tuple[float, float, float]) -> None:
    face = textured_head(1, angles=angles)
    detail, known, _ = laid_on(skin_of(view(face)), face)
    assert (known > 0.5).mean() > 0.1
    assert correlation(detail[known > 0.5], fine(face)[known > 0.5]) > 0.8


def test_it_turns_with_the_head() -> None:
    straight, turned = textured_head(1), textured_head(1, angles=(20, 0, 0))
    skin = skin_of(view(straight))
    x, y, _ = skin_field(turned.crop_points, SIDE)
    there = (turned.crop_points[:, :2] + 0.5) / SIDE * FIELD - 0.5
    for place, mine in ((x, 0), (y, 1)):
        straight_field = skin_field(straight.crop_points, SIDE)[mine]
        at = (straight.crop_points[:, :2] + 0.5) / SIDE * FIELD - 0.5
        moved, still = (
            cv2.remap(plane, spots[None, :, 0].astype(np.float32), spots[None, :, 1].astype(np.float32), 1)[0]
            for plane, spots in ((place, there), (straight_field, at))
        )
        seen = np.abs(straight.crop_points[:, 0] / SIDE - 0.5) < 0.15  # the middle of the face, seen in both
        assert np.abs(moved - still)[seen].max() < 0.03
    assert skin.known.max() <= 1


def test_eyes_mouth_and_nostrils_and_what_is_covered_are_not_skin() -> None:
    face, left_half = textured_head(1), np.ones((32, 32), np.float32)
    left_half[:, 16:] = 0
    _, known, _ = laid_on(skin_of(view(face)), face)
    for draw in (feature_mask, nostril_mask):
        assert known[draw(face.crop_points, SIDE) > 250].max() < 0.1
    assert known[face_mask(face.crop_points, SIDE) == 0].max() < 0.1
    _, half, _ = laid_on(skin_of(view(face, left_half)), face)
    assert half[:, 136:].max() < 0.05 < known[:, 136:].max()


def test_an_edge_stronger_than_skin_brings_no_rim() -> None:
    plain = textured_head(1)
    striped = plain.image.copy()
    striped[60:70, 90:170] //= 4  # as dark as a brow
    with_stripe = replace(plain, image=striped)
    beside = np.s_[74:78, 95:165]
    (plain_detail, *_), (detail, *_) = (laid_on(skin_of(view(face)), face) for face in (plain, with_stripe))
    assert np.abs(detail[beside] - plain_detail[beside]).mean() < 0.3 * np.abs(plain_detail[beside]).mean()


def test_a_turned_view_shows_what_the_main_one_does_not_and_the_main_one_stays() -> None:
    main, side = textured_head(1), textured_head(2, angles=(45, 0, 0))
    alone, both = skin_of(view(main)), skin_of(view(main), view(side))
    assert both.known.sum() > 1.1 * alone.known.sum()
    middle = np.s_[100:160, 220:260]
    assert correlation(both.detail[middle], alone.detail[middle]) > 0.9


def test_the_strength_of_detail_stays_where_two_views_meet() -> None:
    faces = [textured_head(seed, angles=(0, 0, 0)) for seed in (1, 2)]
    both, alone = skin_of(*map(view, faces)), skin_of(view(faces[0]))
    inside = alone.known > 0.5
    assert both.detail[inside].std() == pytest.approx(alone.detail[inside].std(), rel=0.1)


def test_a_face_without_detail_has_none() -> None:
    flat = align(np.full((256, 256, 3), 100, np.uint8), head(), SIDE)
    assert not skin_of(view(flat)).detail.any()


def test_the_sharpest_straight_face_with_a_closed_mouth_is_the_main_view() -> None:
    measures = [measure(textured_head(1, angles=(yaw, 0, 0))) for yaw in (0, 1, 2, 26)]
    measures = [replace(one, sharpness=sharp) for one, sharp in zip(measures, (0.2, 0.3, 0.3, 0.3), strict=True)]
    measures[2] = replace(measures[2], mouth=0.4)
    assert best_views(measures) == [1, 3]


def test_heads_turned_further_than_was_ever_seen_are_not_familiar() -> None:
    skin = replace(TestOnDisk.SKIN, turns=(-60.0, 5.0))
    seen = [familiarity(skin, yaw) for yaw in (-90.0, -75.0, -60.0, 0.0, 35.0, 45.0, 60.0)]
    assert seen == [0, 0.5, 1, 1, 1, 0.5, 0]


def test_the_turns_that_were_seen_leave_out_single_frames() -> None:
    base = measure(textured_head(1))
    measures = [replace(base, yaw=float(yaw)) for yaw in [*np.linspace(-20, 30, 500), 80]]
    assert seen_turns(measures) == pytest.approx((-20, 30), abs=1)


class TestOnDisk:
    SKIN = Skin(detail=np.full((20, 30), 0.25, np.float32), known=np.ones((20, 30), np.float32), turns=(-20.0, 35.0))

    def test_skins_are_read_as_they_were_written(self, tmp_path: Path) -> None:
        write_skins(tmp_path, {"ann.of.x": self.SKIN, "b": self.SKIN})
        read = read_skins(tmp_path)
        assert sorted(read) == ["ann.of.x", "b"]
        np.testing.assert_array_equal(read["b"].detail, self.SKIN.detail)
        assert read["b"].turns == self.SKIN.turns

    def test_a_model_from_before_has_none(self, tmp_path: Path) -> None:
        assert read_skins(tmp_path) == {}

    @pytest.mark.parametrize("damage", ["empty", "cut", "nan"])
    def test_a_damaged_file_is_told(self, tmp_path: Path, damage: str) -> None:
        bad = replace(self.SKIN, detail=np.full((20, 30), np.nan, np.float32)) if damage == "nan" else self.SKIN
        write_skins(tmp_path, {"a": bad})
        content = skin_file(tmp_path).read_bytes()
        skin_file(tmp_path).write_bytes({"empty": b"", "cut": content[:100], "nan": content}[damage])
        with pytest.raises(ModelError, match=r"skin\.safetensors"):
            read_skins(tmp_path)
