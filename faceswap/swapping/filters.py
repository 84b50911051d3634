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
    channels, reach = planes.shape[1], (len(taps) - 1) // 2
    line = planes.new_tensor(taps) / sum(taps)
    wide = functional.pad(planes, (reach,) * 4, mode="replicate" if beyond == "edge" else "constant")
    column, row = (line.view(shape).expand(channels, 1, -1, -1) for shape in ((1, 1, -1, 1), (1, 1, 1, -1)))
    once = functional.conv2d(wide, column, stride=(stride, 1), groups=channels)
    return functional.conv2d(once, row, stride=(1, stride), groups=channels)


def gaussian(deviation: float) -> list[float]:
    """Taps of a Gaussian of this standard deviation in pixels."""
    reach = math.ceil(3 * deviation)
    return [math.exp(-((step / deviation) ** 2) / 2) for step in range(-reach, reach + 1)]
