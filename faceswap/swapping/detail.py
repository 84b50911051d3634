"""Fitting a swapped face's sharpness and grain to those of the video it is pasted into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from faceswap.swapping.filters import filtered
from faceswap.types import Box, Picture

Pictures = Float[Tensor, "batch 3 h w"]
Alphas = Float[Tensor, "batch 1 h w"]

_MOST = 3.0  # added to a picture, of its own fine detail; more shows as rims
_LUMA = (0.299, 0.587, 0.114)
_NOISE_PATCH = 128  # pixels of a face's middle from which noise is estimated
_LEAST_GRAIN = 0.3  # of 255 levels: less is not seen

_OFFSETS = 64  # in each direction, for cutting one face's noise out of a larger field
_BINOMIAL = (1, 6, 15, 20, 15, 6, 1)  # near a Gaussian of 1.2 pixels
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def sharpening(strips: Iterable[tuple[Alphas, Alphas, Alphas]], how_far: Sequence[float]) -> Float[Tensor, " faces"]:
    """How much of its own fine detail each face gets to be as sharp as the picture that it is pasted on, never sharper.
    Sharper ones get none.

    Faces come in `strips`, some rows of each, one strip or several: the `fine_detail` of the faces and of the pictures
    below, and `where` (0..1) it is looked at. How sharp a picture is says the root mean square.
    """
    sums = [torch.stack([where, where * fine**2, where * below**2]).sum(dim=(2, 3, 4)) for fine, below, where in strips]
    weight, has, should = torch.stack(sums).sum(dim=0)
    has, should = ((energy / weight.clamp_min(1e-6)).sqrt() for energy in (has, should))
    amounts: Tensor = weight.new_tensor(how_far) * (should / has.clamp_min(1e-6) - 1).clamp(0, _MOST)
    return amounts


def sharpened(faces: Pictures, fine: Alphas, amounts: Float[Tensor, " faces"]) -> Pictures:
    """Unsharp masking: some of the luminance's `fine` detail is added to all channels; colours would get fringes."""
    return faces + amounts[:, None, None, None] * fine


def noise_level(image: Picture, box: Box) -> float:
    """Standard deviation of the noise in the middle of `box`, in levels of 255.

    Immerkaer, "Fast noise variance estimation" (1996): a filter that shapes and shading hardly pass. Here with the
    median in place of the mean, so that the edges in a face do not count as noise.
    """
    x, y = round((box[0] + box[2]) / 2), round((box[1] + box[3]) / 2)
    reach = int(min(_NOISE_PATCH, (box[2] - box[0]) * 0.7, (box[3] - box[1]) * 0.7)) // 2
    patch = image[max(y - reach, 0) : max(y + reach, 0), max(x - reach, 0) : max(x + reach, 0), 1]
    if min(patch.shape) < 8:
        return 0.0
    filtered = cv2.filter2D(patch.astype(np.float32), -1, _NOISE_KERNEL)[1:-1, 1:-1]
    return float(np.median(np.abs(filtered))) / 0.6745 / 6  # of white noise: its deviation, times the filter's norm


def grain(
    levels: Sequence[float], seeds: Sequence[int], shape: tuple[int, int], device: torch.device, rows: slice
) -> Float[Tensor, "faces 1 rows width"]:
    """Noise for some faces, of the standard deviations `levels` (of 255), to be added to all channels in 0..255: these
    `rows` of that for faces of `shape` (height, width).

    White and Gaussian, as a sensor's is; the same for the same seed, another one for another. All noise is cut out of
    one field, since drawing it takes as long as pasting a face.
    """
    height, width = shape
    high = rows.stop - rows.start
    if max(levels) < _LEAST_GRAIN:
        return torch.zeros((len(levels), 1, 1, 1), device=device).expand(-1, -1, high, width)
    field = _noise_field(height + _OFFSETS, width + _OFFSETS, device)[rows.start :]
    noise = torch.empty((len(levels), 1, high, width), device=device)
    for one, level, seed in zip(noise, levels, seeds, strict=True):
        y, x = np.random.default_rng(seed).integers(_OFFSETS, size=2).tolist()
        torch.mul(field[y : y + high, x : x + width], level if level >= _LEAST_GRAIN else 0.0, out=one[0])
    return noise


@lru_cache(maxsize=1)
def _noise_field(height: int, width: int, device: torch.device) -> Float[Tensor, "height width"]:
    rng = torch.Generator(device).manual_seed(0)
    return torch.randn((height, width), generator=rng, device=device)


def luminance(pictures: Pictures) -> Alphas:
    """Of RGB pictures, in their own range."""
    return torch.einsum("bchw,c->bhw", pictures, pictures.new_tensor(_LUMA))[:, None]


def fine_detail(pictures: Pictures) -> Alphas:
    """The luminance's fine detail, up to some three pixels wide."""
    return finer(luminance(pictures))


def finer(planes: Alphas) -> Alphas:
    """What is up to some three pixels wide."""
    return planes - filtered(planes, _BINOMIAL, beyond="edge")
