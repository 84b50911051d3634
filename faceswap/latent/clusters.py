"""Groups of codes, found without being told what the faces show; and how well they match what is known of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans, SpectralClustering
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture

from faceswap.latent.codes import Codes
from faceswap.latent.projection import principal_components

Labels = Int[np.ndarray, " faces"]
"""The group of each face, 1 the largest."""
Coordinates = Float[np.ndarray, "faces count"]

_KEPT = 32  # principal components that are clustered: in hundreds of numbers all distances are alike
_NEIGHBOURS = 10  # of a face in the graph that spectral clustering cuts


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well groups match classes that are known."""

    ari: float
    """Adjusted Rand index (Hubert & Arabie, 1985): 1 the same, 0 as by chance."""
    nmi: float
    """Normalised mutual information, 0..1."""


def _k_means(places: Coordinates, count: int, seed: int) -> Labels:
    """Each face belongs to the nearest of `count` centres (Lloyd, 1982)."""
    return np.asarray(KMeans(count, n_init=10, random_state=seed).fit_predict(places))


def _mixture(places: Coordinates, count: int, seed: int) -> Labels:
    """Each face belongs to the likeliest of `count` normal distributions, which may be long in some directions."""
    mixture = GaussianMixture(count, covariance_type="diag", reg_covar=1e-3, n_init=3, random_state=seed)
    return np.asarray(mixture.fit_predict(places / max(float(places.std()), 1e-9)))


def _spectral(places: Coordinates, count: int, seed: int) -> Labels:
    """The graph of each face's nearest neighbours is cut where it is thin (von Luxburg, 2007)."""
    neighbours = min(_NEIGHBOURS, len(places) - 1)
    cut = SpectralClustering(count, affinity="nearest_neighbors", n_neighbors=neighbours, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Graph is not fully connected")  # then it falls apart by itself
        return np.asarray(cut.fit_predict(places))


METHODS: dict[str, Callable[[Coordinates, int, int], Labels]] = {
    "kmeans": _k_means,
    "mixture": _mixture,
    "spectral": _spectral,
}
"""By name, how faces are put into groups."""


def clustered(codes: Codes, count: int, method: str, seed: int = 0) -> Labels:
    """Put codes into at most `count` groups, by one of METHODS."""
    principal = principal_components(codes, _KEPT)
    found = METHODS[method](principal.coordinates(codes).astype(np.float64), count, seed)

    # Numbered by size, the largest first.
    names, sizes = np.unique(found, return_counts=True)
    order = names[np.argsort(-sizes, kind="stable")]
    return np.asarray(np.argsort(order)[np.searchsorted(names, found)] + 1, np.int64)


def agreement(labels: Labels, classes: Int[np.ndarray, " faces"]) -> Agreement:
    """How well groups match classes; the numbers of either mean nothing."""
    return Agreement(
        ari=float(adjusted_rand_score(classes, labels)), nmi=float(normalized_mutual_info_score(classes, labels))
    )
