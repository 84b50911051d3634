"""Pasting a swapped face into its frame: only the pixels under its mask are touched, or even looked at."""

from __future__ import annotations

import cv2
import numpy as np

from faceswap.geometry import Similarity
from faceswap.types import Picture, Swap


def blend(image: Picture, swap: Swap) -> Picture:
    """A copy of `image` with the swapped face in its place; outside the face's box it is equal, byte for byte."""
    result = image.copy()
    box = face_box(swap, image.shape[1], image.shape[0])
    if box is None:
        return result
    left, top, right, bottom = box
    from_crop = swap.to_crop.inverse().then(Similarity(1.0, 0.0, float(-left), float(-top)))
    size = (right - left, bottom - top)
    # Cubic: a crop is mostly enlarged here, and linear interpolation would show its pixel grid.
    face = cv2.warpAffine(
        swap.image, from_crop.matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.float32)
    mask = cv2.warpAffine(swap.mask, from_crop.matrix, size, flags=cv2.INTER_LINEAR, borderValue=0)
    alpha = mask[..., None].astype(np.float32) / 255
    under = image[top:bottom, left:right]
    result[top:bottom, left:right] = (under + alpha * (face - under) + 0.5).astype(np.uint8)
    return result


def face_box(swap: Swap, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom (exclusive) of what the mask covers in a `width` x `height` frame; None if nothing."""
    x, y, w, h = cv2.boundingRect(swap.mask)
    if w == 0 or h == 0:
        return None
    # One crop pixel more on each side: interpolation reaches that far.
    corners = np.array([[x - 1, y - 1], [x + w, y - 1], [x + w, y + h], [x - 1, y + h]], np.float64)
    at = swap.to_crop.inverse().apply(corners)
    left, top = np.maximum(np.floor(at.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(at.max(axis=0)) + 1, (width, height)).astype(int)
    if left >= right or top >= bottom:
        return None
    return int(left), int(top), int(right), int(bottom)
