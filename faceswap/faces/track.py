"""Following all faces of a video.

A detector says where faces are, every `DETECT_EVERY` frames and wherever one got lost; in between each face is looked
for where it was in the frame before (`follow.py`). Somebody who is discovered late is followed backwards to where
they came in. Somebody who was hidden for a moment is known again by their face and keeps their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from faceswap.faces.detect import Detector
from faceswap.faces.follow import SAME, followed, inside, is_face, overlap
from faceswap.faces.identity import SAME_PERSON, Identifier, distance
from faceswap.faces.landmarks import FaceMesh, distortion, five_points, input_square, pose
from faceswap.faces.scenes import CutFinder
from faceswap.geometry import Similarity
from faceswap.types import Detection, Embedding, Face, Frame, FrameFaces

DETECT_EVERY = 24
"""Frames from one search for newcomers to the next: the number to hand to `Tracker.follow` at a time."""
_NOBODY_EVERY = 6  # frames from one search to the next while nobody is there
_IDENTIFY_EVERY = 2 * DETECT_EVERY  # frames between two samples of who a face is: that network takes long

_SAMPLES = 24  # of who somebody is, that are kept to know them by

_COLLISION = 0.5  # overlap of two followed faces that can only be one face
_ROUNDS = 6  # looks at a newcomer, each from where the last one saw it, until it holds still: detectors are not exact

_SEARCHED = 50  # frames after losing a face in which each is searched for it
_REMEMBERED = 250  # frames after which a lost face is not expected back in this scene
_ON_ANOTHER = 0.4  # of the smaller of two meshes that lie on one face
_BENT = 0.04  # distortion that a mesh has as a rule at most; of more, the second detector is asked as well
_UNCONFIRMED = 2 * DETECT_EVERY  # frames that a face is followed without the detector seeing it too...
_TURNED = 35.0  # ...unless it is turned away by more than this many degrees: detectors miss profiles
_DOUBT = 0.1  # by which two people's embeddings have to fit better the other way round to be exchanged
_SOMEBODY_ELSE = 0.65  # distance of an embedding from the track's own at which it is not a bad moment any more

_Detect = Callable[[Frame], list[Detection]]


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
    """The answers, the last `_SAMPLES` of them."""
    square: Similarity
    """Where the mesh network looks for it: from the frame to its input."""
    run: Iterator[tuple[Face, Similarity]] = field(default_factory=lambda: iter(()))
    """The face and the square in the frames to come."""

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

    `second` is asked where a scene begins or nobody is followed, and before a face is given up that `detector` does not
    see. `state` is what `Tracker.state` gave earlier: a tracker made with it goes on as the other one would have.
    """

    def __init__(
        self,
        detector: Detector,
        mesh: FaceMesh,
        identifier: Identifier,
        second: Detector | None = None,
        state: bytes | None = None,
    ) -> None:
        self._detector, self._second, self._mesh, self._identifier = detector, second, mesh, identifier

        self._live: list[_Track] = []
        self._lost: list[_Track] = []
        self._next_number = 1
        self._cuts = CutFinder()
        self._identified: list[Identity] = []

        if state is not None:
            self._restore(state)

    def follow(self, frames: Sequence[Frame]) -> tuple[list[FrameFaces], list[Identity]]:
        """The faces in the next frames of the video, up to `DETECT_EVERY` of one size; and who some of them are."""
        found: list[list[Face]] = [[] for _ in frames]
        cuts = [self._cuts.is_cut(frame.image) for frame in frames]

        self._identified = []
        with ThreadPoolExecutor(1) as pool:
            # The last frame is searched in any case: beside following the faces through the others.
            last = pool.submit(self._detector.detect, [frames[-1].image])

            def detect(frame: Frame) -> list[Detection]:
                return (last.result() if frame is frames[-1] else self._detector.detect([frame.image]))[0]

            for scene in _scenes(cuts):
                if cuts[scene.start]:
                    self._live, self._lost = [], []
                self._follow_scene(frames[scene], found[scene], detect)

        seen = [
            FrameFaces(index=frame.index, time=frame.time, cut=cut, faces=tuple(faces))
            for frame, cut, faces in zip(frames, cuts, found, strict=True)
        ]
        return seen, self._identified

    def _follow_scene(self, frames: Sequence[Frame], found: Sequence[list[Face]], detect: _Detect) -> None:
        """Add to `found` what is seen in frames of one scene."""
        for track in self._live:
            track.run = followed(self._mesh, track.face, track.square, frames)

        for place, (frame, faces) in enumerate(zip(frames, found, strict=True)):
            faces += self._followed(frame)
            missing = any(frame.index - track.seen <= _SEARCHED for track in self._lost)

            if missing or frame is frames[-1] or (not self._live and place % _NOBODY_EVERY == 0):
                known = [face.track for face in faces]
                newcomers = self._searched(frame, detect)
                faces[:] = [track.face for track in self._live]
                for track in newcomers:
                    self._run_back(track, frames[:place], found[:place])
                if [face.track for face in faces] != known:  # somebody is new, or another one than was thought
                    for track in self._live:
                        track.run = followed(self._mesh, track.face, track.square, frames[place + 1 :])

            self._lost = [track for track in self._lost if frame.index - track.seen <= _REMEMBERED]

    def _followed(self, frame: Frame) -> list[Face]:
        """The faces of the frame before, where they are now; those that are not there any more are lost."""
        before, self._live = self._live, []

        for track in before:
            seen = next(track.run, None)
            if seen is None:
                self._lost.append(track)
            else:
                (track.face, track.square), track.seen = seen, frame.index
                self._live.append(track)

        self._part_collided(frame)
        return [track.face for track in self._live]

    def _run_back(self, newcomer: _Track, frames: Sequence[Frame], found: Sequence[list[Face]]) -> None:
        """Add a newcomer to the frames before, back to where it came in or is known already."""
        run = followed(self._mesh, newcomer.face, newcomer.square, frames[::-1])
        for (face, _), faces in zip(run, found[::-1], strict=False):
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
            self._lose(loser)

    def _searched(self, frame: Frame, detect: _Detect) -> list[_Track]:
        """Ask the detector: faces that it sees are confirmed; those not followed yet, which are new or come back."""
        unknown = []
        for detection in detect(frame):
            known = [track for track in self._live if overlap(track.face.box, detection.box) > SAME]
            for track in known:
                track.confirmed = frame.index
            if not known:
                unknown.append(detection)

        self._drop_unconfirmed(frame)
        self._identify(frame)

        faces = self._located(frame, unknown)
        newly = not self._live  # a scene begins, or nobody is there
        if self._second is not None and (newly or any(distortion(face.points) > _BENT for face in faces)):
            faces = _straightest([*faces, *self._located(frame, self._second.detect([frame.image])[0])])
        return [
            self._welcomed(face, frame)
            for face in faces
            if all(overlap(face.box, track.face.box) < SAME for track in self._live)
        ]

    def _located(self, frame: Frame, detections: Sequence[Detection]) -> list[Face]:
        """The faces that a detector has seen, as far as the mesh network takes them for faces, too."""
        faces = self._mesh.locate(frame.image, detections)
        for _ in range(_ROUNDS - 1):
            faces = self._mesh.locate(frame.image, faces)
        return [face for face in faces if is_face(face)]

    def _drop_unconfirmed(self, frame: Frame) -> None:
        """Stop following what no detector has taken for a face for long, though it looks this way."""
        doubtful = [
            track
            for track in self._live
            if frame.index - track.confirmed > _UNCONFIRMED and abs(pose(track.face.points).yaw) < _TURNED
        ]

        seen = self._second.detect([frame.image])[0] if doubtful and self._second is not None else []

        for track in doubtful:
            if any(overlap(track.face.box, detection.box) > SAME for detection in seen):
                track.confirmed = frame.index
            else:
                self._live.remove(track)

    def _identify(self, frame: Frame) -> None:
        """Ask now and then who those are whom the detector has just seen; lose those who have become somebody else."""
        for track in list(self._live):
            if track.confirmed == frame.index and frame.index - track.identified >= _IDENTIFY_EVERY:
                who = self._embed(frame, track.face)
                if distance(who, track.identity) > _SOMEBODY_ELSE:
                    self._lose(track)
                    self._live.append(self._new(track.face, frame.index))
                    track = self._live[-1]
                self._note(track, who, frame.index)

    def _welcomed(self, face: Face, frame: Frame) -> _Track:
        """Begin to follow a face: as the lost one that it is, or under a new number."""
        who = self._embed(frame, face)
        back = self._returned(who, frame)

        if back is None:
            track = self._new(face, frame.index)
            self._live.append(track)
        else:
            track = self._revive(back, face, frame.index)

        self._note(track, who, frame.index)
        return track

    def _returned(self, who: Embedding, frame: Frame) -> _Track | None:
        """Which of the lost tracks somebody is who has just appeared; None for a stranger.

        Where two people passed each other, the one who was followed all the way may have become the other one
        unnoticed: if both fit better when exchanged, they are.
        """
        back = min(self._lost, key=lambda track: distance(who, track.identity), default=None)
        if back is None:
            return None

        for track in list(self._live):
            seen = self._embed(frame, track.face)
            as_followed = distance(who, back.identity) + distance(seen, track.identity)
            exchanged = distance(who, track.identity) + distance(seen, back.identity)
            if exchanged + _DOUBT < as_followed:
                self._lose(track)
                self._revive(back, track.face, frame.index)
                return track

        return back if distance(who, back.identity) < SAME_PERSON else None

    def _revive(self, lost: _Track, face: Face, index: int) -> _Track:
        """Follow a lost track again, from `face`."""
        self._lost.remove(lost)
        face = replace(face, track=lost.number)
        track = replace(lost, face=face, seen=index, confirmed=index, square=input_square(face))
        self._live.append(track)
        return track

    def _new(self, face: Face, index: int) -> _Track:
        """A track with a number of its own for a face that nobody has followed yet."""
        number = self._next_number
        self._next_number += 1
        return _Track(
            number=number,
            face=replace(face, track=number),
            seen=index,
            confirmed=index,
            identified=index,
            samples=[],
            square=input_square(face),
        )

    def _lose(self, track: _Track) -> None:
        self._live.remove(track)
        self._lost.append(track)

    def _note(self, track: _Track, who: Embedding, index: int) -> None:
        track.identified = index
        track.samples = [*track.samples, who][-_SAMPLES:]
        self._identified.append(Identity(track.number, who))

    def _embed(self, frame: Frame, face: Face) -> Embedding:
        return np.asarray(self._identifier.embed([(frame.image, five_points(face.points))])[0])

    def state(self) -> bytes:
        """All that decides what comes next."""
        tracks = [*self._live, *self._lost]
        arrays = {
            "numbers": np.array([self._next_number, len(self._live)]),
            "restlessness": np.array([self._cuts.restlessness]),
        }

        if self._cuts.thumb is not None:
            arrays["thumb"] = self._cuts.thumb

        for i, track in enumerate(tracks):
            arrays[f"{i}.points"] = track.face.points
            arrays[f"{i}.presence"] = np.array([track.face.presence])
            arrays[f"{i}.numbers"] = np.array([track.number, track.seen, track.confirmed, track.identified])
            arrays[f"{i}.samples"] = np.array(track.samples)
            arrays[f"{i}.square"] = np.array([track.square.a, track.square.b, track.square.tx, track.square.ty])

        return save(arrays)

    def _restore(self, state: bytes) -> None:
        """Raises ValueError or LookupError for what `state` cannot have made."""
        try:
            arrays = load(state)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        if not all(np.isfinite(values).all() for values in arrays.values()):
            raise ValueError("the tracker's state holds numbers that are none")

        self._next_number, live = map(int, arrays["numbers"])
        self._cuts = CutFinder(arrays.get("thumb"), float(arrays["restlessness"][0]))

        tracks = []
        for i in range(sum(name.endswith(".points") for name in arrays)):
            number, seen, confirmed, identified = map(int, arrays[f"{i}.numbers"])
            face = Face(arrays[f"{i}.points"].reshape(468, 3), float(arrays[f"{i}.presence"][0]), number)
            samples, square = list(arrays[f"{i}.samples"].reshape(-1, 128)), Similarity(*arrays[f"{i}.square"].tolist())
            tracks.append(
                _Track(
                    number=number,
                    face=face,
                    seen=seen,
                    confirmed=confirmed,
                    identified=identified,
                    samples=samples,
                    square=square,
                )
            )

        self._live, self._lost = tracks[:live], tracks[live:]


def _straightest(faces: Sequence[Face]) -> list[Face]:
    """Of faces that are one face, the one whose mesh is bent least: one that stands on its head can be read as an
    upright one, but its shape is not quite a face's."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: distortion(face.points)):
        if all(inside(face.box, other.box) < _ON_ANOTHER for other in kept):
            kept.append(face)
    return kept


def _scenes(cuts: Sequence[bool]) -> Iterator[slice]:
    """The stretches between cuts; a cut belongs to the scene that it begins."""
    starts = sorted({0} | {i for i, cut in enumerate(cuts) if cut})
    for start, stop in zip(starts, [*starts[1:], len(cuts)], strict=True):
        if start < stop:
            yield slice(start, stop)
