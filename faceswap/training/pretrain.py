"""Learning faces from many people at once: how base weights are made, and how good they are.

It is the training of `faceswap.training.step`, of a conditional VAE with one bank for everybody.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from faceswap.config import ModelConfig, TrainConfig
from faceswap.model.decoder import ConditionalDecoder
from faceswap.model.swap_model import Decoded, SwapModel
from faceswap.model.variational import Variational
from faceswap.training.bank import Batch
from faceswap.training.losses import reconstruction_losses, ssim_map, weighted_mean
from faceswap.training.portraits import LIKENESSES, PortraitBank

EVERYBODY = "everybody"
"""The name of the one bank."""

_FITTING, _FITTING_RATE = 60, 0.03  # steps and rate by which the code of an unknown person is found


def network_of(preset: ModelConfig, persons: int) -> ModelConfig:
    """The network that learns from `persons` people."""
    names = tuple(f"p{number}" for number in range(persons * LIKENESSES))
    return dataclasses.replace(preset, persons=names, latent="vae", decoder="conditional")


@dataclass(frozen=True)
class Unknown:
    """How well people are drawn whom the network has never seen."""

    loss: float
    """Of their pictures' reconstruction, once their codes have been found."""
    likeness: float
    """SSIM inside the face mask."""
    found: Float[Tensor, "faces code"]


def measure_unknown(model: SwapModel, shown: Batch, config: TrainConfig) -> Unknown:
    """Find the code of each face in `shown`, with everything else as it is, from the mean of all; then measure."""
    decoders = model.decoders
    if not isinstance(decoders, ConditionalDecoder):
        raise TypeError("only a conditional decoder has codes to be found")
    with torch.no_grad():
        features = model.bottleneck.decode(model.encode(shown.target))
        codes = decoders.codes.mean(dim=0).repeat(len(features), 1)
    codes.requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=_FITTING_RATE)
    for step in range(_FITTING):
        for group in optimizer.param_groups:
            group["lr"] = _FITTING_RATE * (1 - step / _FITTING)
        losses = reconstruction_losses(_drawn(decoders, features, codes), shown, config)
        (gradient,) = torch.autograd.grad(losses.total, codes)
        codes.grad = gradient * len(features)  # of each face's own loss, not of the mean
        optimizer.step()
    with torch.no_grad():
        decoded = _drawn(decoders, features, codes)
        loss = reconstruction_losses(decoded, shown, config).total
        likeness = weighted_mean(ssim_map(decoded.picture, shown.target), shown.mask)
    return Unknown(float(loss), float(likeness), codes.detach())


def _drawn(decoders: ConditionalDecoder, features: Tensor, codes: Tensor) -> Decoded:
    logits = decoders.draw(features, codes).float()
    values = logits.sigmoid()
    return Decoded(values[:, :3], values[:, 3:], logits[:, :3])


@torch.no_grad()
def mean_log_variance(model: SwapModel, bank: PortraitBank, count: int) -> Float[Tensor, " latent"]:
    """Of each number of the latent, over `count` faces."""
    if not isinstance(model.bottleneck, Variational):
        raise TypeError("only a variational latent has a variance")
    batch = bank.show(count, 0)
    return model.bottleneck.distribution(model.encoder(batch.target * 2 - 1))[1].mean(dim=0)
