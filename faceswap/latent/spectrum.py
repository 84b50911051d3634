"""Which numbers of a latent are in use, and how much they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from faceswap.config import TrainConfig
from faceswap.latent.codes import Codes, Pictures, batches
from faceswap.model.quantised import Quantised
from faceswap.model.swap_model import SwapModel
from faceswap.model.variational import Variational, kl_to_standard_normal
from faceswap.training.losses import log_likelihood

ACTIVE = 0.01
"""Variance over faces from which on a number of a variational latent counts as active (Burda et al., 2016)."""

_UNUSED = 1e-8  # variance of a number that says nothing, in latents whose numbers have no scale of their own


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The evidence lower bound of faces, in nats a face: the mean of log-likelihood minus what the code costs."""

    elbo: float
    likelihood: float
    """Logarithm of the pictures' density, values in 0..1: more than 0 is possible."""
    rate: float
    """KL divergence to the prior; of a quantised latent, what the words cost under its prior."""


@dataclass(frozen=True, kw_only=True)
class BookUse:
    """How a codebook is used by faces."""

    counts: Int[np.ndarray, " entries"]
    """How often each entry was the nearest."""

    @property
    def used(self) -> int:
        """Entries that were used at all."""
        return int((self.counts > 0).sum())

    @property
    def perplexity(self) -> float:
        """As how many entries, used alike, they are: the exponential of the entropy of their use."""
        shares = self.counts[self.counts > 0] / max(1, self.counts.sum())
        return float(np.exp(-(shares * np.log(shares)).sum()))


def active_units(model: SwapModel, codes: Codes) -> int:
    """Numbers whose variance over the faces is above `ACTIVE` in a variational latent; elsewhere above nothing."""
    limit = ACTIVE if isinstance(model.bottleneck, Variational) else _UNUSED
    return int((codes.var(axis=0) > limit).sum())


@torch.inference_mode()
def kl_by_number(model: SwapModel, pictures: Pictures) -> Float[np.ndarray, " latent"]:
    """The KL divergence of each number of a variational latent to its prior, in nats, averaged over faces.

    Raises TypeError for another kind of latent.
    """
    if not isinstance(model.bottleneck, Variational):
        raise TypeError("only a variational latent has a KL divergence")
    divergences = []
    for batch in batches(model, pictures):
        mean, log_variance = model.bottleneck.distribution(model.encoder(batch * 2 - 1))
        divergences.append(kl_to_standard_normal(mean, log_variance).cpu().numpy())
    return np.asarray(np.concatenate(divergences).mean(axis=0))


def book_use(model: SwapModel, codes: Codes) -> list[BookUse]:
    """How each codebook of a quantised latent is used by codes, the coarse one first; of other latents none."""
    bottleneck = model.bottleneck
    if not isinstance(bottleneck, Quantised):
        return []

    uses: list[BookUse] = []
    ends = np.cumsum([tokens * bottleneck.width for tokens in bottleneck.tokens])[:-1]
    for book, level in zip(bottleneck.books, np.split(codes, ends, axis=1), strict=True):
        vectors = torch.from_numpy(level.reshape(-1, bottleneck.width)).to(book.entries)
        words = book.nearest(vectors).cpu().numpy()
        uses.append(BookUse(counts=np.bincount(words, minlength=len(book.entries))))

    return uses


@torch.inference_mode()
def evidence(model: SwapModel, pictures: Pictures, person: str, config: TrainConfig, seed: int = 0) -> Bound | None:
    """The evidence lower bound of one person's faces, from one draw of each code; None for a latent without a prior.

    The noise that is supposed on pictures is what the model's pixel loss stands for, at its likeliest scale.
    """
    if not model.bottleneck.generative:
        return None
    device = next(model.parameters()).device
    rng = torch.Generator(device).manual_seed(seed)

    rates: list[float] = []
    likelihoods: list[float] = []
    for batch in batches(model, pictures):
        noise = torch.randn(len(batch), model.bottleneck.length, generator=rng, device=device)
        encoded = model.bottleneck(model.encoder(batch * 2 - 1), noise)
        cost = encoded.penalties["kl"] if "kl" in encoded.penalties else encoded.penalties["prior"]
        rates += [float(cost.sum())] * len(batch)
        likelihoods += [float(log_likelihood(model.decode(encoded.latent, person), batch, config))] * len(batch)

    likelihood, rate = float(np.mean(likelihoods)), float(np.mean(rates))
    return Bound(elbo=likelihood - rate, likelihood=likelihood, rate=rate)
