"""One face, looked for from frame to frame by its mesh alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from faceswap.faces.landmarks import INPUT_SIZE, FaceMesh, distortion, input_square
from faceswap.geometry import Similarity
from faceswap.types import Box, Face, Frame

_LEAST_PRESENCE = 0.5  # of the mesh network's score that what it looks at is a face
_DISTORTED = 0.1  # see `landmarks.distortion`: more is no single face
SAME = 0.3
"""Overlap of boxes that makes two views of a face, or neighbouring frames of it, one."""
_GROWTH = 1.5  # a face does not grow or shrink more than this from one frame to the next
_AHEAD = 6  # frames in which a face is looked for at once, as if it held still: in a batch that takes half the time
_MOVED = 0.12  # share of the square where it is looked for by which it may be off there, or it is looked at again
_LOOSE = 0.04  # share of the square by which a face may be off before the square follows it all the way

_CORNERS = np.array([[0.0, 0.0], [INPUT_SIZE, 0.0], [INPUT_SIZE, INPUT_SIZE], [0.0, INPUT_SIZE]])


def followed(
    mesh: FaceMesh, face: Face, square: Similarity, frames: Sequence[Frame]
) -> Iterator[tuple[Face, Similarity]]:
    """`face` in each of `frames`, its neighbours forwards or backwards in time, up to where it is not any more;
    with the square in which to look for it next."""
    at, reach = 0, _AHEAD

    while at < len(frames):
        coming = frames[at : at + reach]
        reach = min(2 * reach, _AHEAD)
        for frame, guess in zip(coming, mesh.locate_each([(f.image, square) for f in coming]), strict=True):
            new = guess
            if _off(guess, square) > _MOVED:
                if frame is not coming[0]:  # look again, from where it was in the frame before
                    square, reach = input_square(face), 1
                    break
                new = mesh.locate(frame.image, [guess])[0]
            if not _may_follow(new, face):
                return
            face = replace(new, track=face.track)
            at += 1
            yield face, square

        else:
            square = _following(square, face)


def _may_follow(new: Face, old: Face) -> bool:
    """Whether `new` can be what has become of `old` from one frame to the next."""
    grown = new.size / max(old.size, 1e-6)
    return is_face(new) and overlap(new.box, old.box) > SAME and 1 / _GROWTH < grown < _GROWTH


def is_face(face: Face) -> bool:
    """Whether the mesh network takes what it looked at for a face, and its mesh has the shape of one."""
    return face.presence >= _LEAST_PRESENCE and distortion(face.points) < _DISTORTED


def _off(face: Face, square: Similarity) -> float:
    """How far the square in which a face was seen is from the one that is centred on it, as a share of its side."""
    frame = square.inverse().apply(_CORNERS)
    return float(np.abs(input_square(face).apply(frame) - _CORNERS).max()) / INPUT_SIZE


def _following(square: Similarity, face: Face) -> Similarity:
    """The square moved towards `face`: the less the face has moved, the more calmly.

    What the network sees depends a little on where its square lies; a square that trembles with each mesh makes the
    next mesh tremble.
    """
    share = min(1.0, (_off(face, square) / _LOOSE) ** 2)
    old, new = square.inverse(), input_square(face).inverse()
    parts = ((getattr(old, n), getattr(new, n)) for n in ("a", "b", "tx", "ty"))
    return Similarity(*(a + share * (b - a) for a, b in parts)).inverse()


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    shared = _shared(a, b)
    return shared / (_area(a) + _area(b) - shared) if shared else 0.0


def inside(a: Box, b: Box) -> float:
    """Which share of the smaller of two boxes lies in the other one, 0..1."""
    shared = _shared(a, b)
    return shared / min(_area(a), _area(b)) if shared else 0.0


def _shared(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
