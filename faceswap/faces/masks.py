"""Which pixels of an aligned crop are face.

From five points the outline is an estimate: an egg whose axis runs from between the eyes through the mouth, as
long as human proportions say and moved sideways as the head turns. Masks are uint8, 0 (not face) to 255 (face).
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

Mask = UInt8[np.ndarray, "size size"]

# In units of the distance from the eyes to the mouth, measured along that axis.
_FOREHEAD = 0.82  # from the eyes up, a little under the hairline: fringes must not be pasted
_CHIN = 0.66  # from the mouth down to the tip of the chin
_HALF_WIDTH = 0.88
_TURN = 0.9  # how far the outline slides back when the nose moves sideways
_FEATHER = 0.10


def face_mask(landmarks: Float[np.ndarray, "5 2"], size: int) -> Mask:
    """The soft outline of a face whose five points lie at `landmarks` (crop pixels) in a `size` px crop."""
    eyes, nose, mouth = landmarks[:2].mean(axis=0), landmarks[2], landmarks[3:].mean(axis=0)
    axis = mouth - eyes
    length = float(np.hypot(*axis))
    if length < 1:
        return np.zeros((size, size), np.uint8)
    down = axis / length
    across = np.array([-down[1], down[0]])
    across *= np.sign(across @ (landmarks[1] - landmarks[0])) or 1.0
    centre = (eyes - _FOREHEAD * axis + mouth + _CHIN * axis) / 2
    centre = centre - across * (_TURN * float(across @ (nose - eyes)))
    half_height = length * (1 + _FOREHEAD + _CHIN) / 2

    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    x, y = np.cos(angle), np.sin(angle)
    x = np.sign(x) * np.abs(x) ** 0.85  # fuller than an ellipse at the temples and cheeks
    x = x * (1 - 0.16 * np.maximum(y, 0))  # narrower at the jaw
    outline = centre + x[:, None] * across * (_HALF_WIDTH * length) + y[:, None] * down * half_height
    mask = np.zeros((size, size), np.uint8)
    shift = 4  # fractional bits of the polygon's corners
    cv2.fillPoly(mask, [np.round(outline * 2**shift).astype(np.int32)], 255, cv2.LINE_AA, shift)
    return cv2.GaussianBlur(mask, (0, 0), _FEATHER * length).astype(np.uint8, copy=False)


def feature_mask(landmarks: Float[np.ndarray, "5 2"], size: int) -> Mask:
    """Soft spots over the eyes and the mouth: what a viewer looks at, and what training weighs more."""
    length = float(np.hypot(*(landmarks[3:].mean(axis=0) - landmarks[:2].mean(axis=0))))
    if length < 1:
        return np.zeros((size, size), np.uint8)
    mask = np.zeros((size, size), np.uint8)
    shift = 4
    angle = float(np.degrees(np.arctan2(*(landmarks[1] - landmarks[0])[::-1])))
    spots = [(landmarks[0], 0.32, 0.20), (landmarks[1], 0.32, 0.20), (landmarks[3:].mean(axis=0), 0.52, 0.34)]
    for centre, half_width, half_height in spots:
        axes = (round(half_width * length * 2**shift), round(half_height * length * 2**shift))
        at = (round(float(centre[0]) * 2**shift), round(float(centre[1]) * 2**shift))
        cv2.ellipse(mask, at, axes, angle, 0, 360, 255, -1, cv2.LINE_AA, shift)
    return cv2.GaussianBlur(mask, (0, 0), 0.08 * length).astype(np.uint8, copy=False)
