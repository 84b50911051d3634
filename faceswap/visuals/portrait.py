"""What the program knows about one face, drawn upon it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int32

from faceswap.faces import landmarks
from faceswap.faces.landmarks import rigid
from faceswap.faces.masks import face_mask
from faceswap.geometry import Similarity
from faceswap.types import AlignedFace, MeshPoints, Picture
from faceswap.visuals.sheets import fit

_CLOSED = (landmarks.FACE_OVAL, landmarks.LEFT_EYE, landmarks.RIGHT_EYE, landmarks.LIPS_OUTER, landmarks.LIPS_INNER)
_TINT = (60, 90, 200)  # of what is no face
_DOT, _OUTLINE = (255, 255, 255), (120, 255, 140)
_AXES = ((255, 80, 70), (60, 200, 60), (80, 150, 255))  # to the viewer's right, down, out of the face
_LENGTHS = (0.2, 0.2, 0.4)  # of the crop's side
_PAPER, _INK = (250, 250, 248), (40, 40, 44)
_LINE = 18
_BITS = 3  # of the fractions in OpenCV's coordinates


def portrait(face: AlignedFace, lines: Sequence[str], side: int = 384) -> Picture:
    """The crop beside itself with its mesh, outlines, mask (what is no face is tinted) and axes; `lines` stand below.

    The axes are the head's own: red to the viewer's right, green down, blue where the face looks.
    """
    plain = np.ascontiguousarray(fit(face.image, side))
    to_side = face.to_crop.then(Similarity.resize(side / face.image.shape[0]))
    return np.vstack([np.hstack([plain, _known(plain, face.face.points_after(to_side))]), _text(lines, 2 * side)])


def _known(plain: Picture, points: MeshPoints) -> Picture:
    """The picture with all that is known drawn upon it."""
    side = plain.shape[0]

    # What is pasted, and what lies beside it.
    mask = face_mask(points, side)[..., None] / 255
    tinted = plain * (0.45 + 0.55 * mask) + np.array(_TINT) * 0.55 * (1 - mask)
    picture = np.ascontiguousarray(tinted.round().astype(np.uint8))

    # Points and outlines.
    corners = _fixed(points[:, :2])
    for x, y in corners.tolist():
        cv2.circle(picture, (x, y), 1 << _BITS, _DOT, -1, cv2.LINE_AA, _BITS)
    for loop in _CLOSED:
        cv2.polylines(picture, [corners[list(loop)]], True, _OUTLINE, 1, cv2.LINE_AA, _BITS)

    # The axes of the head.
    head = rigid(points)
    start = _fixed(head.centre[None])[0].tolist()
    for colour, length, axis in zip(
        _AXES, _LENGTHS, (head.turn[:2, 0], head.turn[:2, 1], -head.turn[:2, 2]), strict=True
    ):
        end = _fixed((head.centre + length * side * axis)[None])[0].tolist()
        cv2.line(picture, start, end, colour, 3, cv2.LINE_AA, _BITS)

    return picture


def _fixed(points: Float[np.ndarray, "n 2"]) -> Int32[np.ndarray, "n 2"]:
    """Points as OpenCV's integers with `_BITS` bits for the fraction; those far away are brought near."""
    return np.asarray(np.round(np.clip(points, -4e3, 4e3) * 2**_BITS), np.int32)


def _text(lines: Sequence[str], width: int) -> Picture:
    band = np.full((_LINE * len(lines) + 8, width, 3), _PAPER, np.uint8)
    for row, line in enumerate(lines, 1):
        cv2.putText(band, line, (6, _LINE * row), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return band
