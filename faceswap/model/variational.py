"""The variational bottleneck: a face is not a point of the latent but a region of it.

Auto-encoding variational Bayes (Kingma & Welling, 2014). The encoder says a mean and a variance for each number; the
decoders are given a random draw from there, so that neighbouring points have to look alike; the Kullback-Leibler
divergence to a standard normal distribution keeps all regions, and so all persons', in one place, where new faces can
be drawn. Weighted more than once it is a beta-VAE (Higgins et al., 2017), whose numbers come apart in meaning.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faceswap.config import ModelConfig
from faceswap.model.blocks import Features
from faceswap.model.bottleneck import Bottleneck, Encoded, Latent

_LOG_VARIANCE = (-12.0, 4.0)  # outside of it a half-trained encoder would overflow the exponential


class Variational(Bottleneck):
    """Two heads: the mean and the logarithm of the variance of each number."""

    generative = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, config.latent_size)
        self.mean = nn.Linear(self.values, self.length)
        self.log_variance = nn.Linear(self.values, self.length)
        nn.init.zeros_(self.log_variance.weight)  # training starts from the prior's own width
        nn.init.zeros_(self.log_variance.bias)

    def forward(self, features: Features, noise: Latent) -> Encoded:
        """The reparameterization trick: a draw is mean + deviation * noise, through which gradients pass.

        `kl` is the divergence of each number in nats, averaged over the batch.
        """
        mean, log_variance = self.distribution(features)
        latent = mean + torch.exp(0.5 * log_variance) * noise
        return Encoded(latent=latent, penalties={"kl": kl_to_standard_normal(mean, log_variance).mean(dim=0)})

    def distribution(self, features: Features) -> tuple[Latent, Latent]:
        """Mean and logarithm of the variance."""
        flat = features.flatten(1)
        return self.mean(flat).float(), self.log_variance(flat).float().clamp(*_LOG_VARIANCE)

    def encode(self, features: Features) -> Latent:
        """The mean: a swap has no chance in it."""
        return self.distribution(features)[0]

    def sample(self, count: int, rng: torch.Generator) -> Latent:
        """Draws from the standard normal distribution."""
        return torch.randn(count, self.length, generator=rng, device=rng.device)


def kl_to_standard_normal(mean: Float[Tensor, "*n"], log_variance: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """KL(N(mean, variance) || N(0, 1)) in nats, in closed form: (mean^2 + variance - 1 - log variance) / 2."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
