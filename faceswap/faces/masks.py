"""Which pixels of an aligned crop are face, and which of those a viewer looks at.

Masks are drawn from the mesh in crop pixels: uint8, 0 (not that) to 255 (that), with soft edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from faceswap.faces.landmarks import (
    FACE_OVAL,
    LEFT_BROW,
    LEFT_EYE,
    LIPS_OUTER,
    NOSTRILS,
    RIGHT_BROW,
    RIGHT_EYE,
    rigid,
)
from faceswap.types import MeshPoints

Mask = UInt8[np.ndarray, "size size"]
Outline = Float[np.ndarray, "_ 2"]
Direction = Float[np.ndarray, "2"]

# Shares of the face's height, from the top of the forehead to the chin.
_FOREHEAD = 0.05  # the mesh ends below the hairline; a little skin is added there
_FEATHER = 0.025  # standard deviation of the soft edge
# Shares of its radius by which the outline is drawn in:
_INSET = 0.06  # all round, so that the soft edge lies on skin, not beside it
_NEAR_SIDE = 0.3  # times the sine of the yaw, on the side turned to the viewer: the mesh reaches into the hair there
_CORNERS = 72

_EYE_ROOM = 0.055  # round the lids: lashes, crease, bags
_LIP_ROOM = 0.03
_NOSTRIL_ROOM = 0.015
_BROW_ROOM = 0.035  # round an eye and its brow
_BEARD_ROOM = 0.1  # round the lips: moustache and chin
_FEATURE_FEATHER = 0.02
_EYE_FEATHER = 0.01

_FRACTION_BITS = 4  # of the corners' coordinates, for OpenCV


def face_mask(points: MeshPoints, size: int) -> Mask:
    """The face from hairline to chin and from ear to ear, in a `size` px crop in whose pixels the points lie."""
    return _soft([_outline(points)], size, _FEATHER * _upright(points)[1])


def face_pixels(points: MeshPoints, size: int) -> Mask:
    """The same without the soft edge: 0 or 255, but for the pixels that the outline crosses."""
    return _filled([_outline(points)], size)


def feature_mask(points: MeshPoints, size: int) -> Mask:
    """The eyes and the mouth with a little room round them: what a viewer looks at, and what training weighs more."""
    height = _upright(points)[1]
    room = {LEFT_EYE: _EYE_ROOM, RIGHT_EYE: _EYE_ROOM, LIPS_OUTER: _LIP_ROOM}
    grown = [_grown(points[list(loop), :2], share * height) for loop, share in room.items()]
    return _soft(grown, size, _FEATURE_FEATHER * height)


def eye_and_brow_mask(points: MeshPoints, size: int) -> Mask:
    """Each eye with its brow, in one outline."""
    height = _upright(points)[1]
    pairs = ((*LEFT_EYE, *LEFT_BROW), (*RIGHT_EYE, *RIGHT_BROW))
    grown = [_grown(points[list(pair), :2], _BROW_ROOM * height) for pair in pairs]
    return _soft(grown, size, _FEATURE_FEATHER * height)


def mouth_and_beard_mask(points: MeshPoints, size: int) -> Mask:
    """The mouth, and where a beard grows round it."""
    height = _upright(points)[1]
    grown = _grown(points[list(LIPS_OUTER), :2], _BEARD_ROOM * height)
    return _soft([grown], size, _FEATURE_FEATHER * height)


def nostril_mask(points: MeshPoints, size: int) -> Mask:
    """The lower part of the nose, with its wings."""
    height = _upright(points)[1]
    grown = _grown(points[list(NOSTRILS), :2], _NOSTRIL_ROOM * height)
    return _soft([grown], size, _FEATURE_FEATHER * height)


def eye_mask(points: MeshPoints, size: int) -> Mask:
    """The eyes between their lids."""
    loops = [points[list(loop), :2].astype(np.float64) for loop in (LEFT_EYE, RIGHT_EYE)]
    return _soft(loops, size, _EYE_FEATHER * _upright(points)[1])


def _outline(points: MeshPoints) -> Outline:
    """Round the face as it is seen: the hull of all points, since a turned head hides those of its far side."""
    up, height = _upright(points)
    across = np.array([-up[1], up[0]])
    hull = _evenly(cv2.convexHull(points[:, :2].astype(np.float32))[:, 0])
    spokes = hull - hull.mean(axis=0)

    # How far above the middle a corner lies, 1 at the top: so the forehead is raised smoothly.
    above = np.clip(spokes @ up / max(height / 2, 1e-9), 0, 1)
    facing = -float(rigid(points).turn[:2, 2] @ across)  # the sine of the yaw
    near = np.clip(-facing * (spokes @ across) / np.maximum(np.hypot(*spokes.T), 1e-9), 0, 1)

    drawn_in = hull - (_INSET + _NEAR_SIDE * near)[:, None] * spokes
    return np.asarray(drawn_in + (above**2 * _FOREHEAD * height)[:, None] * up)


def _upright(points: MeshPoints) -> tuple[Direction, float]:
    """The direction from the chin to the top of the forehead, and the distance between them in pixels."""
    axis = (points[FACE_OVAL[0], :2] - points[FACE_OVAL[len(FACE_OVAL) // 2], :2]).astype(np.float64)
    height = float(np.hypot(*axis))
    return axis / max(height, 1e-9), height


def _evenly(outline: Outline) -> Outline:
    """The same closed outline with `_CORNERS` corners at even distances."""
    closed = np.vstack([outline, outline[:1]])
    way = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.linspace(0, way[-1], _CORNERS, endpoint=False)
    return np.stack([np.interp(at, way, closed[:, axis]) for axis in (0, 1)], axis=1)


def _grown(outline: Outline, by: float) -> Outline:
    """The convex hull of circles of radius `by` about the corners: an outline with that much room round it."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    circle = by * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    around = (outline[:, None] + circle).reshape(-1, 2).astype(np.float32)
    return np.asarray(cv2.convexHull(around)[:, 0], np.float64)


def _soft(outlines: Sequence[Outline], size: int, feather: float) -> Mask:
    """Filled polygons with edges blurred by a Gaussian of standard deviation `feather` px."""
    if feather < 0.01:  # a face without extent
        return np.zeros((size, size), np.uint8)
    return cv2.GaussianBlur(_filled(outlines, size), (0, 0), feather).astype(np.uint8, copy=False)


def _filled(outlines: Sequence[Outline], size: int) -> Mask:
    mask = np.zeros((size, size), np.uint8)
    for outline in outlines:
        corners = np.round(outline * 2**_FRACTION_BITS).astype(np.int32)
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _FRACTION_BITS)
    return mask
