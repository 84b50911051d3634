"""Small functions over arrays of float32 that the drawing is made of: edges, bumps, ridges, noise, blending."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Map = npt.NDArray[Any]
"""An array of float32: a field over a picture or over the head's surface."""
Colour = tuple[int, int, int]
"""Red, green, blue, 0..255."""


def colour(rgb: Colour) -> Map:
    """The colour as three floats, 0..1."""
    return np.array(rgb, np.float32) / 255


def smoothstep(start: float, stop: float, x: Map | float) -> Map:
    """0 before `start`, 1 after `stop`, smooth between them; falls instead of rising where start > stop."""
    t = np.clip((np.asarray(x, np.float32) - start) / (stop - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def bump(x: Map, y: Map, centre: tuple[float, float], size: tuple[float, float]) -> Map:
    """A Gaussian hill of height 1; `size` are the distances, across and down, at which it falls to 1/e."""
    across, down = (x - centre[0]) / size[0], (y - centre[1]) / size[1]
    return np.asarray(np.exp(-(across**2) - down**2))


def ridge(distance: Map, width: Map | float) -> Map:
    """A soft line of height 1 where distance is 0."""
    return np.asarray(np.exp(-((distance / width) ** 2)))


def noise(rng: np.random.Generator, size: int, cells: int) -> Map:
    """Smooth noise, size x size, deviation about 1; the same generator gives the same pattern at every size."""
    grid = rng.standard_normal((cells, cells)).astype(np.float32)
    # A noise finer than the map is averaged down, so that no texel is skipped.
    way = cv2.INTER_CUBIC if cells <= size else cv2.INTER_AREA
    field = cv2.resize(grid, (size, size), interpolation=way)
    return np.asarray(field / field.std())


def tinted(paint: Map, tone: Map) -> Map:
    """One colour (3) in the brightness of each pixel: height x width x 3."""
    return np.asarray(cv2.merge([np.float32(channel) * tone for channel in paint]))


def blend(image: Map, paint: Map, mask: Map) -> None:
    """Lay `paint` (one colour, or a picture) over `image` in place, where `mask` is 1."""
    # Merged to three channels first: numpy is slow at spreading a map over a last axis of three.
    mask = mask.astype(np.float32, copy=False)
    share = cv2.merge([mask, mask, mask])
    if np.ndim(paint) == 1:
        image += tinted(paint, mask) - image * share
    else:
        image += (paint - image) * share


def blurred(field: Map, sigma: float) -> Map:
    """Gaussian blur; sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(field, (0, 0), sigma))


def rotation(yaw: float, pitch: float, roll: float) -> npt.NDArray[np.float64]:
    """The 3x3 turn from the head's frame to the camera's, from angles in degrees (see `Performance`)."""
    (cy, sy), (cp, sp), (cr, sr) = (
        (math.cos(angle), math.sin(angle)) for angle in (math.radians(yaw), math.radians(pitch), math.radians(roll))
    )
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)
