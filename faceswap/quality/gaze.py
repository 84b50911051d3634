"""Where the eyes look, read from a picture: the iris is the darkest disc between the lids.

The face mesh of 468 points has no irises, and its lids say where to look for them. Of the two ways in which eyes turn
only the one to the sides is measured: up and down the lids go with the eye.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from jaxtyping import Float

from faceswap.faces.landmarks import LEFT_EYE, RIGHT_EYE
from faceswap.geometry import Similarity
from faceswap.types import MeshPoints, Picture

Grey = Float[np.ndarray, "height width"]
Outline = Float[np.ndarray, "_ 2"]
Curve = Float[np.ndarray, " places"]

STILL = 0.06
"""Standard deviation over time of a gaze that says nothing: shading and noise move it as much."""

_CORNERS = 0, 8  # of an eye's outline: the outer one and the inner one
_WIDTH, _HEIGHT = 65, 41  # pixels of an eye's patch
_ACROSS = 48  # between its corners
_ENDS = np.array([[(_WIDTH - 1 - _ACROSS) / 2, (_HEIGHT - 1) / 2], [(_WIDTH - 1 + _ACROSS) / 2, (_HEIGHT - 1) / 2]])
_PLACES = (np.arange(_WIDTH) - (_WIDTH - 1) / 2) / (_ACROSS / 2)

_IRIS = 0.39  # of the distance of the corners: 11.7 mm of 30 mm
_LASHES = 1  # pixels of the patch below the upper lid and above the lower one that do not count
_SEEN = 0.3  # of the disc: with less between the lids the eye is shut
_PEAK = 0.9  # of the darkest disc: the place is the mean of those that are as dark
_LEAST_EYE = 4.0  # px between the corners


def gaze(picture: Picture, points: MeshPoints) -> float:
    """How far the eyes look to the viewer's right: the place of the irises between the corners, -1 at the left one, 1
    at the right one. NaN if the eyes are shut, or nothing is dark between their lids."""
    curves = [_darkness(picture, points[list(eye), :2].astype(np.float64)) for eye in (LEFT_EYE, RIGHT_EYE)]
    together = np.sum(curves, axis=0)  # they turn together
    if together.max() <= 0:
        return float("nan")
    weights = np.clip(together - _PEAK * together.max(), 0, None)
    return float(weights @ _PLACES / weights.sum())


def _darkness(picture: Picture, lids: Outline) -> Curve:
    """How dark a disc of the iris's size is at each of `_PLACES` of one eye, as far as the lids let it be seen, by the
    darkest; 0 all along if they are shut."""
    corners = lids[list(_CORNERS)]
    left, right = corners[np.argsort(corners[:, 0])]
    if np.hypot(*(right - left)) < _LEAST_EYE:
        return np.zeros(_WIDTH)
    to_patch = Similarity.fit(np.stack([left, right]), _ENDS)

    # The eye alone, without its lashes, the dark of it bright.
    patch = cv2.warpAffine(picture, to_patch.matrix, (_WIDTH, _HEIGHT), flags=cv2.INTER_LINEAR)
    grey = cv2.GaussianBlur(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), (0, 0), 1).astype(np.float32)
    between = np.zeros_like(grey)
    cv2.fillPoly(between, [np.round(to_patch.apply(lids)).astype(np.int32)], 1.0)
    between = cv2.erode(between, np.ones((2 * _LASHES + 1, 1), np.uint8)).astype(np.float32, copy=False)
    dark = (grey.max() - grey) * between

    seen, darkness = (cv2.filter2D(plane, -1, _disc(), borderType=cv2.BORDER_CONSTANT) for plane in (between, dark))
    curve = np.where(seen > _SEEN, darkness / np.maximum(seen, 1e-6), 0).max(axis=0)
    return np.asarray(curve / max(float(curve.max()), 1e-6), np.float64)


@cache
def _disc() -> Grey:
    """Of the iris's size, with a sum of 1."""
    radius = _IRIS * _ACROSS / 2
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (np.hypot(x, y) <= radius).astype(np.float32)
    return np.asarray(disc / disc.sum())
