"""Which of the faces in a video are the person that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from faceswap.faces.identity import SAME_PERSON, distance, typical
from faceswap.faces.trackfile import Track
from faceswap.types import Embedding, Face

STRANGER = "somebody else"
"""Why a face is rejected that is not of the person whom a faceset is about."""


def dominant_identity(tracks: Sequence[Track]) -> Embedding | None:
    """Who is seen most and largest, counting all tracks of the same face together; None where there is nobody."""
    alike = [[t for t in tracks if distance(t.identity, track.identity) < SAME_PERSON] for track in tracks]
    most = max(alike, key=lambda group: sum(track.frames * track.size for track in group), default=None)
    return None if most is None else typical(np.array([track.identity for track in most]))


def tracks_of(person: Embedding, tracks: Sequence[Track]) -> tuple[int, ...]:
    """The numbers of the tracks that show `person`, in the order of `tracks`."""
    return tuple(track.number for track in tracks if distance(track.identity, person) < SAME_PERSON)


def pick(faces: Iterable[Face], wanted: Sequence[int]) -> Face | None:
    """The face whose track comes first in `wanted`; None if none of them is there.

    A person can be in a frame twice, as in a portrait on the wall: `wanted` says which is meant.
    """
    there = {face.track: face for face in faces}
    return next((there[track] for track in wanted if track in there), None)
