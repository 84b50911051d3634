"""Colours of wider primaries, BT.2020's and Display P3's, as those of BT.709 and sRGB, which share theirs.

The light of each colour is kept, and what lies outside is cut off at its edge, as players do it. (swscale's conversion
draws all colours inwards to make room for those outside: skin comes out twelve levels away.)
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from faceswap.types import Picture

BT2020, DISPLAY_P3 = 9, 12
"""Primaries by the numbers of H.273."""

_TO_BT709 = {
    BT2020: [[1.660491, -0.587641, -0.07285], [-0.12455, 1.1329, -0.008349], [-0.018151, -0.100579, 1.11873]],
    DISPLAY_P3: [[1.22494, -0.22494, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]],
}
"""Red, green and blue light from red, green and blue light."""
_VIDEO_GAMMA = 2.4  # of the screens that video is made for: BT.1886
_BAND = 64  # rows that are converted at once: what a processor's cache holds
_STEPS = 4096  # of the square root of light


def narrowed(image: Picture, primaries: int, is_video: bool) -> Picture:
    """A picture of wide `primaries` in those of BT.709; of others, as it is. The curve stays what it is: that of
    screens for video, or sRGB's."""
    if primaries not in _TO_BT709:
        return image

    matrix = np.array(_TO_BT709[primaries], np.float32)
    light_of, level_of = _curves(is_video)
    converted = np.empty_like(image)

    for top in range(0, image.shape[0], _BAND):
        light = cv2.transform(light_of[image[top : top + _BAND]], matrix)
        steps = cv2.sqrt(np.clip(light, 0, 1, out=light), dst=light)
        converted[top : top + _BAND] = level_of[np.rint(np.multiply(steps, _STEPS, out=steps)).astype(np.uint16)]

    return converted


@cache
def _curves(is_video: bool) -> tuple[Float[np.ndarray, 256], UInt8[np.ndarray, " steps"]]:
    """The light of each level, 0..1; and the level of each step of the square root of light."""
    level, light = np.arange(256) / 255, (np.arange(_STEPS + 1) / _STEPS) ** 2
    if is_video:
        light_of, level_of = level**_VIDEO_GAMMA, light ** (1 / _VIDEO_GAMMA)
    else:
        light_of = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
        level_of = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return light_of.astype(np.float32), np.rint(255 * level_of).astype(np.uint8)
