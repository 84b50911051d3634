"""The crop convention: where a face lies in an aligned crop, and how to get it there.

A crop is square. The mean face's origin, between the eyes and the nose tip, lies at `_CENTRE`, its vertical stands
upright, and `_UNIT` of the crop's side is one unit of the mean mesh, which makes the eyes' distance in a frontal
face 0.285 of the side; the hairline then comes to about 0.08 of the crop's height, the chin to 0.92, and the chin
under a wide open mouth to 0.96. All are shares of the side, so that one convention serves every crop size.

The place of a face is that of its bones: points of nose, forehead, temples and cheekbones, fitted as a rigid body in
space. So a crop neither shakes when its face speaks or blinks nor grows when it turns away.
"""

from __future__ import annotations

import math

from faceswap.faces.landmarks import rigid
from faceswap.geometry import Similarity
from faceswap.media.pictures import cut
from faceswap.types import AlignedFace, Face, MeshPoints, Picture

_CENTRE = (0.5, 0.42)
_UNIT = 0.2747


def crop_transform(points: MeshPoints, size: int) -> Similarity:
    """The similarity from the pixels of the frame, in which the mesh `points` lie, to those of a `size` px crop."""
    fit = rigid(points)
    zoom = _UNIT * size / fit.scale
    a, b = zoom * math.cos(fit.roll), -zoom * math.sin(fit.roll)
    upright = Similarity(a, b, 0.0, 0.0)
    x, y = upright.apply(fit.centre[None])[0]
    return Similarity(a, b, _CENTRE[0] * size - 0.5 - float(x), _CENTRE[1] * size - 0.5 - float(y))


def natural_side(points: MeshPoints) -> float:
    """The side of the crop in which the face with these mesh `points` is neither enlarged nor reduced."""
    return rigid(points).scale / _UNIT


def align(image: Picture, face: Face, size: int) -> AlignedFace:
    """Cut `face` out of `image`, upright, as a `size` x `size` crop."""
    to_crop = crop_transform(face.points, size)
    return AlignedFace(cut(image, to_crop, size), to_crop, face)
