"""Walks: one number of a code is changed, all others stay, and the decoder shows what that number means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from faceswap.latent.codes import Code, Codes, Shares, decode
from faceswap.latent.faces import Values
from faceswap.latent.projection import principal_components
from faceswap.model.swap_model import SwapModel


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Where walks lead: single numbers of the latent, or mixtures of them."""

    names: tuple[str, ...]
    steps: Float[np.ndarray, "directions latent"]
    """What is added to a code to go one standard deviation of the faces' codes along each."""


def number_directions(codes: Codes) -> Directions:
    """Each number of the latent by itself."""
    return Directions(
        names=tuple(f"number {place}" for place in range(codes.shape[1])), steps=np.diag(codes.std(axis=0))
    )


def principal_directions(codes: Codes, count: int) -> Directions:
    """The directions in which the codes vary most, the strongest first."""
    principal = principal_components(codes, count)
    return Directions(
        names=tuple(f"component {place}" for place in range(1, len(principal.directions) + 1)),
        steps=principal.directions * principal.deviations[:, None],
    )


def most_ordinary(codes: Codes) -> int:
    """The place of the code nearest to the mean of all: where walks begin."""
    return int(np.linalg.norm(codes - codes.mean(axis=0), axis=1).argmin())


def walk(start: Code, step: Code, reaches: Shares) -> Codes:
    """The codes on a straight line through `start`; `reaches` are in steps, 0 is the start itself."""
    return np.asarray(start + reaches[:, None] * step)


def picture_changes(
    model: SwapModel, person: str, start: Code, directions: Directions, reach: float
) -> Float[np.ndarray, " directions"]:
    """How different the two ends of each walk look, from `reach` steps before `start` to as many behind it.

    Root mean square over the pictures that the decoder draws before the detail stage, 0..255.
    """
    before, behind = (
        decode(model, start + side * reach * directions.steps, person, detail=False).astype(np.float32)
        for side in (-1, 1)
    )
    return np.asarray(np.sqrt(np.square(behind - before).mean(axis=(1, 2, 3))))


def spreads_of(factors: Mapping[str, Values]) -> dict[str, float]:
    """The standard deviation of each measure."""
    return {name: float(values.std()) for name, values in factors.items()}
