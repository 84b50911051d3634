"""The decoders: from feature maps to a person's picture and its mask."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from faceswap.config import ModelConfig
from faceswap.model.blocks import Features, Residual, Upsample, activation, conv, sub_pixel_conv
from faceswap.model.detail import Detail, FineLogits
from faceswap.model.encoder import stages

_CODE = 64  # numbers that say to a conditional decoder who a person is
_SPREAD = 0.3  # their standard deviation before training: near each other, so that alike people can stay there

Logits = Float[Tensor, "batch 4 _ _"]
"""R, G, B and mask: a logistic function takes them to [0, 1]."""
Person = str | Int64[Tensor, " batch"]
"""Whom to draw, by name; or for each face another one, by number."""


@dataclass(frozen=True)
class Drawing:
    """A decoder's picture, and the features that it was made of, from which the detail stage goes on."""

    logits: Logits
    features: Features
    """At half the picture's side, or that part of them which the logits show."""


class Decoder(nn.Module):
    """The encoder's mirror: each stage doubles the picture, then convolves and refines it there.

    Picture and mask leave through one last convolution at half size whose outputs are the 2x2 sub-pixels of
    R, G, B and mask: at full size nothing is computed at all.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = stages(config)[::-1]

        self.stages = nn.ModuleList(
            nn.Sequential(
                Upsample(inputs, outputs),
                conv(outputs, outputs),
                activation(),
                *(Residual(outputs) for _ in range(config.blocks)),
            )
            for inputs, outputs in pairwise(widths)
        )

        self.head = nn.Sequential(sub_pixel_conv(widths[-1], 4, 3), nn.PixelShuffle(2))
        self.detail = Detail(widths[-1], config.detail) if config.detail else None

    def forward(self, features: Features) -> Drawing:
        """The one person whom it knows."""
        for stage in self.stages:
            features = stage(features)
        return Drawing(self.head(features), features)

    def refine(self, drawing: Drawing) -> FineLogits:
        """The large picture. Raises TypeError if there is no detail stage."""
        if self.detail is None:
            raise TypeError("this decoder has no detail stage")
        fine: FineLogits = self.detail(drawing.features, drawing.logits)
        return fine


class SeparateDecoders(nn.ModuleDict):
    """A decoder for each person: what one of them learns, no other can know."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__({person: Decoder(config) for person in config.persons})
        first = self[config.persons[0]].state_dict()
        for person in config.persons[1:]:  # all start from the same weights
            self[person].load_state_dict(first)

    def forward(self, features: Features, person: Person) -> Drawing:
        """Raises KeyError for an unknown person, or for many at once."""
        drawing: Drawing = self._of(person)(features)
        return drawing

    def refine(self, drawing: Drawing, person: Person) -> FineLogits:
        """The large picture. Raises KeyError as `forward` does."""
        return self._of(person).refine(drawing)

    def _of(self, person: Person) -> Decoder:
        if not isinstance(person, str):
            raise KeyError("each of these decoders draws one person")
        decoder: nn.Module = self[person]
        assert isinstance(decoder, Decoder)
        return decoder


class ConditionalDecoder(nn.Module):
    """One decoder for all, told at every stage whom to draw: with a variational latent, a conditional VAE.

    A person is a learnt code, which scales and shifts the channels between the stages (feature-wise linear
    modulation, Perez et al., 2018). Many persons cost little more than two, and learn of each other.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.decoder = Decoder(config)
        self.numbers = {person: number for number, person in enumerate(config.persons)}
        self.codes = nn.Parameter(_SPREAD * torch.randn(len(config.persons), _CODE))
        self.modulations = nn.ModuleList(_Modulation(channels) for channels in stages(config)[::-1])

    def forward(self, features: Features, person: Person) -> Drawing:
        """Raises KeyError for an unknown person."""
        return self.draw(
            features, self.codes[self.numbers[person]][None] if isinstance(person, str) else self.codes[person]
        )

    def draw(self, features: Features, code: Float[Tensor, "each code"]) -> Drawing:
        """Whoever the codes describe: one for all faces, or one for each."""
        first, *others = self.modulations
        features = first(features, code)
        for stage, modulation in zip(self.decoder.stages, others, strict=True):
            features = modulation(stage(features), code)
        return Drawing(self.decoder.head(features), features)

    def refine(self, drawing: Drawing, person: Person) -> FineLogits:  # noqa: ARG002  # the features say who it is
        """The large picture of whoever was drawn."""
        return self.decoder.refine(drawing)


class _Modulation(nn.Module):
    """Scales and shifts channels as a person's code says; starts as the identity for everybody."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.read = nn.Linear(_CODE, 2 * channels)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)

    def forward(self, features: Features, code: Float[Tensor, "each code"]) -> Features:
        scale, shift = self.read(code)[..., None, None].chunk(2, dim=1)
        modulated: Features = features * (1 + scale) + shift
        return modulated
