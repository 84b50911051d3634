"""How far a reconstruction is from its target. Pictures and masks are float in 0..1; results are scalars."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from faceswap.config import TrainConfig
from faceswap.model.swap_model import Decoded
from faceswap.training.bank import Batch

_BACKGROUND = 0.05  # weight of a pixel outside the face: enough to keep the mask's soft edge clean
_WINDOW, _SIGMA = 11, 1.5  # of the structural similarity, as published
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Losses:
    """The parts of one person's loss."""

    pixel: Float[Tensor, ""]
    structure: Float[Tensor, ""]
    mask: Float[Tensor, ""]
    total: Float[Tensor, ""]

    def detach(self) -> Losses:
        """The same values without the graph that led to them."""
        return Losses(self.pixel.detach(), self.structure.detach(), self.mask.detach(), self.total.detach())


def reconstruction_losses(decoded: Decoded, batch: Batch, config: TrainConfig) -> Losses:
    """The weighted sum of L1, 1 - SSIM and the mask's L1; the first two count face pixels, above all eyes and mouth."""
    face = _BACKGROUND + (1 - _BACKGROUND) * batch.mask
    weight = face * (1 + config.feature_weight * batch.features)
    pixel = weighted_mean((decoded.picture - batch.target).abs().mean(dim=1, keepdim=True), weight)
    structure = weighted_mean(1 - ssim_map(decoded.picture, batch.target), weight)
    mask = (decoded.mask - batch.mask).abs().mean()
    total = pixel + config.structure_weight * structure + config.mask_weight * mask
    return Losses(pixel, structure, mask, total)


def weighted_mean(values: Float[Tensor, "batch 1 h w"], weight: Float[Tensor, "batch 1 h w"]) -> Float[Tensor, ""]:
    """The mean of `values` where `weight` says how much each counts."""
    mean: Tensor = (values * weight).sum() / weight.sum().clamp_min(1e-6)
    return mean


def ssim_map(x: Float[Tensor, "batch 3 h w"], y: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 1 h w"]:
    """Structural similarity around each pixel, -1..1, averaged over the channels (Wang et al., 2004)."""
    moments = _blur(torch.cat([x, y, x * x, y * y, x * y], dim=1))
    mx, my, xx, yy, xy = moments.chunk(5, dim=1)
    mxx, myy, mxy = mx * mx, my * my, mx * my
    likeness = ((2 * mxy + _C1) * (2 * (xy - mxy) + _C2)) / ((mxx + myy + _C1) * (xx - mxx + yy - myy + _C2))
    return likeness.mean(dim=1, keepdim=True)


def _blur(planes: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels h w"]:
    """A Gaussian window, its border pixels repeated beyond the edge; as two matrix products, which on a CPU
    take a twelfth of the time of the equivalent convolutions."""
    height, width = planes.shape[2:]
    down, across = (_window_matrix(n, planes.device).to(planes.dtype) for n in (height, width))
    return down @ planes @ across.T


def _window_matrix(side: int, device: torch.device) -> Float[Tensor, "side side"]:
    """Row i holds the weights of the window around pixel i."""
    offsets = torch.arange(_WINDOW, device=device) - _WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    rows = torch.arange(side, device=device)[:, None]
    places = (rows + offsets).clamp(0, side - 1)
    matrix = torch.zeros(side, side, device=device)
    return matrix.scatter_add_(1, places, (weights / weights.sum()).expand(side, -1).contiguous())
