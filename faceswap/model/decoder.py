"""A decoder: one person's face, from feature maps to a picture and its mask."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from faceswap.config import ModelConfig
from faceswap.model.blocks import Features, Residual, Upsample, activation, conv, sub_pixel_conv
from faceswap.model.encoder import stages


class Decoder(nn.Module):
    """The encoder's mirror: each stage doubles the picture, then convolves and refines it there.

    Picture and mask leave through one last convolution at half size whose outputs are the 2x2 sub-pixels of
    R, G, B and mask: at full size nothing is computed at all.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = stages(config)[::-1]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [Upsample(inputs, outputs), conv(outputs, outputs), activation()]
            layers += [Residual(outputs) for _ in range(config.blocks)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(sub_pixel_conv(widths[-1], 4, 3), nn.PixelShuffle(2))

    def forward(self, features: Features) -> Float[Tensor, "batch 4 size size"]:
        """R, G, B and mask as logits: a logistic function takes them to [0, 1]."""
        logits: Tensor = self.head(self.layers(features))
        return logits
