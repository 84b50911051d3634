"""Giving a swapped face the light and colour of the face that it replaces. Pictures are RGB uint8."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from faceswap.types import Picture

# How far a channel's contrast may be changed. Within a face, spread is mostly features: a clean-shaven face must not
# be given the contrast of a black beard.
_GAIN = (0.85, 1.15)


def match_color(picture: Picture, reference: Picture, mask: UInt8[np.ndarray, "height width"]) -> Picture:
    """`picture` with the mean of each Lab channel that `reference` has inside `mask`, and its spread brought nearer.

    Reinhard et al., "Color transfer between images" (2001), in CIE Lab, weighted by the mask, with the change of
    spread kept within 15 %. An empty mask leaves the picture as it is.
    """
    weight = mask.astype(np.float32) / 255
    total = float(weight.sum())
    if total < 1:
        return picture
    ours, theirs = _to_lab(picture), _to_lab(reference)
    for channel in range(3):
        mean, spread = _moments(ours[..., channel], weight, total)
        wanted_mean, wanted_spread = _moments(theirs[..., channel], weight, total)
        gain = float(np.clip(wanted_spread / max(spread, 1e-3), *_GAIN))
        ours[..., channel] = (ours[..., channel] - mean) * gain + wanted_mean
    matched = cv2.cvtColor(ours, cv2.COLOR_Lab2RGB)
    result: Picture = np.clip(matched * 255 + 0.5, 0, 255).astype(np.uint8)
    return result


def _to_lab(picture: Picture) -> Float[np.ndarray, "height width 3"]:
    return np.array(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)


def _moments(values: np.ndarray, weight: np.ndarray, total: float) -> tuple[float, float]:
    mean = float((values * weight).sum()) / total
    return mean, float(np.sqrt((weight * (values - mean) ** 2).sum() / total))
