"""The whole model: one encoder and bottleneck for everybody, one decoder per person or one that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faceswap.config import ModelConfig
from faceswap.model.bottleneck import Bottleneck, Encoded, Latent, Plain, Sparse
from faceswap.model.decoder import ConditionalDecoder, Drawing, Logits, Person, SeparateDecoders
from faceswap.model.detail import Window, enlarged
from faceswap.model.encoder import Encoder
from faceswap.model.quantised import Quantised
from faceswap.model.variational import Variational

Pictures = Float[Tensor, "batch 3 size size"]

_BOTTLENECKS: Mapping[str, Callable[[ModelConfig], Bottleneck]] = {
    "plain": Plain,
    "sparse": Sparse,
    "vae": Variational,
    "vq": partial(Quantised, levels=1),
    "vq2": partial(Quantised, levels=2),
}
_DECODERS: Mapping[str, Callable[[ModelConfig], SeparateDecoders | ConditionalDecoder]] = {
    "separate": SeparateDecoders,
    "conditional": ConditionalDecoder,
}


@dataclass(frozen=True)
class Decoded:
    """What a decoder makes of latents: whole pictures, or the same part of each."""

    picture: Float[Tensor, "batch 3 h w"]
    """RGB, 0..1."""
    mask: Float[Tensor, "batch 1 h w"]
    """Which pixels are face, 0..1."""
    logits: Float[Tensor, "batch 3 h w"]
    """The picture before the logistic function."""


@dataclass(frozen=True)
class Rendered:
    """What a decoder and its detail stage make of latents."""

    fine: Decoded
    """`config.output_size` px."""
    coarse: Decoded
    """`config.size` px."""


class SwapModel(nn.Module):
    """Encode any face; decode it as any person.

    latent = model.encode(pictures)          # what the face does
    model.decode(latent, "a")                # ... done by a: reconstruction, if it was a's face
    model.decode(latent, "b")                # ... done by b: the swap
    model.render(latent, "b")                # ... as large and as sharp as this model can
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.bottleneck = _BOTTLENECKS[config.latent](config)
        self.decoders = _DECODERS[config.decoder](config)

    def encode(self, pictures: Pictures) -> Latent:
        """Latents of RGB pictures in 0..1; the same picture always gives the same one."""
        return self.bottleneck.encode(self.encoder(pictures * 2 - 1))

    def decode(self, latent: Latent, person: Person) -> Decoded:
        """The faces that `latent` describes, as `person` would look. Raises KeyError for an unknown person."""
        return picture(self.decoders(self.bottleneck.decode(latent), person).logits)

    def render(self, latent: Latent, person: Person, window: Window | None = None) -> Rendered:
        """The same from the detail stage, and what it started from. Without one, both are the same picture.

        With a `window`, only that part of the large picture is drawn.
        """
        drawing: Drawing = self.decoders(self.bottleneck.decode(latent), person)
        coarse = picture(drawing.logits)
        if not self.config.detail:
            return Rendered(coarse, coarse)

        mask = coarse.mask
        if window is not None:
            parts = (window.of(planes, self.config.size) for planes in (drawing.logits, drawing.features, mask))
            logits, features, mask = parts
            drawing = Drawing(logits, features)
        fine = self.decoders.refine(drawing, person)
        return Rendered(Decoded(torch.sigmoid(fine), enlarged(mask, self.config.detail), fine), coarse)

    def forward(
        self, pictures: Mapping[str, Pictures], noise: Float[Tensor, "everybody latent"], whose: Mapping[str, Person]
    ) -> tuple[dict[str, Decoded], Encoded]:
        """The way of training: batches of pictures, each rebuilt as `whose` it is, and how they passed the bottleneck.

        Everybody's faces pass the encoder as one batch, with standard normal `noise` for each; each person's latents
        then go to that person's decoder.
        """
        everybody = torch.cat(list(pictures.values())).to(memory_format=torch.channels_last)
        encoded = self.bottleneck(self.encoder(everybody * 2 - 1), noise)
        latents = torch.split(encoded.latent, [len(batch) for batch in pictures.values()])
        return {p: self.decode(latent, whose[p]) for p, latent in zip(pictures, latents, strict=True)}, encoded

    def refined(
        self, pictures: Mapping[str, Pictures], whose: Mapping[str, Person], window: Window | None
    ) -> dict[str, Rendered]:
        """The way of training for the detail stage: `window` of each batch of pictures, rebuilt as `whose` they are,
        beside the small pictures that they were drawn from."""
        everybody = torch.cat(list(pictures.values())).to(memory_format=torch.channels_last)
        latents = torch.split(self.encode(everybody), [len(batch) for batch in pictures.values()])
        return {p: self.render(latent, whose[p], window) for p, latent in zip(pictures, latents, strict=True)}


def picture(logits: Logits) -> Decoded:
    """What a decoder's output shows."""
    logits = logits.float()
    values = torch.sigmoid(logits)
    return Decoded(values[:, :3], values[:, 3:], logits[:, :3])


def conditional(model: SwapModel) -> ConditionalDecoder:
    """The decoder of a model that has one for all persons. Raises TypeError if it has not."""
    if not isinstance(model.decoders, ConditionalDecoder):
        raise TypeError("this model has a decoder for each person")
    return model.decoders


def build_model(config: ModelConfig, seed: int = 0) -> SwapModel:
    """A new model with random weights that depend on `seed` alone; all persons start from the same ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SwapModel(config)
