"""The vector-quantised bottleneck: what a face does, in words of a learnt vocabulary.

Neural discrete representation learning (van den Oord et al., 2017). The latent is cut into tokens, and each is replaced
by the nearest entry of a codebook. With two levels (Razavi et al., 2019, "VQ-VAE-2") a few coarse tokens come first,
and many fine ones, which know the coarse ones, add what those left out. In pictures at large tokens have places; here
they have none, for the reason given in `faceswap.model.bottleneck`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from jaxtyping import Float, Int64
from torch import Tensor, nn

from faceswap.config import ModelConfig
from faceswap.model.blocks import Features
from faceswap.model.bottleneck import Bottleneck, CodeAssignment, Encoded, Latent
from faceswap.model.prior import Prior

_MEMORY = 0.99  # of the codebook's moving averages
_DEAD = 0.05  # of the usage that an entry would have if all were used alike


class Codebook(nn.Module):
    """Vectors that learn to lie where the encoder's outputs lie, by moving averages (appendix A.1 of the paper)."""

    entries: Float[Tensor, "codes width"]
    usage: Float[Tensor, " codes"]
    """How often a step uses each entry."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("entries", torch.randn(codes, width))
        self.register_buffer("usage", torch.zeros(codes))  # all dead: the first batch brings them to life

    def nearest(self, vectors: Float[Tensor, "n width"]) -> Int64[Tensor, " n"]:
        """The number of the entry closest to each vector."""
        return torch.cdist(vectors[None], self.entries[None])[0].argmin(dim=1)

    def look_up(self, codes: Int64[Tensor, "*n"]) -> Float[Tensor, "*n width"]:
        """Entries by number."""
        return F.embedding(codes, self.entries)

    def perplexity(self) -> Float[Tensor, ""]:
        """How many entries are in use: the exponential of the entropy of their usage."""
        share = self.usage / self.usage.sum().clamp_min(1e-9)
        return torch.exp(-(share * share.clamp_min(1e-12).log()).sum())

    @torch.no_grad()
    def learn(self, assigned: CodeAssignment, rng: torch.Generator) -> None:
        """Move each entry towards the mean of what it was given, and dead ones onto vectors of this batch.

        Vectors that are no numbers teach nothing.
        """
        vectors = assigned.vectors.detach().float()

        # What the batch gave each entry.
        sums, counts = torch.zeros_like(self.entries), torch.zeros_like(self.usage)
        sums.index_add_(0, assigned.codes, vectors)
        counts.index_add_(0, assigned.codes, torch.ones_like(vectors[:, 0]))

        # Moving averages of sums and counts.
        kept = _MEMORY * self.usage
        usage = kept + (1 - _MEMORY) * counts
        moved = (self.entries * kept[:, None] + (1 - _MEMORY) * sums) / usage.clamp_min(1e-9)[:, None]
        entries = torch.where(usage[:, None] > 0, moved, self.entries)

        # Entries that hardly anything comes to begin anew at a vector of the batch.
        even = counts.sum() / len(counts)
        chosen = torch.randint(len(vectors), (len(counts),), generator=rng, device=rng.device)
        dead = usage < _DEAD * even
        entries = torch.where(dead[:, None], vectors[chosen], entries)
        usage = torch.where(dead, 2 * _DEAD * even, usage)  # little, but enough to be given a chance

        # A batch that was not finite teaches nothing.
        finite = torch.isfinite(entries).all()
        self.entries.copy_(torch.where(finite, entries, self.entries))
        self.usage.copy_(torch.where(finite, usage, self.usage))


class Quantised(Bottleneck):
    """One level of tokens, or a coarse and a fine one."""

    generative = True

    def __init__(self, config: ModelConfig, levels: int) -> None:
        width = config.latent_size // config.tokens
        tokens = [config.tokens] if levels == 1 else [config.tokens // 2, 2 * config.tokens]
        super().__init__(config, sum(tokens) * width)
        self.width, self.tokens = width, tokens
        known = [self.values + width * sum(tokens[:level]) for level in range(levels)]
        self.shrink = nn.ModuleList(nn.Linear(n, count * width) for n, count in zip(known, tokens, strict=True))
        self.codebooks = nn.ModuleList(Codebook(config.codes, width) for _ in tokens)
        self.prior = Prior(config.codes, tokens)

    @property
    def books(self) -> list[Codebook]:
        """The codebooks, coarse first."""
        return cast("list[Codebook]", list(self.codebooks))

    def forward(self, features: Features, noise: Latent) -> Encoded:  # noqa: ARG002  # nothing is left to chance
        """Gradients go straight through from the entries to what they replace; the encoder pays for the distance.

        `commitment` is the mean squared distance, `prior` what the codes of a face cost in nats under the prior.
        """
        latent, assigned = self._quantise(features)
        distances = [F.mse_loss(a.vectors, book.look_up(a.codes)) for a, book in zip(assigned, self.books, strict=True)]
        codes = torch.cat([a.codes.reshape(len(latent), -1) for a in assigned], dim=1)
        penalties = {"commitment": torch.stack(distances).mean(), "prior": self.prior(codes)}
        metrics = {f"perplexity{level or ''}": book.perplexity() for level, book in enumerate(self.books)}
        return Encoded(latent=latent, penalties=penalties, metrics=metrics, assigned=assigned)

    def encode(self, features: Features) -> Latent:
        """The entries of the codebooks, side by side, coarse ones first."""
        return self._quantise(features)[0]

    def _quantise(self, features: Features) -> tuple[Latent, tuple[CodeAssignment, ...]]:
        flat, assigned = features.flatten(1), []
        levels: list[Latent] = []
        for shrink, book in zip(self.shrink, self.books, strict=True):
            said = shrink(torch.cat([flat, *levels], dim=1)).float()
            vectors = said.unflatten(1, (-1, self.width)).flatten(0, 1)
            codes = book.nearest(vectors.detach())
            meant = book.look_up(codes).reshape(said.shape)
            levels.append(straight_through(said, meant))
            assigned.append(CodeAssignment(vectors, codes))
        return torch.cat(levels, dim=1), tuple(assigned)

    def learn(self, assigned: Sequence[CodeAssignment], rng: torch.Generator) -> None:
        """Move the codebooks' entries."""
        for book, mine in zip(self.books, assigned, strict=True):
            book.learn(mine, rng)

    def sample(self, count: int, rng: torch.Generator) -> Latent:
        """Codes drawn from the prior, one after the other, coarse ones first."""
        levels = torch.split(self.prior.sample(count, rng), self.tokens, dim=1)
        entries = [book.look_up(codes).flatten(1) for book, codes in zip(self.books, levels, strict=True)]
        return torch.cat(entries, dim=1)


def straight_through(said: Latent, meant: Latent) -> Latent:
    """`meant`, with the gradient of `said`: what a decoder wants of the one, the encoder is told of the other."""
    return said + (meant - said).detach()
