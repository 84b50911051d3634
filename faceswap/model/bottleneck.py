"""The bottleneck, shared by all persons: a few hundred numbers that say what the face does.

It is dense on purpose. A face passes it as one vector, without places, so the decoder behind it has to know
from its own weights where a nose lies and what it looks like: that is where a person's identity comes to live.

The kinds of autoencoder differ in nothing but their bottleneck:

    Plain        the numbers as they are: an autoencoder, or a denoising one if its input is corrupted
    Sparse       the numbers are activations, 0 or more, and each costs something (Ng, 2011)
    Variational  each number is a normal distribution (Kingma & Welling, 2014): model/variational.py
    Quantised    groups of numbers are words of a learnt vocabulary, on one level or two: model/quantised.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from faceswap.config import ModelConfig
from faceswap.errors import ModelError
from faceswap.model.blocks import Features, activation
from faceswap.model.encoder import smallest_side, stages

Latent = Float[Tensor, "batch latent"]


@dataclass(frozen=True)
class CodeAssignment:
    """Which entries of a codebook a batch was given, from which its entries learn."""

    vectors: Float[Tensor, "n width"]
    codes: Int64[Tensor, " n"]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Faces on their way through the bottleneck, as training sees them."""

    latent: Latent
    """What the decoders get."""
    penalties: Mapping[str, Float[Tensor, "*any"]] = field(default_factory=dict)
    """What training has to pay for, by name, not weighted yet: see `faceswap.training.losses`."""
    metrics: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    """What is good to know, by name."""
    assigned: tuple[CodeAssignment, ...] = ()
    """By codebook."""


class Bottleneck(nn.Module):
    """Feature maps -> latent vector of `length` numbers -> feature maps."""

    generative = False
    """Whether there is a distribution of latents to `sample` from."""

    def __init__(self, config: ModelConfig, length: int) -> None:
        super().__init__()
        side, channels = smallest_side(config), stages(config)[-1]
        self.shape = (channels, side, side)
        self.values = channels * side * side
        """Numbers in the encoder's output."""
        self.length = length
        self.expand = nn.Linear(length, self.values)
        self.act = activation()

    def forward(self, features: Features, noise: Latent) -> Encoded:
        """The way of training. `noise` is standard normal, drawn by the caller, of the latent's shape."""
        raise NotImplementedError

    def encode(self, features: Features) -> Latent:
        """The latent vectors of the encoder's output, without any chance."""
        raise NotImplementedError

    def decode(self, latent: Latent) -> Features:
        """The feature maps that a decoder starts from, of the same shape as the encoder's output."""
        features: Features = self.act(self.expand(latent)).unflatten(1, self.shape)
        return features

    def update_codebooks(self, assigned: Sequence[CodeAssignment], rng: torch.Generator) -> None:
        """What it learns by other means than gradients, behind each step of the optimizer: as a rule nothing.

        `assigned` is that of a Passage.
        """

    def sample(self, count: int, rng: torch.Generator) -> Latent:  # noqa: ARG002  # for those who can
        """Latents of faces that nobody has shown. Raises ModelError if this kind has no distribution to draw from."""
        raise ModelError(
            "this model's latent is no distribution that faces could be drawn from",
            "Train one with --latent vae, vq or vq2",
        )


class Plain(Bottleneck):
    """One dense layer there, one back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.latent_size)
        self.shrink = nn.Linear(self.values, self.length)

    def forward(self, features: Features, noise: Latent) -> Encoded:  # noqa: ARG002  # nothing is left to chance
        """The latent is all there is."""
        return Encoded(latent=self.encode(features))

    def encode(self, features: Features) -> Latent:
        """A linear map."""
        latent: Latent = self.shrink(features.flatten(1))
        return latent


class Sparse(Plain):
    """Activations behind a rectifier, which training pushes towards zero: few tell what a face does."""

    def forward(self, features: Features, noise: Latent) -> Encoded:  # noqa: ARG002  # nothing is left to chance
        """`activity` is the mean activation (the L1 norm by the latent's length), `active` the share above zero."""
        latent = self.encode(features)
        return Encoded(
            latent=latent,
            penalties={"activity": latent.float().mean()},
            metrics={"active": (latent > 0).float().mean()},
        )

    def encode(self, features: Features) -> Latent:
        """Numbers from 0 up."""
        return super().encode(features).relu()
