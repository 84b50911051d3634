"""The encoder, shared by all persons: from a picture to feature maps."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from faceswap.config import ModelConfig
from faceswap.model.blocks import Features, activation, conv


def stages(config: ModelConfig) -> list[int]:
    """Channels at each size, from half the picture's side down to the smallest (an odd size or 4 to 7 px)."""
    side, widths = config.size // 2, [config.width]
    while side % 2 == 0 and side > 7:
        side //= 2
        widths.append(min(2 * widths[-1], config.max_width))
    return widths


def smallest_side(config: ModelConfig) -> int:
    """Height and width of the encoder's output, in pixels."""
    return int(config.size >> len(stages(config)))


class Encoder(nn.Module):
    """A deep convolutional encoder: each stage halves the picture and doubles its channels.

    The first halving is a rearrangement of 2x2 pixels into channels, which loses nothing and spares the
    costliest convolutions, those at full size.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = stages(config)
        self.stages = nn.ModuleList([nn.Sequential(nn.PixelUnshuffle(2), conv(12, widths[0]), activation())])
        for inputs, outputs in pairwise(widths):
            self.stages.append(nn.Sequential(conv(inputs, outputs, stride=2), activation()))

    def forward(self, picture: Features) -> Features:
        """From RGB in [-1, 1], (batch, 3, size, size), to (batch, widest, smallest side, smallest side)."""
        features = picture
        for stage in self.stages:
            features = stage(features)
        return features
