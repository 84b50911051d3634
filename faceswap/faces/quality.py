"""What one aligned face is like, and whether it is good enough to learn from."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Integer

from faceswap.faces.landmarks import eye_opening, mouth_opening, pose
from faceswap.faces.masks import Mask, face_pixels
from faceswap.types import AlignedFace

_WORKING_SIDE = 128
"""Pictures are measured at one size, so that the measures mean the same for every crop size."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What a face is like, in numbers that faces can be sorted and chosen by."""

    size: float
    """From the forehead to the chin, in pixels of the source."""
    sharpness: float
    """Energy of the Laplacian over the face relative to its contrast: 0.1 to 0.5 in focus, 0.03 when a 350 px face
    is blurred by a Gaussian of 4 px.

    The variance of the Laplacian (Pech-Pacheco et al., 2000), divided by the variance of the picture so that dim and
    flat light do not count as blur, both inside the face mask of a 128 px grey crop."""
    brightness: float
    """Mean grey level of the face, 0..255."""
    yaw: float
    pitch: float
    roll: float
    """Degrees, as in `landmarks.Pose`."""
    eyes: float
    """How open the eyes are on average, see `landmarks.eye_opening`."""
    mouth: float
    """How open the mouth is, see `landmarks.mouth_opening`."""


def measure(face: AlignedFace) -> Measures:
    """The measures of one face."""
    points = face.face.points
    looks = pose(points)

    # How sharp and bright the face is.
    size = face.image.shape[0]
    small = cv2.resize(face.image, (_WORKING_SIDE, _WORKING_SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    inside = face_pixels(face.crop_points * (_WORKING_SIDE / size), _WORKING_SIDE)
    if cv2.countNonZero(inside) < 64:  # too small to be measured
        sharpness = brightness = 0.0
    else:
        (brightness, contrast), (_, edges) = (_moments(v, inside) for v in (grey, cv2.Laplacian(grey, cv2.CV_16S)))
        sharpness = edges**2 / (contrast**2 + 1.0)

    eyes = sum(eye_opening(points)) / 2

    return Measures(
        size=face.face.size,
        sharpness=sharpness,
        brightness=brightness,
        yaw=looks.yaw,
        pitch=looks.pitch,
        roll=looks.roll,
        eyes=eyes,
        mouth=mouth_opening(points),
    )


def _moments(values: Integer[np.ndarray, "h w"], inside: Mask) -> tuple[float, float]:
    """Mean and standard deviation of the values where `inside` is not 0."""
    mean, deviation = cv2.meanStdDev(values, mask=inside)
    return float(mean[0, 0]), float(deviation[0, 0])


@dataclass(frozen=True)
class QualityLimits:
    """The least that a face must have to be kept."""

    size: float = 40.0
    """See `Measures.size`."""
    sharpness: float = 0.025
    """See `Measures.sharpness`."""
    visible: float = 0.90
    """Share of the face that lies inside the picture, 0..1."""


def visible_share(face: AlignedFace, width: int, height: int) -> float:
    """The share (0..1) of the face's points that lie inside its `width` x `height` picture."""
    x, y = face.face.points[:, 0], face.face.points[:, 1]
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)
    return float(inside.mean())


def reason_to_reject(
    face: AlignedFace, measures: Measures, width: int, height: int, limits: QualityLimits
) -> str | None:
    """Why this face of a `width` x `height` picture should not be learnt from; None if it is good."""
    if measures.size < limits.size:
        return "too small"
    if visible_share(face, width, height) < limits.visible:
        return "cut off by the picture's edge"
    if measures.sharpness < limits.sharpness:
        return "blurred"
    return None
