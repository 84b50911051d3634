"""Where the eyes look, over the frames of a film."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from faceswap.faces.irises import EYES, IrisFinder
from faceswap.types import MeshPoints, Picture

STILL = 0.015
"""Standard deviation over time of a gaze that says nothing: the network's own noise moves it by a third of that."""


def gazes(finder: IrisFinder, faces: Sequence[tuple[Picture, MeshPoints]]) -> Float[np.ndarray, " faces"]:
    """How far the eyes of each face look to the viewer's right: see `Eye.gaze`; the mean of both, which turn together.
    NaN if they are shut. Up and down is not measured: there the lids go with the eye."""
    eyes = finder.locate([(picture, points, outline) for picture, points in faces for outline in EYES])
    pairs = list(zip(eyes[::2], eyes[1::2], strict=True))
    seen = [np.nan if left.shut and right.shut else (left.gaze + right.gaze) / 2 for left, right in pairs]
    return np.array(seen, np.float64)
