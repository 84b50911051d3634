"""Giving a swapped face the light and colour of the face that it replaces. Pictures are RGB uint8."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from faceswap.types import Picture

_GAIN = (0.6, 1.6)  # how far a channel's contrast may be changed: flat light must not turn into noise


def match_color(picture: Picture, reference: Picture, mask: UInt8[np.ndarray, "height width"]) -> Picture:
    """`picture` with the mean and spread of each Lab channel that `reference` has inside `mask`.

    Reinhard et al., "Color transfer between images" (2001), in CIE Lab and weighted by the mask. An empty mask
    leaves the picture as it is.
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
