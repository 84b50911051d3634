"""Skin laid on swapped faces: as much as they lack, where it is known, alike on every device; nothing else changes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.nn import functional

from faceswap.config import SwapConfig
from faceswap.faces.skin import Skin
from faceswap.geometry import Similarity
from faceswap.model.swap_model import build_model
from faceswap.swapping.convert import Target, converted
from faceswap.swapping.detail import fine_detail, finer
from faceswap.swapping.infer import Swapper
from faceswap.swapping.texture import Texture, _laid, _laid_by_opencv, texture_amounts, texture_of
from faceswap.types import Frame
from support.heads import head
from support.tiny import CPU, SMALL

RNG = torch.Generator().manual_seed(0)
SOFT = 255 * functional.interpolate(torch.rand(2, 3, 5, 5, generator=RNG), size=64, mode="bicubic").clamp(0.2, 0.8)
SPOTS = 0.05 * torch.randn(2, 1, 64, 64, generator=RNG)
ALL = torch.ones(2, 1, 64, 64)
SKIN = Skin(
    detail=np.random.default_rng(0).normal(size=(80, 120)).astype(np.float32) * 0.1,
    known=np.ones((80, 120), np.float32),
    turns=(-10.0, 10.0),
)


def strength(pictures: torch.Tensor) -> torch.Tensor:
    return fine_detail(pictures).square().mean(dim=(1, 2, 3)).sqrt()


def textured(faces: torch.Tensor, below: torch.Tensor, detail: torch.Tensor, known: torch.Tensor = ALL) -> torch.Tensor:
    """Faces with their skin's detail, over pictures."""
    texture = texture_of(faces, detail, known)
    amounts = texture_amounts([(fine_detail(faces), fine_detail(below), finer(texture), known)])
    return faces + amounts[:, None, None, None] * texture


class TestTextured:
    def test_a_face_gets_as_much_detail_as_the_picture_below_has(self) -> None:
        below = SOFT + 5 * torch.randn(SOFT.shape, generator=RNG)
        made = textured(SOFT, below, SPOTS)
        torch.testing.assert_close(strength(made), strength(below), rtol=0.1, atol=0.1)

    def test_nothing_is_laid_on_blurred_footage_or_on_a_face_that_is_sharp_itself(self) -> None:
        sharp = SOFT + 20 * torch.randn(SOFT.shape, generator=RNG)
        for face, below in ((SOFT, SOFT), (sharp, SOFT)):
            assert torch.equal(textured(face, below, SPOTS), face)

    def test_smooth_skin_stays_smooth_on_rough_footage(self) -> None:
        rough = SOFT + 60 * torch.randn(SOFT.shape, generator=RNG)
        made = textured(SOFT, rough, 0.1 * SPOTS)
        assert (strength(made) < 0.1 * strength(rough)).all()

    def test_only_where_it_is_known(self) -> None:
        known = ALL.clone()
        known[:, :, :, 32:] = 0
        below = SOFT + 10 * torch.randn(SOFT.shape, generator=RNG)
        made = textured(SOFT, below, SPOTS, known)
        assert torch.equal(made[..., 32:], SOFT[..., 32:])
        assert (made[..., :32] != SOFT[..., :32]).any()


def test_a_small_face_gets_a_texture_of_its_size() -> None:
    texture = Texture.of(SKIN, CPU)
    assert texture.level(1000).shape[:2] == texture.level(64).shape[:2] == (80, 120)
    assert texture.level(32).shape[:2] == (40, 60)
    assert texture.level(1).shape[:2] == (10, 15)


def test_both_ways_of_laying_it_out_agree() -> None:
    texture = Texture.of(SKIN, CPU).level(64)
    smooth = functional.avg_pool2d(texture.permute(2, 0, 1)[None], 9, 1, 4)[0].permute(1, 2, 0).contiguous()
    way = 0.2 + 0.6 * functional.interpolate(torch.rand(1, 2, 3, 3, generator=RNG), size=(40, 50), mode="bilinear")[0]
    torch.testing.assert_close(_laid(smooth, way), _laid_by_opencv(smooth, way), rtol=0, atol=0.01)


@pytest.mark.parametrize("place", [Similarity(24.0, 0.3, 80.0, 70.0), Similarity(24.0, 0.3, 20.0, 70.0)])
def test_skin_changes_faces_inside_their_boxes_and_can_be_left_out(place: Similarity) -> None:
    """Whole faces, and such as are cut off by the frame."""
    torch.manual_seed(0)
    model = build_model(SMALL).eval().requires_grad_(False)
    image = np.random.default_rng(1).integers(0, 255, (160, 160, 3), np.uint8)
    frames = [(Frame(image, 0, Fraction(0)), [Target(head(place), "b")])]

    def swap(swapper: Swapper, skin: float) -> np.ndarray:
        [made] = converted(frames, swapper, SwapConfig(occlusion=0, grain=0, sharpen=0, skin=skin))
        [(left, top, right, bottom)] = made.boxes
        outside = made.image.copy()
        outside[top:bottom, left:right] = image[top:bottom, left:right]
        np.testing.assert_array_equal(outside, image)
        return made.image

    with_skin, without = Swapper(model, {"b": SKIN}), Swapper(model, {"a": SKIN})
    plain = swap(without, 1.0)
    np.testing.assert_array_equal(swap(with_skin, 0.0), plain)
    whole, half = (np.abs(swap(with_skin, amount).astype(int) - plain).mean() for amount in (1.0, 0.5))
    assert whole > half > 0


def test_a_swap_fades_out_where_the_head_is_turned_further_than_was_seen() -> None:
    torch.manual_seed(0)
    swapper = Swapper(build_model(SMALL).eval().requires_grad_(False), {"b": SKIN})
    image = np.random.default_rng(1).integers(0, 255, (160, 160, 3), np.uint8)

    def change(yaw: float, profiles: float = 0.0) -> float:
        """How much of the picture is another one; a face that is not shown has no box."""
        face = head(Similarity(24.0, 0.0, 80.0, 70.0), (yaw, 0, 0))
        config = SwapConfig(occlusion=0, grain=0, profiles=profiles)
        [made] = converted([(Frame(image, 0, Fraction(0)), [Target(face, "b")])], swapper, config)
        changed = float(np.abs(made.image.astype(int) - image).sum())
        assert bool(made.boxes) == (changed > 0)
        assert made.turned == (abs(yaw) > 40 and profiles < 1)
        return changed

    assert change(30) > change(46) > change(60) == 0
    assert change(60, profiles=1.0) > 0
