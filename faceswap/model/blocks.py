"""The few layers that encoder and decoder are made of. Feature maps are float, batch x channels x height x width."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

Features = Float[Tensor, "batch _ _ _"]

_SLOPE = 0.1  # of the leaky rectifier below zero


def activation() -> nn.Module:
    """The nonlinearity used everywhere; in place, because on a CPU memory traffic is what costs."""
    return nn.LeakyReLU(_SLOPE, inplace=True)


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution whose output keeps the variance of its input behind an `activation` (He et al., 2015)."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
    nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # Conv2d always has a bias here
    return layer


def sub_pixel_conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """A convolution to 4 x `outputs` channels, the 2x2 sub-pixels of a picture twice as large.

    All four start from the same filter, so that no checkerboard is there to be unlearnt (Aitken et al., 2017).
    """
    layer = nn.Conv2d(inputs, 4 * outputs, kernel, padding=kernel // 2)
    weight = torch.empty(outputs, inputs, kernel, kernel)
    nn.init.kaiming_normal_(weight, a=_SLOPE)
    with torch.no_grad():
        layer.weight.copy_(weight.repeat_interleave(4, dim=0))
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # Conv2d always has a bias here
    return layer


class Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al., 2016); starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.act = activation()
        self.second = conv(channels, channels)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Features) -> Features:
        """The input plus a learnt correction, of the same shape."""
        corrected: Features = x + self.second(self.act(self.first(x)))
        return corrected


class Upsample(nn.Module):
    """Doubles height and width by sub-pixel convolution (Shi et al., 2016).

    The filter is 1x1: the convolutions that follow look around at the finer size.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.expand = sub_pixel_conv(inputs, outputs, 1)
        self.shuffle = nn.PixelShuffle(2)
        self.act = activation()

    def forward(self, x: Features) -> Features:
        """From (batch, inputs, h, w) to (batch, outputs, 2h, 2w)."""
        doubled: Features = self.act(self.shuffle(self.expand(x)))
        return doubled
