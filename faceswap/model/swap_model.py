"""The whole model: one encoder and bottleneck for everybody, one decoder per person."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faceswap.config import ModelConfig
from faceswap.model.bottleneck import Bottleneck, Latent
from faceswap.model.decoder import Decoder
from faceswap.model.encoder import Encoder

Pictures = Float[Tensor, "batch 3 size size"]
Masks = Float[Tensor, "batch 1 size size"]


@dataclass(frozen=True)
class Decoded:
    """What a decoder makes of latents."""

    picture: Pictures
    """RGB, 0..1."""
    mask: Masks
    """Which pixels are face, 0..1."""


class SwapModel(nn.Module):
    """Encode any face; decode it as any person.

    latent = model.encode(pictures)          # what the face does
    model.decode(latent, "a")                # ... done by a: reconstruction, if it was a's face
    model.decode(latent, "b")                # ... done by b: the swap
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.bottleneck = Bottleneck(config)
        self.decoders = nn.ModuleDict({person: Decoder(config) for person in config.persons})

    def encode(self, pictures: Pictures) -> Latent:
        """Latents of RGB pictures in 0..1."""
        return self.bottleneck.encode(self.encoder(pictures * 2 - 1))

    def decode(self, latent: Latent, person: str) -> Decoded:
        """The faces that `latent` describes, as `person` would look. Raises KeyError for an unknown person."""
        logits = self.decoders[person](self.bottleneck.decode(latent))
        values = torch.sigmoid(logits.float())
        return Decoded(values[:, :3], values[:, 3:])


def build_model(config: ModelConfig, seed: int = 0) -> SwapModel:
    """A new model with random weights that depend on `seed` alone; every decoder starts from the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SwapModel(config)
    first = model.decoders[config.persons[0]].state_dict()
    for person in config.persons[1:]:
        model.decoders[person].load_state_dict(first)
    return model
