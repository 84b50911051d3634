"""Letting a swap come and go softly where a face is found or lost in the middle of a scene."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from faceswap.streams import time_windows
from faceswap.types import FrameFaces

Opacities = dict[int, float]
"""By track: 1 is the swap alone, 0 the face in the video."""


def faded(frames: Iterable[FrameFaces], seconds: float) -> Iterator[tuple[FrameFaces, Opacities]]:
    """Each frame with how opaque the swap of each of its faces should be.

    The opacity rises over `seconds` after a frame without that face and falls before one. Where the scene or the
    video begins or ends nothing fades: a viewer sees another picture there anyway.
    """
    for window, at in time_windows(frames, lambda frame: frame.time, seconds):
        yield window[at], {face.track: _opacity(window, at, face.track, seconds) for face in window[at].faces}


def _opacity(window: Sequence[FrameFaces], at: int, track: int, seconds: float) -> float:
    """How far the nearest frame of the same scene is that does not have the track, as a share of `seconds`."""
    away = [seconds]
    for i in range(at, 0, -1):
        if window[i].cut:
            break
        if not _has(window[i - 1], track):
            away.append(float(window[at].time - window[i - 1].time))
            break

    for i in range(at + 1, len(window)):
        if window[i].cut:
            break
        if not _has(window[i], track):
            away.append(float(window[i].time - window[at].time))
            break

    return min(away) / seconds if seconds > 0 else 1.0


def _has(frame: FrameFaces, track: int) -> bool:
    return any(face.track == track for face in frame.faces)
