"""Which of several faces is the one we follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

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


def smooth_landmarks(
    times: Sequence[float], landmarks: Sequence[Float[np.ndarray, "5 2"]], at: int, reach: float
) -> Float[np.ndarray, "5 2"]:
    """The landmarks of frame `at` with the detector's jitter taken out, from its neighbours on both sides.

    A parabola is fitted to each coordinate over time (Savitzky and Golay, 1964; here with weights that fall to
    zero at `reach` seconds, and for frames at any times): it follows even accelerating motion without lag.
    Neighbours from where the face has jumped, as at a cut, are left out with all that lie behind them.
    """
    own = landmarks[at]
    extent = float(np.ptp(own, axis=0).max())
    used = [at]
    for side in (range(at - 1, -1, -1), range(at + 1, len(times))):
        before = own
        for i in side:
            moved = float(np.abs(landmarks[i].mean(axis=0) - before.mean(axis=0)).max())
            if abs(times[i] - times[at]) >= reach or moved > extent / 2:
                break
            used.append(i)
            before = landmarks[i]
    if len(used) < 4:
        return own
    t = np.array([times[i] - times[at] for i in used]) / reach
    weight = (1 - np.abs(t) ** 3) ** 1.5  # the square root of the tricube weight, as least squares squares it
    basis = np.stack([np.ones_like(t), t, t * t], axis=1) * weight[:, None]
    values = np.stack([landmarks[i].ravel() for i in used]) * weight[:, None]
    solution = np.linalg.lstsq(basis, values, rcond=None)[0]
    return np.asarray(solution[0].reshape(own.shape))
