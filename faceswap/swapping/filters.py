"""Blurring pictures and masks of a crop's size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Planes = Float[Tensor, "batch channels _ _"]


def filtered(planes: Planes, taps: Sequence[float], stride: int = 1, beyond: str = "nothing") -> Planes:
    """Each channel convolved with `taps`, which are made to add up to 1, in both directions; every `stride`-th value.

    `beyond` the border there is "nothing" (zero), or the "edge" goes on.
    """
    reach = (len(taps) - 1) // 2
    planes = functional.pad(planes, (reach,) * 4, mode="replicate" if beyond == "edge" else "constant")

    # Added up by hand: torch's convolution of single channels takes up to thirty times as long, and much memory.
    first, *others = (tap / sum(taps) for tap in taps)
    for axis in (-2, -1):
        shifted, *rest = planes.unfold(axis, len(taps), stride).unbind(-1)
        planes = shifted * first
        for plane, weight in zip(rest, others, strict=True):
            planes.add_(plane, alpha=weight)
    return planes


def gaussian(deviation: float) -> list[float]:
    """Taps of a Gaussian of this standard deviation in pixels."""
    reach = math.ceil(3 * deviation)
    return [math.exp(-((step / deviation) ** 2) / 2) for step in range(-reach, reach + 1)]
