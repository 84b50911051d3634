"""Preview: a few frames of a swap in seconds, to settle on settings before the whole video is made."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from faceswap.errors import FaceError, MediaError, OutputError
from faceswap.faces.selection import Selection, recognise_tracks, selected_faces
from faceswap.faces.trackfile import Track
from faceswap.model.identities import read_identities
from faceswap.swapping.convert import Converted, Target, converted
from faceswap.swapping.infer import Swapper
from faceswap.types import Box, Frame, FrameFaces, Picture
from faceswap_pipelines.common.marks import marked_frames, seal_of
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.swapping.job import SwapJob
from faceswap_pipelines.swapping.prepare import open_swapper, pictured, selections_of
from faceswap_pipelines.swapping.sheet import close_up, write_sheet


@dataclass(frozen=True)
class PreviewResult:
    """What came of it."""

    sheet: str
    """A picture with the frames before and after."""
    frames: int
    seconds: float


def preview(job: SwapJob, count: int) -> Run[PreviewResult]:
    """Swap `count` frames, evenly from the video, and write them as a sheet beside where the video would lie.

    Each frame is looked at for itself: nothing is followed or smoothed over time. Raises FaceError if no frame has a
    face to swap.
    """
    start = time.monotonic()

    if not job.out.parent.is_dir():
        raise OutputError(f"The folder {job.out.parent} does not exist", "Create it or choose another place")

    models, seal = Models(), seal_of(job.model, job.video)
    swapper, finder = open_swapper(job, models), models.finder(job.device, job.min_face)
    reference = pictured(job, finder)

    title = f"Preview of {job.video.name}"
    yield Progress(title=title, done=0, total=count, unit="frames")

    found, frames = finder.look_at([frame.image for frame in job.footage.sample(count)])
    selections = selections_of(job, found, reference, lambda: [faces for _, faces in frames])
    taken = []

    for made in _each(frames, selections, swapper, job):
        taken.append((made.frame.image, made.image, *close_up(made)))
        yield Progress(title=title, done=len(taken), total=count, unit="frames")

    return PreviewResult(write_sheet(job.out, taken, seal), len(taken), time.monotonic() - start)


@dataclass(frozen=True, kw_only=True)
class PreviewFrame:
    """One frame before and after, and what becomes of each face in it."""

    before: Picture
    after: Picture
    faces: tuple[tuple[Box, str | None], ...]
    """From left to right: where a face is, in pixels, and the person of the model that it becomes; None: it stays."""
    looks_like: tuple[str | None, ...]
    """In the same order: the person of the model whom each shows, if it is one of them and the model knows them."""


def preview_frame(job: SwapJob, index: int, models: Models) -> PreviewFrame:
    """One frame of the video, or the picture, swapped, for somebody who waits for it; one without a face comes out as
    it is.

    Raises MediaError if there is no such frame.
    """
    swapper, finder = open_swapper(job, models), models.finder(job.device, job.min_face)
    images = [frame.image for frame in replace(job, frames=(index, index + 1)).footage.sample(1)]
    if not images:
        raise MediaError(f"{job.video} has no frame {index + 1}", "Choose an earlier one")

    found, frames = finder.look_at(images)
    reference = pictured(job, finder)
    selections: list[Selection] = []
    if found:
        with suppress(FaceError):  # nobody of those who are wanted: the frame stays as it is
            selections = selections_of(job, found, reference, lambda: [faces for _, faces in frames])

    [made] = _each(frames, selections, swapper, job)
    [(_, seen)] = frames
    becomes = {face.track: person for face, person in selected_faces(selections, seen.faces)}
    whose = _recognised(job, found)
    faces = sorted(seen.faces, key=lambda face: face.box[0])
    return PreviewFrame(
        before=made.frame.image,
        after=made.image,
        faces=tuple((face.box, becomes.get(face.track)) for face in faces),
        looks_like=tuple(whose.get(face.track) for face in faces),
    )


def _recognised(job: SwapJob, tracks: Sequence[Track]) -> dict[int, str]:
    """By the number of a track: whom it shows, of the persons whom the model knows."""
    known = read_identities(job.model)
    selections = recognise_tracks(known, {person: person for person in known}, tracks) if known else []
    return {track: selection.person for selection in selections for track in selection.tracks}


def _each(
    frames: Sequence[tuple[Frame, FrameFaces]], selections: Sequence[Selection], swapper: Swapper, job: SwapJob
) -> Iterator[Converted]:
    """The frames swapped, each for itself."""
    for frame, faces in frames:
        targets = [Target(face, person) for face, person in selected_faces(selections, faces.faces)]
        yield from marked_frames(converted([(frame, targets)], swapper, job.settings.look), job.settings.label)
