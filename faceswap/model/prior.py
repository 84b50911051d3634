"""A small prior over the codes of a vector-quantised latent: which word follows which.

A causal transformer (Vaswani et al., 2017) in the place of the paper's PixelCNN: our tokens have no places. It is
trained in the same steps as the autoencoder, on whose codes it looks without moving them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from jaxtyping import Float, Int64
from torch import Tensor, nn

_WIDTH, _HEADS, _LAYERS = 64, 4, 2

Codes = Int64[Tensor, "batch tokens"]


class Prior(nn.Module):
    """The probability of a face's codes, each given those before it; `tokens` are the lengths of the levels."""

    def __init__(self, codes: int, tokens: Sequence[int]) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        self.words = nn.Embedding(codes, _WIDTH)
        self.places = nn.Parameter(0.1 * torch.randn(1, sum(tokens), _WIDTH))
        self.layers = nn.ModuleList(_Layer() for _ in range(_LAYERS))
        self.head = nn.Sequential(nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, codes))

    def forward(self, codes: Codes) -> Float[Tensor, ""]:
        """What the codes of a face cost, in nats: minus the logarithm of their probability, averaged over the batch."""
        logits = self._logits(codes[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1).float(), codes.flatten()) * codes.shape[1]

    def _logits(self, known: Codes) -> Float[Tensor, "batch next codes"]:
        """For each place up to one behind the known codes, the logits of what stands there."""
        x = torch.cat([self.start.expand(len(known), -1, -1), self.words(known)], dim=1)
        x = x + self.places[:, : x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.head(x)
        return logits

    @torch.no_grad()
    def sample(self, count: int, rng: torch.Generator, temperature: float = 1.0) -> Codes:
        """`count` times the codes of a face, drawn one after the other; logits are divided by `temperature`."""
        codes = torch.zeros(count, 0, dtype=torch.long, device=rng.device)
        for _ in range(self.places.shape[1]):
            chances = (self._logits(codes)[:, -1].float() / temperature).softmax(dim=1)
            codes = torch.cat([codes, torch.multinomial(chances, 1, generator=rng)], dim=1)
        return codes


class _Layer(nn.Module):
    """Each place looks back at those before it, then thinks for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.qkv = nn.Linear(_WIDTH, 3 * _WIDTH)
        self.proj = nn.Linear(_WIDTH, _WIDTH)
        self.mlp = nn.Sequential(nn.Linear(_WIDTH, 4 * _WIDTH), nn.GELU(), nn.Linear(4 * _WIDTH, _WIDTH))

    def forward(self, x: Float[Tensor, "batch places width"]) -> Float[Tensor, "batch places width"]:
        heads = self.qkv(self.before(x)).unflatten(2, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = heads.unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.between(x))  # type: ignore[no-any-return]  # a module's result has no type
