"""Whether a swapped face does what the replaced one did: pose, expression, openings, timing, trembling.

All functions compare face meshes of the same frames, `before` (the video) and `after` (the swap). A frame without a
face has NaN for every number; such frames do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from faceswap.faces.landmarks import (
    LEFT_BROW,
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_BROW,
    RIGHT_EYE,
    STABLE,
    eye_opening,
    mean_mesh,
    mouth_opening,
    pose,
    rigid,
)
from faceswap.types import Face

Series = Float[np.ndarray, " frames"]
Known = Float[np.ndarray, " known"]
Meshes = Float[np.ndarray, "frames 468 3"]
"""In pixels of the frames, as `types.MeshPoints`."""
Shapes = Float[np.ndarray, "frames 468 3"]
"""Meshes turned upright and brought to the size of the mean face, in units of `landmarks.mean_mesh`."""
OtherShapes = Float[np.ndarray, "others 468 3"]
Turns = Float[np.ndarray, "frames 3 3"]
Channels = Float[np.ndarray, "frames channels"]
Scenes = Int[np.ndarray, " frames"]
"""Equal numbers for frames of one scene, growing with each cut."""

MOST_DELAY = 8
"""Frames to either side among which the delay is looked for: a third of a second."""
_FEWEST = 8  # frames of which a correlation means anything
_STILL = 1e-9  # variance of a face that does not move
_ALIKE = 0.01  # by which another delay has to correlate better than none: slow movements fit nearly as well shifted

_EXPRESSIVE = sorted({*LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW, *LIPS_OUTER, *LIPS_INNER})


@dataclass(frozen=True, kw_only=True)
class Gestures:
    """What one face does over time."""

    meshes: Meshes
    sizes: Series
    """See `Face.size`."""
    turns: Turns
    """Rotations of the mean face, see `landmarks.Rigid`."""
    shapes: Shapes
    mouth: Series
    """See `landmarks.mouth_opening`."""
    eyes: Series
    """The mean of both, see `landmarks.eye_opening`; or, where somebody looked closer, `Eye.opening`."""
    yaw: Series
    pitch: Series
    """Degrees, see `landmarks.Pose`."""

    @property
    def channels(self) -> Channels:
        """What moves in time with speech and gesture: mouth, eyes, yaw, pitch."""
        return np.stack([self.mouth, self.eyes, self.yaw, self.pitch], axis=1)


def gestures(faces: Sequence[Face | None]) -> Gestures:
    """What a face does; None for frames in which it is not seen."""
    count = len(faces)
    meshes, shapes = (np.full((count, 468, 3), np.nan, np.float32) for _ in range(2))
    turns = np.full((count, 3, 3), np.nan)
    sizes, mouth, eyes, yaw, pitch = (np.full(count, np.nan) for _ in range(5))

    for index, face in enumerate(faces):
        if face is None:
            continue
        points, fit, looks = face.points, rigid(face.points), pose(face.points)
        meshes[index], sizes[index] = points, face.size
        turns[index] = fit.turn
        shapes[index] = (points - points[list(STABLE)].mean(axis=0)) @ fit.turn / fit.scale
        mouth[index], eyes[index] = mouth_opening(points), np.mean(eye_opening(points))
        yaw[index], pitch[index] = looks.yaw, looks.pitch

    return Gestures(
        meshes=meshes, sizes=sizes, turns=turns, shapes=shapes, mouth=mouth, eyes=eyes, yaw=yaw, pitch=pitch
    )


def pose_errors(before: Turns, after: Turns) -> Series:
    """By how many degrees the head is turned otherwise, frame by frame: the angle of the rotation between the two.

    Huynh, "Metrics for 3D rotations: comparison and analysis" (2009), the geodesic distance.
    """
    traces = np.einsum("nij,nij->n", before, after)
    return np.asarray(np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1))))


def expression_errors(before: Shapes, after: Shapes) -> Series:
    """How far eyes, brows and lips are moved otherwise, frame by frame: root mean square over their points, by the
    distance of the eyes' outer corners.

    Each mesh is laid upon the mean face as a rigid body, and each person's mean over the clip is taken away: what is
    left is the expression alone, whoever shows it.
    """
    moved = [shapes[:, _EXPRESSIVE] - np.nanmean(shapes[:, _EXPRESSIVE], axis=0) for shapes in (before, after)]
    away = np.sqrt(((moved[1] - moved[0]) ** 2).sum(axis=2).mean(axis=1))
    return np.asarray(away / _between_the_eyes())


def _between_the_eyes() -> float:
    """Of the mean face."""
    mean = mean_mesh()
    return float(np.linalg.norm(mean[LEFT_EYE[0]] - mean[RIGHT_EYE[0]]))


def correlation(before: Series, after: Series) -> float:
    """Pearson's, -1..1, over the frames in which both are known; 0 where one of them does not move."""
    seen, made = _both(before, after)
    if len(seen) < 2 or min(seen.var(), made.var()) < _STILL:
        return 0.0
    return float(np.corrcoef(seen, made)[0, 1])


def gain(before: Series, after: Series) -> float:
    """How much the swap moves where the video moves by 1: the slope of the regression line; 0 where nothing moves."""
    seen, made = _both(before, after)
    if len(seen) < 2 or seen.var() < _STILL:
        return 0.0
    return float(((seen - seen.mean()) * (made - made.mean())).mean() / seen.var())


def delay(before: Channels, after: Channels) -> int:
    """By how many frames the swap comes late (negative: early): the shift at which the channels correlate best.

    Of shifts that are all but equally good the smallest is meant; 0 for clips too short to tell.
    """
    shifts = range(-MOST_DELAY, MOST_DELAY + 1)
    scores = {shift: _score(before, after, shift) for shift in shifts if len(before) - abs(shift) >= _FEWEST}
    if not scores:
        return 0
    best = max(scores.values())
    return min((shift for shift, score in scores.items() if score > best - _ALIKE), key=abs)


def _score(before: Channels, after: Channels, shift: int) -> float:
    """The mean correlation over the channels of each frame with that `shift` frames later in the swap."""
    stop = len(before) - abs(shift)
    early, late = before[max(0, -shift) :][:stop], after[max(0, shift) :][:stop]
    return float(np.mean([correlation(a, b) for a, b in zip(early.T, late.T, strict=True)]))


def shakes(meshes: Meshes, sizes: Series, scenes: Scenes) -> Series:
    """How all points tremble, frame by frame: root mean square of their second difference over time in the picture, by
    the face's size; NaN for the first frame of a scene and the last one.

    `sizes` are those of the video's face for swap and video alike, so that the two can be compared.
    """
    places = meshes[:, :, :2] / sizes[:, None, None]
    result = np.full(len(places), np.nan)
    if len(places) > 2:
        result[1:-1] = np.sqrt((np.diff(places, n=2, axis=0) ** 2).mean(axis=(1, 2)))
        result[1:-1][scenes[2:] != scenes[:-2]] = np.nan
    return result


def trembling(before: Series, after: Series) -> float:
    """The root mean square of the swap's `shakes` by that of the video's: 1 is as calm as the video."""
    seen, made = _both(before, after)
    return _root_mean_square(made) / max(_root_mean_square(seen), 1e-9)


def _root_mean_square(values: Known) -> float:
    return float(np.sqrt((values**2).mean())) if len(values) else 0.0


def shape_way(replaced: Shapes, wanted: OtherShapes, swapped: Shapes) -> float:
    """How far the mean face mesh has gone from the replaced person's (0) to the wanted one's (1)."""
    here, there, made = (np.nanmean(shapes, axis=0) for shapes in (replaced, wanted, swapped))
    apart = there - here
    return float(((made - here) * apart).sum() / max((apart**2).sum(), 1e-9))


def _both(before: Series, after: Series) -> tuple[Known, Known]:
    known = np.isfinite(before) & np.isfinite(after)
    return before[known], after[known]
