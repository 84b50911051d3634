"""Is this face good enough to learn from? Measures of one aligned face, and the reasons to leave it out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from faceswap.faces.masks import face_mask
from faceswap.types import AlignedFace

_WORKING_SIDE = 128
"""Measures are taken at one size, so that they mean the same for every crop size."""


@dataclass(frozen=True)
class QualityLimits:
    """The least that a face must have to be kept."""

    size: float = 40.0
    """Longer side of the face's box, in pixels of the source."""
    sharpness: float = 0.025
    """See `sharpness`."""
    visible: float = 0.90
    """Share of the face that lies inside the picture, 0..1."""


def sharpness(face: AlignedFace) -> float:
    """Energy of the Laplacian over the face relative to its contrast: about 0.1-0.5 in focus, 0.03 when
    a 350 px face is blurred by a Gaussian of 4 px.

    The variance of the Laplacian (Pech-Pacheco et al., 2000), divided by the variance of the picture so that
    dim and flat light do not count as blur, both inside the face mask of a 128 px grey crop.
    """
    size = face.image.shape[0]
    grey = cv2.cvtColor(face.image, cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (_WORKING_SIDE, _WORKING_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    points = face.to_crop.apply(face.face.landmarks) * (_WORKING_SIDE / size)
    inside = face_mask(points, _WORKING_SIDE) > 127
    if inside.sum() < 64:
        return 0.0
    edges = cv2.Laplacian(grey, cv2.CV_32F)[inside]
    return float(edges.var() / (grey[inside].var() + 1.0))


def visible_share(face: AlignedFace, width: int, height: int) -> float:
    """The share (0..1) of the face's mask that lies inside its `width` x `height` picture."""
    scale = face.image.shape[0] / _WORKING_SIDE
    mask = face_mask(face.to_crop.apply(face.face.landmarks) / scale, _WORKING_SIDE)
    ys, xs = np.nonzero(mask[::2, ::2] > 127)
    if len(xs) == 0:
        return 0.0
    at = face.to_crop.inverse().apply(np.stack([xs, ys], axis=1) * 2 * scale)
    inside = (at[:, 0] >= -0.5) & (at[:, 0] < width - 0.5) & (at[:, 1] >= -0.5) & (at[:, 1] < height - 0.5)
    return float(inside.mean())


def reason_to_reject(face: AlignedFace, width: int, height: int, limits: QualityLimits) -> str | None:
    """Why this face of a `width` x `height` picture should not be learnt from; None if it is good."""
    if face.face.size < limits.size:
        return "too small"
    if visible_share(face, width, height) < limits.visible:
        return "cut off by the picture's edge"
    if sharpness(face) < limits.sharpness:
        return "blurred"
    return None
