"""The denoising task: what is done to a face before the model has to give it back clean.

Two kinds of damage. `Corruption` spoils the pixels (light, colour, blur, noise, holes) with albumentations on
the CPU, outside the training step. `draw_geometry` moves the pixels, on the device and anew in every step: an
affine map that input and target share, so that the model sees more poses than there are frames, and a smooth
warp of the input alone, which the model has to undo. A model that only ever undoes damage learns where a
person's features belong; shown another person's face, it takes that for damage and puts its own person there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from faceswap.types import Picture

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise importing it asks the network for news
import albumentations as A  # noqa: N812  (the variable above must be set first; A is the name its docs use)


class Corruption:
    """Damages the pixels of a face; the same seed does the same damage."""

    def __init__(self, strength: float) -> None:
        s = strength
        self._damage = A.Compose(
            [
                A.ColorJitter((1 - 0.25 * s, 1 + 0.25 * s), (1 - 0.2 * s, 1 + 0.2 * s), (1 - 0.3 * s, 1 + 0.3 * s),
                              (-0.03 * s, 0.03 * s), p=0.6),
                A.OneOf([A.GaussianBlur((3, 5)), A.MotionBlur((3, 7)), A.Downscale((0.4, 0.8))], p=min(1, 0.3 * s)),
                A.OneOf([A.GaussNoise((0.01, 0.06)), A.ImageCompression(quality_range=(30, 85))], p=min(1, 0.3 * s)),
                A.CoarseDropout((1, 3), (0.08, 0.25), (0.08, 0.25), fill="random_uniform", p=min(1, 0.25 * s)),
            ]
        )  # fmt: skip
        self._off = strength <= 0

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


def draw_geometry(batch: int, size: int, affine: float, warp: float, rng: torch.Generator) -> Geometry:
    """Random places to sample `batch` pictures of `size` px from, on `rng`'s device; strengths as in TrainConfig."""
    device = rng.device
    uniform = torch.rand(batch, 4, generator=rng, device=device) * 2 - 1
    angle = uniform[:, 0] * (affine * np.deg2rad(_ROTATION))
    scale = 1 + uniform[:, 1] * (affine * _SCALING)
    shift = uniform[:, 2:] * (affine * 2 * _SHIFT)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    target = torch.nn.functional.affine_grid(theta, [batch, 1, size, size], align_corners=False)
    moves = torch.randn(batch, 2, _WARP_POINTS, _WARP_POINTS, generator=rng, device=device) * (warp * _WARP)
    smooth = torch.nn.functional.interpolate(moves, (size, size), mode="bicubic", align_corners=True)
    return Geometry(target, target + smooth.permute(0, 2, 3, 1))


def sample(
    images: UInt8[Tensor, "batch channels height width"], grid: Float[Tensor, "batch size size 2"]
) -> Float[Tensor, "batch channels size size"]:
    """The pictures seen through `grid`, as float 0..1; beyond an edge its border pixels are repeated."""
    return torch.nn.functional.grid_sample(
        images.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
