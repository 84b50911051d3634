"""A normal distribution laid over the codes of some faces: a prior for latents that have none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.covariance import LedoitWolf

from faceswap.latent.codes import Code, Codes


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """N(mean, root root^T)."""

    mean: Code
    root: Float[np.ndarray, "latent latent"]

    def sample(self, count: int, *, seed: int = 0, temperature: float = 1.0) -> Codes:
        """Draws, float32; deviations from the mean are multiplied by `temperature`."""
        noise = np.random.default_rng(seed).standard_normal((count, len(self.mean)))
        return np.asarray(self.mean + temperature * noise @ self.root.T, np.float32)


def fit_gaussian(codes: Codes) -> Gaussian:
    """The distribution of these codes, at least two, if it were a normal one.

    There are often fewer faces than numbers: the covariance is drawn towards a round one by as much as the faces leave
    open (Ledoit & Wolf, 2004).
    """
    fit = LedoitWolf().fit(codes.astype(np.float64))
    values, vectors = np.linalg.eigh(fit.covariance_)
    return Gaussian(mean=fit.location_, root=vectors * np.sqrt(np.maximum(values, 0)))
