"""The denoising task: what is done to a face before the model has to give it back clean.

Two kinds of damage. `Corruption` spoils the pixels (light, colour, blur, noise, holes) with albumentations on
the CPU, outside the training step. `draw_geometry` moves the pixels, on the device and anew in every step: an
affine map that input and target share, so that the model sees more poses than there are frames, and a smooth
warp of the input alone, which the model has to undo. A model that only ever undoes damage learns where a
person's features belong; shown another person's face, it takes that for damage and puts its own person there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from faceswap.config import CORRUPTIONS
from faceswap.errors import ConfigError
from faceswap.training.occlusion.occluders import TRAINED, Occluder, Pool
from faceswap.types import Picture

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise importing it asks the network for news
import albumentations as A  # noqa: N812  (the variable above must be set first; A is the name its docs use)

_THINGS, _DRAWN = 64, 96  # how many there are, and the pixels of their sides
_AWAY = 0.25  # shares of the side that a thing is moved by at most
_TONE = (0.72, 0.55, 0.46)  # of drawn skin


def _damage(kind: str, s: float) -> A.BasicTransform | A.BaseCompose:
    """One of CORRUPTIONS, at strength `s`: 1 is strong, and so often that most faces show some damage."""
    match kind:
        case "colour":
            light, contrast, saturation, hue = 0.25 * s, 0.2 * s, 0.3 * s, 0.03 * s
            return A.ColorJitter(
                _around(light), _around(contrast), _around(saturation), (-hue, hue), p=0.6 if s else 0.0
            )

        case "blur":
            return A.OneOf([A.GaussianBlur((3, 5)), A.MotionBlur((3, 7))], p=min(1, 0.2 * s))
        case "downscale":
            return A.Downscale((0.4, 0.8), p=min(1, 0.1 * s))
        case "noise":
            return A.GaussNoise((0.01, 0.06), p=min(1, 0.15 * s))
        case "jpeg":
            return A.ImageCompression(quality_range=(30, 85), p=min(1, 0.15 * s))
        case "masking":  # single pixels are lost: the masking noise of Vincent et al., 2010
            return A.PixelDropout(min(0.9, 0.25 * s), p=min(1, 0.5 * s))
        case "patches":
            return A.CoarseDropout((1, 3), (0.08, 0.25), (0.08, 0.25), fill="random_uniform", p=min(1, 0.25 * s))
        case "things":
            return _Things(p=min(1, 0.35 * s))
    raise ConfigError(f"there is no corruption '{kind}'", f"Choose of: {', '.join(CORRUPTIONS)}")


def _around(spread: float) -> tuple[float, float]:
    return max(0.0, 1 - spread), 1 + spread


class _Things(A.ImageOnlyTransform):  # type: ignore[misc]  # albumentations has no types
    """Lays a hand or something else before the face, one of a few that are drawn once."""

    def get_params(self) -> dict[str, Any]:
        """What is laid, and how."""
        chance = self.py_random
        return {
            "thing": chance.randrange(_THINGS),
            "mirrored": chance.random() < 0.5,
            "shift": (chance.uniform(-_AWAY, _AWAY), chance.uniform(-_AWAY, _AWAY)),
            "light": chance.uniform(0.6, 1.3),
        }

    def apply(
        self, img: Picture, thing: int, mirrored: bool, shift: tuple[float, float], light: float, **_: Any
    ) -> Picture:
        """Whatever it is has about the colours of the face, as a hand has."""
        side = img.shape[0]
        drawn = _things()[thing]
        flip = side if mirrored else 0
        matrix = np.array([[-1.0 if mirrored else 1.0, 0, flip + shift[0] * side], [0, 1, shift[1] * side]])
        colour, cover = (
            cv2.warpAffine(cv2.resize(plane, (side, side)), matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
            for plane in (drawn.colour, drawn.cover)
        )
        tone = img[side // 3 : -side // 3, side // 3 : -side // 3].mean(axis=(0, 1)) / _TONE * light
        laid: Picture = np.clip(img + cover[..., None] * (colour * tone - img), 0, 255).astype(np.uint8)
        return laid


@cache
def _things() -> tuple[Occluder, ...]:
    rng = np.random.default_rng(0)
    pool = Pool([rng.random((_DRAWN, _DRAWN, 3), np.float32)], np.array(_TONE))
    kinds = ("hand", "fist", "clenched", "stick")
    drawn: list[Occluder] = []
    while len(drawn) < _THINGS:
        thing = TRAINED[kinds[len(drawn) % len(kinds)]](rng, _DRAWN, pool)
        if 0.05 < thing.cover.mean() < 0.4:
            drawn.append(thing)
    return tuple(drawn)


class Corruption:
    """Damages the pixels of a face, each of `kinds` by chance; the same seed does the same damage."""

    def __init__(self, strength: float, kinds: Sequence[str]) -> None:
        self._damage = A.Compose([_damage(kind, strength) for kind in kinds])
        self._off = strength <= 0 or not kinds

    def __call__(self, image: Picture, seed: int) -> Picture:
        """A damaged copy of `image`."""
        if self._off:
            return image
        self._damage.set_random_seed(seed)
        damaged: Picture = self._damage(image=image)["image"]
        return damaged


@dataclass(frozen=True)
class Geometry:
    """Where each output pixel is taken from, in the [-1, 1] coordinates of torch's grid_sample."""

    target: Float[Tensor, "batch size size 2"]
    input: Float[Tensor, "batch size size 2"]


_ROTATION = 10.0  # degrees
_SCALING = 0.05
_SHIFT = 0.05  # of the picture's side
_WARP = 0.08  # standard deviation of a control point's move, in grid coordinates: 4 % of the side
_WARP_POINTS = 5


def draw_geometry(
    batch: int, size: int, affine: float, warp: float, rng: torch.Generator, flip: bool = False
) -> Geometry:
    """Random places to sample `batch` pictures of `size` px from, on `rng`'s device; strengths as in TrainConfig.

    With `flip`, input and target of about half of them are mirrored.
    """
    theta = draw_affine(batch, affine, rng, flip)
    target = torch.nn.functional.affine_grid(theta, [batch, 1, size, size], align_corners=False)
    moves = torch.randn(batch, 2, _WARP_POINTS, _WARP_POINTS, generator=rng, device=rng.device) * (warp * _WARP)
    smooth = torch.nn.functional.interpolate(moves, (size, size), mode="bicubic", align_corners=True)
    return Geometry(target, target + smooth.permute(0, 2, 3, 1))


def draw_affine(batch: int, affine: float, rng: torch.Generator, flip: bool = False) -> Float[Tensor, "batch 2 3"]:
    """Random rotations, scalings and shifts, as maps from output to input in grid coordinates."""
    device = rng.device
    uniform = torch.rand(batch, 4, generator=rng, device=device) * 2 - 1
    angle = uniform[:, 0] * (affine * np.deg2rad(_ROTATION))
    scale = 1 + uniform[:, 1] * (affine * _SCALING)
    shift = uniform[:, 2:] * (affine * 2 * _SHIFT)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    side = torch.rand(batch, generator=rng, device=device).sub(0.5).sign() if flip else torch.ones_like(cos)
    across, down = torch.stack([cos, sin], 1) * side[:, None], torch.stack([-sin, cos], 1)
    return torch.stack([across, down, shift], 2)


def resampled(
    images: UInt8[Tensor, "batch channels height width"], grid: Float[Tensor, "batch size size 2"]
) -> Float[Tensor, "batch channels size size"]:
    """The pictures seen through `grid`, as float 0..1; beyond an edge its border pixels are repeated."""
    return torch.nn.functional.grid_sample(
        images.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
