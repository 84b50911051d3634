"""Analyse: where each face is in every frame of a video, and who it is. The first pass of extracting and swapping."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch

from faceswap.errors import FaceError, MediaError
from faceswap.faces.detect import MTCNNDetector
from faceswap.faces.full_range import FullRangeDetector
from faceswap.faces.identity import Identifier
from faceswap.faces.landmarks import FaceMesh
from faceswap.faces.steady import stabilised
from faceswap.faces.track import DETECT_EVERY, Tracker
from faceswap.faces.trackfile import Analysis, Track, TrackFile
from faceswap.media.pictures import read_picture
from faceswap.streams import batched
from faceswap.types import Embedding, Frame, FrameFaces, Picture
from faceswap_pipelines.common.cpu import one_thread_each
from faceswap_pipelines.common.inputs import Footage
from faceswap_pipelines.common.prefetch import batch_for, depth_for, prefetch
from faceswap_pipelines.common.progress import Progress, Run

LEAD_IN = 400  # frames before the first wanted one that are looked at, too: more than anything settles over
_KEY_FRAME = 1000  # frames before the first wanted one among which there is a key frame in most videos
_MANY = 1000  # more tracks than a picture has faces


class FaceFinder:
    """The networks that find, follow and know faces, loaded once for all inputs of a job."""

    def __init__(self, device: torch.device, min_face: int | None = None) -> None:
        self._detector, self._second = MTCNNDetector(device, min_face), FullRangeDetector(device, min_face)
        self._mesh, self._identifier = FaceMesh(device), Identifier(device)
        self.min_face = min_face

    def tracker(self, state: bytes | None = None) -> Tracker:
        """One that begins a video, or goes on where another one was in `state`."""
        return Tracker(self._detector, self._mesh, self._identifier, self._second, state)

    def look_at(self, images: Sequence[Picture]) -> tuple[list[Track], list[tuple[Frame, FrameFaces]]]:
        """The faces in single pictures, each a scene of its own: as if they had been followed through a video."""
        found: list[Track] = []

        frames: list[tuple[Frame, FrameFaces]] = []
        for index, image in enumerate(images):
            frame = Frame(image, index, Fraction(index))
            [seen], identities = self.tracker().follow([frame])
            renumbered = tuple(replace(face, track=index * _MANY + face.track) for face in seen.faces)
            who = {one.track: one.embedding for one in identities}

            found += [
                Track(number=index * _MANY + face.track, identity=who[face.track], frames=1, size=face.size)
                for face in seen.faces
            ]

            frames.append((frame, replace(seen, cut=True, faces=renumbered)))
        return found, frames

    def person_in(self, path: Path) -> Embedding:
        """Who is to be seen in a picture: the largest face. Raises FaceError if there is none."""
        tracks, _ = self.look_at([read_picture(path)])
        if not tracks:
            raise FaceError(f"no face was found in {path}", "Use a picture that shows the person's face")
        return max(tracks, key=lambda track: track.size).identity


def analyse(footage: Footage, tracks: TrackFile, finder: FaceFinder) -> Run[Analysis]:
    """Find the faces in footage and keep them in `tracks`; what is in there already is not done again.

    Raises MediaError if the file cannot be read.
    """
    if not footage.path.exists():
        raise MediaError(f"{footage.path} does not exist", "Check the name")

    analysis = tracks.analysis(footage.fingerprint(finder.min_face), footage.frames[0])
    if analysis.finished:
        return analysis

    with tracks.reading():
        tracker = finder.tracker(analysis.state)

    title, total = f"Finding faces in {footage.path.name}", footage.count
    first = done = analysis.next_frame - footage.frames[0]
    start = time.monotonic()
    yield Progress(title=title, done=done, total=total, unit="frames")

    pictures = prefetch(footage.read(analysis.next_frame), _depth(footage))
    for some in batched(pictures, batch_of(footage, DETECT_EVERY)):
        with one_thread_each():
            found, identities = tracker.follow(some)
        tracks.add(analysis, found, identities, tracker.state())
        done += len(some)
        del some  # large frames: they may go before the next ones come

        yield Progress(
            title=title,
            done=done,
            total=total,
            unit="frames",
            note=f"{(done - first) / (time.monotonic() - start):.0f} frames/s",
        )

    tracks.finish(analysis)
    return analysis


def followed_frames(
    footage: Footage, tracks: TrackFile, analysis: Analysis, start: int
) -> Iterator[tuple[Frame, FrameFaces]]:
    """The second pass: each frame of analysed footage from number `start`, with its faces, steadied over time."""
    followed = stabilised(tracks.frames(analysis, start - LEAD_IN))
    known = tracks.times(analysis, start - _KEY_FRAME, start + 1)
    pictures = prefetch(footage.read(start, known), _depth(footage))
    return zip(pictures, (frame for frame in followed if frame.index >= start), strict=True)


def batch_of(footage: Footage, most: int) -> int:
    """How many frames to work on together: at most so many, fewer of large ones."""
    if footage.is_picture:
        return 1
    info = footage.info
    return batch_for(info.width, info.height, most)


def _depth(footage: Footage) -> int:
    """How many frames to read ahead."""
    if footage.is_picture:
        return 1
    info = footage.info
    return depth_for(info.width, info.height)
