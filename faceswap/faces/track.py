"""Which of several faces is the one we follow."""

from __future__ import annotations

from collections.abc import Sequence

from faceswap.types import Box, Face

_SAME = 0.2  # overlap of boxes in neighbouring frames that makes two faces one and the same
_PATIENCE = 50  # frames to wait for the main person before somebody else may take the part


class MainFace:
    """Picks the main person's face frame after frame: the largest at first, then the one where he was before.

    While he is out of sight, a face much smaller than his (an inset picture, a passer-by) does not take his
    place; after `_PATIENCE` frames without him the largest face does.
    """

    def __init__(self, last: Face | None = None) -> None:
        self._last = last
        self._missed = 0

    def choose(self, faces: Sequence[Face]) -> int | None:
        """The index in `faces` of the main person's face; None if he is not among them."""
        chosen = self._find(faces)
        if chosen is None:
            self._missed += 1
        else:
            self._missed = 0
            self._last = faces[chosen]
        return chosen

    def _find(self, faces: Sequence[Face]) -> int | None:
        if not faces:
            return None
        largest = max(range(len(faces)), key=lambda i: faces[i].area)
        if self._last is None or self._missed > _PATIENCE:
            return largest
        overlaps = [overlap(face.box, self._last.box) for face in faces]
        nearest = max(range(len(faces)), key=overlaps.__getitem__)
        if overlaps[nearest] > _SAME:
            return nearest
        return largest if faces[largest].area > self._last.area / 3 else None


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
