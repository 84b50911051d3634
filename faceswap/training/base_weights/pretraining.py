"""Learning faces from many people at once: how base weights are made, and how good they are.

It is the training of `faceswap.training.step`, of a conditional VAE with one bank for everybody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faceswap.config import ModelConfig, TrainConfig
from faceswap.model.swap_model import Pictures, SwapModel, conditional, picture
from faceswap.model.variational import Variational
from faceswap.training.bank import Batch
from faceswap.training.base_weights.initialise import fit_codes
from faceswap.training.base_weights.portraits import LIKENESSES
from faceswap.training.losses import reconstruction_losses, ssim_map, weighted_mean

EVERYBODY = "everybody"
"""The name of the one bank."""

_UNKNOWN = 14  # one in so many people is not trained on


def network_of(preset: ModelConfig, persons: int) -> ModelConfig:
    """The network that learns from `persons` people."""
    names = tuple(f"p{number}" for number in range(persons * LIKENESSES))
    return dataclasses.replace(preset, persons=names, latent="vae", decoder="conditional", detail=0)


def hold_out(persons: Sequence[int], seed: int) -> Bool[np.ndarray, " faces"]:
    """Which faces are not to be trained on: all those of one person in fourteen."""
    everybody = np.random.default_rng(seed).permutation(max(persons) + 1)
    return np.isin(np.asarray(persons), everybody[: max(1, len(everybody) // _UNKNOWN)])


@dataclass(frozen=True)
class Unknown:
    """How well people are drawn whom the network has never seen."""

    loss: float
    """Of their pictures' reconstruction, once a code has been found for each."""
    likeness: float
    """SSIM inside the face mask."""
    codes: Float[Tensor, "faces code"]


def measure_unknown(model: SwapModel, shown: Batch, config: TrainConfig) -> Unknown:
    """Find the code of each face in `shown`, then rebuild it."""
    codes = fit_codes(model, shown, config)
    with torch.no_grad():
        features = model.bottleneck.decode(model.encode(shown.input))
        decoded = picture(conditional(model).draw(features, codes).logits)
        loss = reconstruction_losses(decoded, shown, config).total
        likeness = weighted_mean(ssim_map(decoded.picture, shown.target), shown.mask)
    return Unknown(float(loss), float(likeness), codes)


@torch.no_grad()
def mean_log_variance(model: SwapModel, pictures: Pictures) -> Float[Tensor, " latent"]:
    """Of each number of the latent."""
    if not isinstance(model.bottleneck, Variational):
        raise TypeError("only a variational latent has a variance")
    return model.bottleneck.distribution(model.encoder(pictures * 2 - 1))[1].mean(dim=0)
