"""How far the numbers of a code stand for one thing each: two published scores.

Both want codes of faces and, for each face, the true factors: what it does, how the light falls. What is disentangled
is a matter of the factors that were asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from sklearn.metrics import mutual_info_score

from faceswap.latent.codes import Codes
from faceswap.latent.faces import Values

Factors = Mapping[str, Values]
"""By name, the value of each face."""

_BINS = 10  # into which numbers and factors are cut for mutual information, with as many faces in each
_PENALTY = 0.02  # of the lasso, for values of standard deviation 1
_ROUNDS = 2000  # of the lasso: more change nothing that is seen


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The mutual information gap of one factor."""

    gap: float
    """0..1."""
    number: int
    """The number of the code that knows most of it."""
    information: float
    """What that number knows of it, as a share of the factor's entropy, 0..1."""


@dataclass(frozen=True, kw_only=True)
class Dci:
    """Disentanglement, completeness and informativeness, each 0..1."""

    disentanglement: float
    """1: each number of the code serves one factor at most."""
    completeness: float
    """1: each factor is served by one number only."""
    informativeness: float
    """Share of the factors' variance that the codes explain (R squared), on the faces that were learnt from."""


def mutual_information_gaps(codes: Codes, factors: Factors) -> dict[str, Gap]:
    """MIG by factor (Chen et al., 2018, "Isolating sources of disentanglement in variational autoencoders").

    (I of the number that knows the factor best - I of the second best) / entropy of the factor; the paper's score is
    the mean over factors. Numbers and factors are cut into ten bins of equally many faces; numbers that never change
    know nothing. From few faces information is overestimated, of all numbers alike: take some hundreds.
    """
    binned_codes = [binned(column) for column in codes.T]
    gaps: dict[str, Gap] = {}

    for name, values in factors.items():
        truth = binned(values)
        known = np.array([mutual_info_score(truth, column) for column in binned_codes])
        entropy = max(float(mutual_info_score(truth, truth)), 1e-9)
        best = np.sort(np.append(known, 0.0))[::-1] / entropy
        gaps[name] = Gap(gap=float(best[0] - best[1]), number=int(known.argmax()), information=float(best[0]))

    return gaps


def dci(codes: Codes, factors: Factors) -> Dci:
    """DCI (Eastwood & Williams, 2018, "A framework for the quantitative evaluation of disentangled representations").

    A lasso predicts each factor from the codes; how much a number matters to a factor is the size of its weight.
    Disentanglement is one minus the entropy of a number's importance over factors, weighted by how much the number
    matters at all; completeness the same the other way round. Every factor counts alike.
    """
    standard = standardised(codes)
    weights: list[Float[np.ndarray, " latent"]] = []
    explained: list[float] = []

    for values in factors.values():
        truth = standardised(values[:, None])[:, 0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit = Lasso(alpha=_PENALTY, max_iter=_ROUNDS).fit(standard, truth)
        weights.append(np.abs(fit.coef_))
        explained.append(float(np.clip(fit.score(standard, truth), 0, 1)))

    importance = np.stack(weights, axis=1)  # numbers x factors
    importance = importance / np.maximum(importance.sum(axis=0), 1e-12)
    of_number = importance.sum(axis=1)
    purity = 1 - _entropies(importance)
    served = importance.sum(axis=0) > 0  # a factor that no number serves is served by none alone

    return Dci(
        disentanglement=float((purity * of_number).sum() / max(of_number.sum(), 1e-12)),
        completeness=float(np.where(served, 1 - _entropies(importance.T), 0.0).mean()),
        informativeness=float(np.mean(explained)),
    )


def _entropies(weights: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
    """Of each row, taken as probabilities, by the largest that there can be: 0..1."""
    shares = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    entropies = -(shares * np.log(np.maximum(shares, 1e-12))).sum(axis=1)
    return np.asarray(entropies / np.log(max(2, weights.shape[1])))


def binned(values: Values, count: int = _BINS) -> Int[np.ndarray, " faces"]:
    """In which of `count` bins of equally many faces each lies; values that are all the same lie in one."""
    if np.ptp(values) == 0:
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)[1:-1]))
    return np.searchsorted(edges, values, side="left").astype(np.int64)


def standardised(values: Float[np.ndarray, "faces columns"]) -> Float[np.ndarray, "faces columns"]:
    """Columns of mean 0 and standard deviation 1; those that never change are 0."""
    spread = values.std(axis=0)
    scale = np.where(spread > 1e-9, spread, np.inf)
    return np.asarray((values - values.mean(axis=0)) / scale, np.float64)
