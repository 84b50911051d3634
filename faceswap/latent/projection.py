"""Codes in fewer numbers: principal components for all that is linear, t-SNE and UMAP for who lies next to whom."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from faceswap.errors import ConfigError
from faceswap.latent.codes import Code, Codes

Map = Float[np.ndarray, "faces 2"]

_KEPT = 50  # principal components that t-SNE looks at, as its authors advise
_PERPLEXITY = 30.0  # about how many neighbours t-SNE keeps together
_NEIGHBOURS = 15  # and UMAP
_FEWEST_FOR_UMAP = 20


@dataclass(frozen=True, kw_only=True)
class Principal:
    """The directions in which codes vary most, the strongest first."""

    mean: Code
    directions: Float[np.ndarray, "count latent"]
    """Of length 1, at right angles to each other."""
    deviations: Float[np.ndarray, " count"]
    """Standard deviation of the codes along each."""
    explained: Float[np.ndarray, " count"]
    """Its share of all variance, 0..1."""

    def coordinates(self, codes: Codes) -> Float[np.ndarray, "faces count"]:
        """Where codes lie along the directions, from the mean."""
        return np.asarray((codes - self.mean) @ self.directions.T)


def principal_components(codes: Codes, count: int) -> Principal:
    """Principal component analysis (Pearson, 1901) of at least two codes; fewer directions if there are no more."""
    fit = PCA(min(count, *codes.shape), svd_solver="full").fit(codes)
    return Principal(
        mean=fit.mean_,
        directions=fit.components_,
        deviations=np.sqrt(fit.explained_variance_),
        explained=np.nan_to_num(fit.explained_variance_ratio_),  # of codes that are all the same: none
    )


def principal_map(codes: Codes) -> Map:
    """Places on the plane of the two strongest directions: distances along it are those of the codes."""
    return _plane(principal_components(codes, 2).coordinates(codes))


def neighbour_map(codes: Codes, seed: int = 0) -> Map:
    """t-SNE (van der Maaten & Hinton, 2008): neighbours stay neighbours.

    Distances between groups, and how large a group looks, mean nothing. Faces too few for it are laid out by
    `principal_map`.
    """
    if len(codes) < 5:
        return principal_map(codes)

    start = principal_components(codes, _KEPT)
    perplexity = min(_PERPLEXITY, (len(codes) - 1) / 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where all codes are the same
        places = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(start.coordinates(codes))

    return np.asarray(places, np.float64)


def manifold_map(codes: Codes, seed: int = 0) -> Map:
    """UMAP (McInnes, Healy & Melville, 2018): neighbours stay neighbours, and groups that are alike lie nearer than
    with t-SNE.

    Faces too few for it are laid out by `principal_map`. Raises ConfigError if the package is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what compiling it says is of no use to anybody here
            from umap import UMAP
    except ImportError as error:
        raise ConfigError(
            "UMAP is not installed", "Install it with: uv sync --extra umap; or choose another layout"
        ) from error

    if len(codes) < _FEWEST_FOR_UMAP:
        return principal_map(codes)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = UMAP(n_neighbors=_NEIGHBOURS, random_state=seed, n_jobs=1)
        places = fit.fit_transform(principal_components(codes, _KEPT).coordinates(codes))
    return np.asarray(places, np.float64)


def _plane(coordinates: Float[np.ndarray, "faces count"]) -> Map:
    """Two coordinates, the second 0 where there is only one."""
    missing = 2 - coordinates.shape[1]
    return np.pad(coordinates, ((0, 0), (0, missing))).astype(np.float64)
