"""The bottleneck, shared by all persons: a few hundred numbers that say what the face does.

It is dense on purpose. A face passes it as one vector, without places, so the decoder behind it has to know
from its own weights where a nose lies and what it looks like: that is where a person's identity comes to live.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from faceswap.config import ModelConfig
from faceswap.model.blocks import Features, activation
from faceswap.model.encoder import smallest_side, stages

Latent = Float[Tensor, "batch latent"]


class Bottleneck(nn.Module):
    """Feature maps -> latent vector -> feature maps."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        side, channels = smallest_side(config), stages(config)[-1]
        self.shrink = nn.Linear(channels * side * side, config.latent)
        self.expand = nn.Linear(config.latent, channels * side * side)
        self.act = activation()
        self.shape = (channels, side, side)

    def encode(self, features: Features) -> Latent:
        """The latent vectors of the encoder's output."""
        latent: Latent = self.shrink(features.flatten(1))
        return latent

    def decode(self, latent: Latent) -> Features:
        """The feature maps that a decoder starts from, of the same shape as the encoder's output."""
        features: Features = self.act(self.expand(latent)).unflatten(1, self.shape)
        return features
