"""Taking the tremor out of faces that were followed over time, without lag.

Only where a face is, how large and how it leans is smoothed: its expression, and how far it has turned, stay as seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from faceswap.faces.align import crop_transform
from faceswap.geometry import Similarity
from faceswap.streams import time_windows
from faceswap.types import Face, FrameFaces

REACH = 0.2
"""Seconds before and after a frame from which its faces are steadied."""

_JUMP = 0.4  # of a crop's side: a face that moves more from one frame to the next is not smoothed across
_FEWEST = 4  # frames that a parabola with something left over for averaging needs


@dataclass(frozen=True)
class _Seen:
    """A frame, and for each track in it the way from a crop of side 1 to the frame."""

    frame: FrameFaces
    places: dict[int, Similarity]

    @classmethod
    def of(cls, frame: FrameFaces) -> _Seen:
        return cls(frame, {face.track: crop_transform(face.points, 1).inverse() for face in frame.faces})


def stabilised(frames: Iterable[FrameFaces], reach: float = REACH) -> Iterator[FrameFaces]:
    """The same frames, each face moved to where its own past and future of `reach` seconds say it should be.

    Nothing is smoothed across cuts, where tracks end, or across jumps.
    """
    for window, at in time_windows(map(_Seen.of, frames), lambda seen: seen.frame.time, reach):
        yield _steadied(window, at, reach)


def _steadied(window: Sequence[_Seen], at: int, reach: float) -> FrameFaces:
    frame = window[at].frame
    return replace(frame, faces=tuple(_steady(face, window, at, reach) for face in frame.faces))


def _steady(face: Face, window: Sequence[_Seen], at: int, reach: float) -> Face:
    own = window[at].places[face.track]

    near = [(0.0, own)]
    for neighbours in (range(at - 1, -1, -1), range(at + 1, len(window))):
        before = own
        for i in neighbours:
            away = float(window[i].frame.time - window[at].frame.time)
            place = window[i].places.get(face.track)
            if place is None or abs(away) >= reach or _jumped(before, place):
                break
            near.append((away, place))
            before = place

    if len(near) < _FEWEST:
        return face
    move = own.inverse().then(_fitted(near, reach))
    return replace(face, points=face.points_after(move))


def _jumped(a: Similarity, b: Similarity) -> bool:
    return math.hypot(a.tx - b.tx, a.ty - b.ty) > _JUMP * min(a.scale, b.scale)


def _fitted(places: Sequence[tuple[float, Similarity]], reach: float) -> Similarity:
    """The transform at time 0 of the parabolas that run best through the four numbers of those at other times.

    Savitzky and Golay, "Smoothing and differentiation of data by simplified least squares procedures" (1964); here
    with weights that fall to zero at `reach`, and for any times. It follows even accelerating motion without lag.
    """
    time = np.array([t for t, _ in places]) / reach
    weight = (1 - np.abs(time) ** 3) ** 1.5  # the square root of the tricube weight, as least squares squares it
    basis = np.stack([np.ones_like(time), time, time * time], axis=1) * weight[:, None]
    values: Float[np.ndarray, "n 4"] = np.array([(s.a, s.b, s.tx, s.ty) for _, s in places]) * weight[:, None]
    a, b, tx, ty = np.linalg.lstsq(basis, values, rcond=None)[0][0].tolist()
    return Similarity(a, b, tx, ty)
