"""The visible label: two words in the lower right corner that tell every viewer."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from faceswap.types import Picture

TEXT = "AI modified"
_LETTERS = 0.035  # of their height, as a share of the picture's shorter side
_LEAST = 10  # pixels
_GROUND = 0.6  # opacity of the dark plate behind the letters


def labelled(image: Picture) -> Picture:
    """The picture with TEXT in its lower right corner."""
    height, width = image.shape[:2]
    letters, opacity = _plate(max(_LEAST, round(_LETTERS * min(height, width))))
    rows, columns = min(letters.shape[0], height), min(letters.shape[1], width)

    result = image.copy()
    corner = result[height - rows :, width - columns :]

    letters, opacity = letters[:rows, :columns, None], opacity[:rows, :columns, None]
    corner[:] = np.rint(corner * (1 - opacity) + 255 * letters * opacity)
    return result


@lru_cache(maxsize=4)
def _plate(size: int) -> tuple[Float[np.ndarray, "height width"], Float[np.ndarray, "height width"]]:
    """White letters of `size` pixels on a dark plate: brightness and opacity, 0..1."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(TEXT)
    margin = size // 2
    plate = Image.new("L", (round(right - left) + 2 * margin, round(bottom - top) + 2 * margin))
    ImageDraw.Draw(plate).text((margin - left, margin - top), TEXT, fill=255, font=font)
    letters = np.asarray(plate, dtype=np.float32) / 255
    return letters, np.maximum(letters, np.float32(_GROUND))
