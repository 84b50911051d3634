"""What the eyes do, over the frames of a film: where they look, and how far they are open.

The face mesh has no irises, and where a face is small its lids go with the rest of the face. A network that sees
nothing but eyes knows better (`faces.irises`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from faceswap.faces.irises import EYES, IrisFinder
from faceswap.types import MeshPoints, Picture

STILL = 0.015
"""Standard deviation over time of a gaze that says nothing: the network's own noise moves it by a third of that."""

Series = Float[np.ndarray, " faces"]


@dataclass(frozen=True)
class EyesOverTime:
    """Of each face the mean of both eyes, which move together."""

    gazes: Series
    """How far they look to the viewer's right: see `Eye.gaze`. NaN if they are shut. Up and down is not measured: there
    the lids go with the eye."""
    openings: Series
    """See `Eye.opening`."""


def watch_eyes(finder: IrisFinder, faces: Sequence[tuple[Picture, MeshPoints]]) -> EyesOverTime:
    """What the eyes of each face do."""
    eyes = finder.locate([(picture, points, outline) for picture, points in faces for outline in EYES])
    pairs = list(zip(eyes[::2], eyes[1::2], strict=True))
    gazes = [np.nan if left.shut and right.shut else (left.gaze + right.gaze) / 2 for left, right in pairs]
    openings = [(left.opening + right.opening) / 2 for left, right in pairs]
    return EyesOverTime(np.array(gazes, np.float64), np.array(openings, np.float64))
