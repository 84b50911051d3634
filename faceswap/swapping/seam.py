"""Taking the seam away between a face and the picture that it is pasted on."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from faceswap.swapping.filters import filtered, gaussian

Masks = Float[Tensor, "batch size size"]
Pictures = Float[Tensor, "batch 3 size size"]

_HALVING, _SMOOTHING = (1, 3, 3, 1), (1, 2, 1)  # binomial filters
_SHRINKING = 2.0  # at a pyramid's coarser levels the seam lies further inside the face, by this factor of the blur
_BAND = 0.03  # of the crop's side: standard deviation of the blur in a closed seam
_COARSEST = 16  # pixels a side: the pyramid's top
_KNOWN = 4.0  # times the share of a pyramid's pixel that the mask covers: from 1 on it counts as known


def closed(pictures: Pictures, originals: Pictures, masks: Masks) -> Pictures:
    """The pictures, changed in a narrow band along the mask's edge, so that pasting them leaves no seam there: the
    difference to what they are pasted on, blurred, is taken away, the more the nearer the edge. Everything further
    inside, and all that is finer than the band, stays the face's own."""
    taps = gaussian(_BAND * masks.shape[-1])
    weight = masks[:, None]
    blurred = filtered(weight, taps)
    difference = filtered(weight * (pictures - originals), taps) / blurred.clamp_min(1e-3)
    inside = (1 - _SHRINKING * (1 - blurred)).clamp(0, 1)
    return (pictures - (1 - inside) * difference).clamp(0, 1)


def pyramid_blended(pictures: Pictures, originals: Pictures, masks: Masks) -> Pictures:
    """The pictures, changed so that pasting them under the masks leaves no seam: towards the mask's edge they take on
    the colour and shading of what they are pasted on, the coarser the further inside.

    Burt and Adelson, "A multiresolution spline" (1983), written for the difference of the two pictures: a Laplacian
    pyramid of it, each level under a mask of its own width. Only what lies under the mask enters the pyramid: its
    levels are means weighted by the mask, and where that is empty they are filled up from the next coarser one, as in
    Gortler et al., "The lumigraph" (1996). No level reaches beyond the mask.
    """
    weights = [masks[:, None]]

    sums = [weights[0] * (pictures - originals)]
    while sums[-1].shape[-1] > _COARSEST and sums[-1].shape[-1] % 2 == 0:
        sums.append(filtered(sums[-1], _HALVING, stride=2))
        weights.append(filtered(weights[-1], _HALVING, stride=2))

    # From the coarsest level to the finest: the difference itself, and what has to be taken away from it.
    unknown = sums[-1].sum(dim=(2, 3), keepdim=True) / weights[-1].sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)

    coarser, away = torch.zeros_like(unknown), torch.zeros_like(unknown)
    for total, weight in zip(sums[:0:-1], weights[:0:-1], strict=True):
        unknown, coarser, away = (_enlarged_to(level, total) for level in (unknown, coarser, away))
        known = (_KNOWN * weight).clamp(max=1)
        level = unknown + known * (total / weight.clamp_min(1e-6) - unknown)
        inside = (1 - _SHRINKING * (1 - filtered(weight, _SMOOTHING))).clamp(0, 1)
        away = away + (1 - inside) * (level - coarser)
        unknown = coarser = level

    return (pictures - _enlarged_to(away, pictures)).clamp(0, 1)


def _enlarged_to(levels: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(levels, size=like.shape[-2:], mode="bilinear", align_corners=False)
