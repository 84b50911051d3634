"""The steps that jobs string together: generators over the nouns of `faceswap.types`."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import torch

from faceswap.faces.detect import Detector, MTCNNDetector
from faceswap.faces.landmarks import FaceMesh, Mesh, five_points
from faceswap.faces.track import MainFace, smooth_landmarks
from faceswap.types import Face, Frame, Picture

T = TypeVar("T")

_LEAST_PRESENCE = 0.5  # of the mesh network's score that what it looks at is a face

_REACH = 0.18  # seconds before and after a frame from which its landmarks are steadied: four frames at 25 a second


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def ahead(items: Iterable[T], depth: int = 8) -> Iterator[T]:
    """The same items, made in a thread of their own up to `depth` in advance.

    An exception in `items` comes out here, after the items before it. Closing this generator ends the thread
    and closes `items`.
    """
    ready: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(kind: str, value: T | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put("item", item):
                    break
            else:
                put("end", None)
        except BaseException as error:
            put("error", error)
        finally:
            if close := getattr(iterator, "close", None):
                close()

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "item":
                yield value  # type: ignore[misc]  # "item" comes with a T
            elif isinstance(value, BaseException):
                raise value
            else:
                return
    finally:
        stopped.set()
        thread.join()


class FaceFinder:
    """Finds faces in frames: a detector says where, the face mesh says exactly where, and whether it is a face."""

    def __init__(self, device: torch.device, min_face: int | None = None) -> None:
        self._detector: Detector = MTCNNDetector(device, min_face)
        self._mesh = FaceMesh(device)

    def find(self, images: Sequence[Picture]) -> list[list[Face]]:
        """The faces of each picture (all of one size), the largest first."""
        found = self._detector.detect(images)
        places = [(image, face) for image, faces in zip(images, found, strict=True) for face in faces]
        meshes = iter(self._mesh.locate_each(places))
        return [self._confirmed([(face, next(meshes)) for face in faces]) for faces in found]

    @staticmethod
    def _confirmed(faces: Sequence[tuple[Face, Mesh]]) -> list[Face]:
        return [
            dataclasses.replace(face, landmarks=five_points(mesh.points))
            for face, mesh in faces
            if mesh.presence >= _LEAST_PRESENCE
        ]


def find_faces(frames: Iterable[Frame], finder: FaceFinder, batch: int = 8) -> Iterator[tuple[Frame, list[Face]]]:
    """Each frame with the faces in it, the largest first. All frames have one size."""
    for some in batched(frames, batch):
        yield from zip(some, finder.find([frame.image for frame in some]), strict=True)


def follow_main_face(found: Iterable[tuple[Frame, list[Face]]]) -> Iterator[tuple[Frame, Face | None]]:
    """Each frame with the face of the main person in it, or None where there is none; landmarks steadied over time.

    A few frames are held back, so that each is steadied by what comes after it as well as by what came before.
    """
    main = MainFace()
    window: deque[tuple[Frame, Face | None]] = deque()
    current = 0  # the place in the window of the next frame to hand out
    for frame, faces in found:
        chosen = main.choose(faces)
        window.append((frame, None if chosen is None else faces[chosen]))
        while frame.time - window[current][0].time > _REACH:
            yield _steadied(window, current)
            current += 1
        while window[current][0].time - window[0][0].time > _REACH:
            window.popleft()
            current -= 1
    for place in range(current, len(window)):
        yield _steadied(window, place)


def _steadied(window: Sequence[tuple[Frame, Face | None]], place: int) -> tuple[Frame, Face | None]:
    frame, face = window[place]
    if face is None:
        return frame, None
    known = [(other, seen.landmarks) for other, seen in window if seen is not None]
    at = next(i for i, (other, _) in enumerate(known) if other is frame)
    landmarks = smooth_landmarks([float(other.time) for other, _ in known], [five for _, five in known], at, _REACH)
    return frame, dataclasses.replace(face, landmarks=landmarks)
