"""Following faces from frame to frame.

A detector says where faces are, every `LOOK_EVERY` frames and wherever one got lost; in between each face is looked
for where it was in the frame before, by its mesh alone. Somebody who is discovered late is followed backwards to where
they came in. Somebody who was hidden for a moment is known again by their face and keeps their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import cv2
import numpy as np
from jaxtyping import Float
from safetensors.numpy import load, save

from faceswap.faces.detect import Detector
from faceswap.faces.identity import SAME_PERSON, Embedding, Identifier, distance
from faceswap.faces.landmarks import FaceMesh, five_points, pose
from faceswap.types import Box, Face, Frame, FrameFaces, Picture

LOOK_EVERY = 18
"""Frames from one search for newcomers to the next: the number to hand to `Tracker.follow` at a time."""
_IDENTIFY_EVERY = 3 * LOOK_EVERY  # frames between two samples of who a face is: that network takes long

_LEAST_PRESENCE = 0.5  # of the mesh network's score that what it looks at is a face
_SAME = 0.3  # overlap of boxes that makes two views of a face, or neighbouring frames of it, one
_COLLISION = 0.5  # overlap of two followed faces that can only be one face
_GROWTH = 1.5  # a face does not grow or shrink more than this from one frame to the next
_MOVED = 0.8  # overlap with the place where a face was looked for, under which it is looked at again from nearer
_AHEAD = 6  # frames in which a face is looked for at once, as if it held still: in a batch that takes half the time

_SEARCHED = 24  # frames after losing a face in which each is searched for it
_REMEMBERED = 250  # frames after which a lost face is not expected back in this scene
_UNCONFIRMED = 2 * LOOK_EVERY  # frames that a face is followed without the detector seeing it too...
_TURNED = 35.0  # ...unless it is turned away by more than this many degrees: detectors miss profiles

_THUMB = (32, 18)
_CUT_CHANGE = 14.0  # grey levels that the thumbnail's pixels change by on average at a cut...
_CUT_FACTOR = 3.0  # ...and so many times more than they have changed of late


Thumb = Float[np.ndarray, "18 32"]


@dataclass(eq=False)  # two tracks are the same only if they are one
class _Track:
    """One face that is followed, or was until it got lost."""

    number: int
    face: Face
    """As last seen."""
    seen: int
    """In this frame."""
    confirmed: int
    """The last frame in which the detector saw it too."""
    identified: int
    """The last frame in which it was asked who it is."""
    samples: list[Embedding]
    """The answers."""
    run: Iterator[Face] = field(default_factory=lambda: iter(()))
    """Where it is in the frames to come."""

    @property
    def identity(self) -> Embedding:
        return np.asarray(np.mean(self.samples, axis=0))


@dataclass(frozen=True)
class Identity:
    """Who a track's face is, at one moment."""

    track: int
    embedding: Embedding


class Tracker:
    """Follows all faces through the frames of one video, which it has to be given in order.

    `state` is what `Tracker.state` gave earlier: a tracker made with it goes on as the other one would have.
    """

    def __init__(self, detector: Detector, mesh: FaceMesh, identifier: Identifier, state: bytes | None = None) -> None:
        self._detector, self._mesh, self._identifier = detector, mesh, identifier
        self._live: list[_Track] = []
        self._lost: list[_Track] = []
        self._next_number = 1
        self._thumb: Thumb | None = None
        self._restlessness = 0.0  # how much the thumbnail has changed from frame to frame of late
        self._identified: list[Identity] = []
        if state is not None:
            self._restore(state)

    def follow(self, frames: Sequence[Frame]) -> tuple[list[FrameFaces], list[Identity]]:
        """The faces in the next frames of the video, up to `LOOK_EVERY` of one size; and who some of them are."""
        found: list[list[Face]] = [[] for _ in frames]
        cuts = [self._is_cut(frame.image) for frame in frames]
        self._identified = []
        for scene in _scenes(cuts):
            if cuts[scene.start]:
                self._live, self._lost = [], []
            self._follow_scene(frames[scene], found[scene])
        followed = zip(frames, cuts, found, strict=True)
        return [FrameFaces(f.index, f.time, cut, tuple(faces)) for f, cut, faces in followed], self._identified

    def _follow_scene(self, frames: Sequence[Frame], found: Sequence[list[Face]]) -> None:
        """Add to `found` what is seen in frames of one scene."""
        for track in self._live:
            track.run = self._run(track.face, frames)
        for place, (frame, faces) in enumerate(zip(frames, found, strict=True)):
            faces += self._followed(frame)
            missing = any(frame.index - track.seen <= _SEARCHED for track in self._lost)
            if missing or frame is frames[-1]:
                for track in self._searched(frame):
                    faces.append(track.face)
                    track.run = self._run(track.face, frames[place + 1 :])
                    self._run_back(track.face, frames[:place], found[:place])
            self._lost = [track for track in self._lost if frame.index - track.seen <= _REMEMBERED]

    def _followed(self, frame: Frame) -> list[Face]:
        """The faces of the frame before, where they are now; those that are not there any more are lost."""
        before, self._live = self._live, []
        for track in before:
            face = next(track.run, None)
            if face is None:
                self._lost.append(track)
            else:
                track.face, track.seen = face, frame.index
                self._live.append(track)
        self._part_collided(frame)
        return [track.face for track in self._live]

    def _run(self, face: Face, frames: Sequence[Frame]) -> Iterator[Face]:
        """`face` in each of `frames`, its neighbours forwards or backwards in time, up to where it is not any more."""
        at, reach = 0, _AHEAD
        while at < len(frames):
            coming, place = frames[at : at + reach], face
            reach = min(2 * reach, _AHEAD)
            for frame, guess in zip(coming, self._mesh.locate_each([(f.image, place) for f in coming]), strict=True):
                new = guess
                if overlap(guess.box, place.box) < _MOVED:
                    if frame is not coming[0]:  # look again, from where it was in the frame before
                        reach = 1
                        break
                    new = self._mesh.locate(frame.image, [guess])[0]
                if not _may_follow(new, face):
                    return
                face = replace(new, track=face.track)
                yield face
                at += 1

    def _run_back(self, newcomer: Face, frames: Sequence[Frame], found: Sequence[list[Face]]) -> None:
        """Add a newcomer to the frames before, back to where it came in or is known already."""
        run = self._run(newcomer, frames[::-1])
        for face, faces in zip(run, found[::-1], strict=False):
            if any(other.track == face.track or overlap(other.box, face.box) > _COLLISION for other in faces):
                return
            faces.append(face)

    def _part_collided(self, frame: Frame) -> None:
        """Where two tracks have run onto one face, as when one person passes before another, keep whose face it is."""
        for one, other in combinations(list(self._live), 2):
            if one in self._lost or other in self._lost or overlap(one.face.box, other.face.box) < _COLLISION:
                continue
            seen = self._embed(frame, one.face)
            loser = max((one, other), key=lambda track: distance(seen, track.identity))
            self._live.remove(loser)
            self._lost.append(loser)

    def _searched(self, frame: Frame) -> list[_Track]:
        """Ask the detector: faces that it sees are confirmed; those not followed yet, which are new or come back."""
        detections = self._detector.detect([frame.image])[0]
        unknown = []
        for detection in detections:
            known = [track for track in self._live if overlap(track.face.box, detection.box) > _SAME]
            for track in known:
                track.confirmed = frame.index
            if not known:
                unknown.append(detection)
        self._drop_unconfirmed(frame)
        for track in self._live:
            if track.confirmed == frame.index and frame.index - track.identified >= _IDENTIFY_EVERY:
                self._note(track, self._embed(frame, track.face), frame.index)
        # Once more from the first mesh: a detector's five points place the network less exactly than its own mesh.
        roughly = self._mesh.locate(frame.image, unknown)
        return [
            self._welcomed(face, frame)
            for face in self._mesh.locate(frame.image, roughly)
            if face.presence >= _LEAST_PRESENCE
            and all(overlap(face.box, track.face.box) < _COLLISION for track in self._live)
        ]

    def _drop_unconfirmed(self, frame: Frame) -> None:
        """Stop following what the detector has not taken for a face for long, though it looks this way."""
        for track in list(self._live):
            if frame.index - track.confirmed > _UNCONFIRMED and abs(pose(track.face.points).yaw) < _TURNED:
                self._live.remove(track)

    def _welcomed(self, face: Face, frame: Frame) -> _Track:
        """Begin to follow a face: as the lost one that it is, or under a new number."""
        who = self._embed(frame, face)
        back = min(self._lost, key=lambda track: distance(who, track.identity), default=None)
        if back is not None and distance(who, back.identity) < SAME_PERSON:
            self._lost.remove(back)
            track = replace(back, face=replace(face, track=back.number), seen=frame.index, confirmed=frame.index)
        else:
            face = replace(face, track=self._next_number)
            track = _Track(face.track, face, frame.index, frame.index, frame.index, [])
            self._next_number += 1
        self._live.append(track)
        self._note(track, who, frame.index)
        return track

    def _note(self, track: _Track, who: Embedding, index: int) -> None:
        track.identified = index
        track.samples.append(who)
        self._identified.append(Identity(track.number, who))

    def _embed(self, frame: Frame, face: Face) -> Embedding:
        return np.asarray(self._identifier.embed([(frame.image, five_points(face.points))])[0])

    def _is_cut(self, image: Picture) -> bool:
        """Whether another scene begins with this picture: it differs much, and suddenly, from the one before."""
        # A sixteenth of the pixels is plenty.
        small = cv2.resize(np.ascontiguousarray(image[::4, ::4]), _THUMB, interpolation=cv2.INTER_AREA)
        thumb: Thumb = small.mean(axis=2)
        before, self._thumb = self._thumb, thumb
        if before is None:
            return True
        change = float(np.abs(thumb - before).mean())
        is_cut = change > _CUT_CHANGE and change > _CUT_FACTOR * self._restlessness
        self._restlessness += 0.3 * (change - self._restlessness)
        return is_cut

    def state(self) -> bytes:
        """All that decides what comes next."""
        tracks = [*self._live, *self._lost]
        arrays = {
            "thumb": np.zeros(_THUMB[::-1]) if self._thumb is None else self._thumb,
            "numbers": np.array([self._next_number, len(self._live)]),
            "restlessness": np.array([self._restlessness]),
        }
        for i, track in enumerate(tracks):
            arrays[f"{i}.points"] = track.face.points
            arrays[f"{i}.presence"] = np.array([track.face.presence])
            arrays[f"{i}.numbers"] = np.array([track.number, track.seen, track.confirmed, track.identified])
            arrays[f"{i}.samples"] = np.array(track.samples)
        return save(arrays)

    def _restore(self, state: bytes) -> None:
        arrays = load(state)
        self._next_number, live = map(int, arrays["numbers"])
        self._thumb, self._restlessness = arrays["thumb"], float(arrays["restlessness"][0])
        tracks = []
        for i in range(sum(name.endswith(".points") for name in arrays)):
            number, seen, confirmed, identified = map(int, arrays[f"{i}.numbers"])
            face = Face(arrays[f"{i}.points"], float(arrays[f"{i}.presence"][0]), number)
            tracks.append(_Track(number, face, seen, confirmed, identified, list(arrays[f"{i}.samples"])))
        self._live, self._lost = tracks[:live], tracks[live:]


def _may_follow(new: Face, old: Face) -> bool:
    """Whether `new` can be what has become of `old` from one frame to the next."""
    grown = new.size / max(old.size, 1e-6)
    return new.presence >= _LEAST_PRESENCE and overlap(new.box, old.box) > _SAME and 1 / _GROWTH < grown < _GROWTH


def _scenes(cuts: Sequence[bool]) -> Iterator[slice]:
    """The stretches between cuts; a cut belongs to the scene that it begins."""
    starts = sorted({0} | {i for i, cut in enumerate(cuts) if cut})
    for start, stop in zip(starts, [*starts[1:], len(cuts)], strict=True):
        if start < stop:
            yield slice(start, stop)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
