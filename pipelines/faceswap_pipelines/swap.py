"""Swap: a video of one person becomes the same video of another."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceswap.errors import FaceError, ModelError, OutputError
from faceswap.faces.align import align
from faceswap.faces.person import main_person, pick, tracks_of
from faceswap.faces.trackfile import TrackFile
from faceswap.media.pictures import is_picture, read_picture, write_picture
from faceswap.media.video import probe
from faceswap.media.video_write import open_writer
from faceswap.quality.sheets import sheet
from faceswap.swapping.blend import blend, face_box
from faceswap.swapping.infer import Swapper
from faceswap.training.checkpoint import latest_checkpoint, load_model
from faceswap.types import AlignedFace, Face, Frame, Picture, Swap
from faceswap_pipelines.analyse import FaceFinder, FrameRange, analyse, followed_frames
from faceswap_pipelines.job import Job, Progress, pick_device
from faceswap_pipelines.stages import batched

_BATCH = 8
_SHEET_COLUMNS = 6


@dataclass(frozen=True)
class SwapJob:
    """What to swap, and how."""

    video: Path
    """A video, or a picture."""
    model: Path
    out: Path
    source: str = "a"
    """The person in the video."""
    target: str = "b"
    """The person to put in their place."""
    frames: FrameRange = (0, None)
    overwrite: bool = False
    crf: int = 18
    """Quality of the H.264 video: lower is better and larger; 18 looks like the original."""
    min_face: int | None = None
    """Width in pixels of the smallest face to look for; None: an eighth of the frame's short side."""
    device: str = "auto"


@dataclass(frozen=True)
class SwapResult:
    """What came of it."""

    out: str
    frames: int
    """Written in this run."""
    swapped: int
    """Of those, how many had a face that was swapped; the others passed through unchanged."""
    frames_per_second: float
    sheet: str
    """A picture with some frames before and after."""


def swap(job: SwapJob) -> Job[SwapResult]:
    """Make `job.out`. A run that was killed goes on where it was when it is started again with the same job.

    Raises FaceError if no frame has a face to swap.
    """
    _check_output(job)
    device = pick_device(job.device)
    model = load_model(job.model, device)
    if job.source not in model.config.persons:
        raise ModelError(
            f"the model knows no person '{job.source}'", f"Choose one of: {', '.join(model.config.persons)}"
        )
    swapper = Swapper(model, job.target)
    finder = FaceFinder(device, job.min_face)
    if is_picture(job.video):
        return (yield from _swap_picture(job, swapper, finder))
    return (yield from _swap_video(job, swapper, finder))


def swapped_frames(
    found: Iterable[tuple[Frame, Face | None]], swapper: Swapper
) -> Iterator[tuple[Frame, Picture, Swap | None]]:
    """Each frame, its picture with the face swapped, and the swap itself: None where there was no face."""
    for some in batched(found, _BATCH):
        aligned = [None if face is None else align(frame.image, face, swapper.size) for frame, face in some]
        swaps = iter(swapper.swap([face for face in aligned if face is not None]))
        for (frame, _), face in zip(some, aligned, strict=True):
            made = None if face is None else next(swaps)
            yield frame, frame.image if made is None else blend(frame.image, made), made


def _swap_video(job: SwapJob, swapper: Swapper, finder: FaceFinder) -> Job[SwapResult]:
    info = probe(job.video)
    first, stop = job.frames
    last = info.frame_count if stop is None else stop if info.frame_count is None else min(stop, info.frame_count)
    total = None if last is None else max(0, last - first)
    start_time = time.monotonic()
    with (
        open_writer(job.out, info, crf=job.crf, signature=_signature(job)) as writer,
        TrackFile(job.out.with_name(f"{job.out.stem}.tracks.db")) as tracks,
    ):
        analysis = yield from analyse(job.video, job.frames, tracks, finder)
        known = tracks.tracks(analysis)
        person = main_person(known)
        if person is None:
            writer.discard()
            tracks.delete()
            raise _no_face(job)
        wanted = tracks_of(person, known)
        begun = done = writer.frames_done
        swapped = 0
        samples = _Samples(first + done, last)
        frames = followed_frames(job.video, job.frames, tracks, analysis, first + done)
        chosen = ((frame, pick(followed.faces, wanted)) for frame, followed in frames)
        render_time = time.monotonic()
        for frame, picture, made in swapped_frames(chosen, swapper):
            writer.write(picture, frame.time)
            samples.offer(frame, picture, made)
            done += 1
            swapped += made is not None
            rate = (done - begun) / (time.monotonic() - render_time)
            yield Progress(f"Swapping {job.video.name}", done, total, "frames", f"{rate:.1f} frames/s")
    rate = (done - begun) / (time.monotonic() - start_time)
    return SwapResult(str(job.out), done - begun, swapped, rate, samples.write(job))


def _swap_picture(job: SwapJob, swapper: Swapper, finder: FaceFinder) -> Job[SwapResult]:
    start_time = time.monotonic()
    yield Progress(f"Swapping {job.video.name}", 0, 1, "frames")
    image = read_picture(job.video)
    faces = finder.find(image)
    if not faces:
        raise _no_face(job)
    aligned: AlignedFace = align(image, faces[0], swapper.size)
    made = swapper.swap([aligned])[0]
    result = blend(image, made)
    write_picture(job.out, result, quality=95)
    path = _sheet_path(job)
    write_picture(path, sheet([("before and after", [image, result])], side=512))
    return SwapResult(str(job.out), 1, 1, 1 / (time.monotonic() - start_time), str(path))


class _Samples:
    """Some frames before and after, evenly from those that are written, with a close look at each face."""

    def __init__(self, first: int, last: int | None) -> None:
        wanted = np.linspace(first, max(first, (last or first + 250) - 1), _SHEET_COLUMNS + 2)[1:-1]
        self._wanted = {round(float(index)) for index in wanted}
        self._taken: list[tuple[Picture, Picture, Picture, Picture]] = []

    def offer(self, frame: Frame, picture: Picture, made: Swap | None) -> None:
        if frame.index not in self._wanted:
            return
        box = None if made is None else face_box(made, picture.shape[1], picture.shape[0])
        left, top, right, bottom = box or (0, 0, picture.shape[1], picture.shape[0])
        rows = slice(top, bottom), slice(left, right)
        self._taken.append((frame.image, picture, frame.image[rows], picture[rows]))

    def write(self, job: SwapJob) -> str:
        """Writes the sheet beside the video; its path, or nothing if no frame was taken."""
        if not self._taken:
            return ""
        before, after, close_before, close_after = (list(row) for row in zip(*self._taken, strict=True))
        rows = [("before", before), ("after", after), ("face before", close_before), ("face after", close_after)]
        path = _sheet_path(job)
        write_picture(path, sheet(rows, side=256))
        return str(path)


def _sheet_path(job: SwapJob) -> Path:
    return job.out.with_name(f"{job.out.stem}.sheet.png")


def _check_output(job: SwapJob) -> None:
    if job.out.exists() and not job.overwrite:
        raise OutputError(f"{job.out} exists already", "Name another output, or add --overwrite")
    if is_picture(job.video) and job.out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise OutputError(f"{job.video} is a picture, and {job.out} is not", "Name an output that ends in .png or .jpg")


def _no_face(job: SwapJob) -> FaceError:
    return FaceError(
        f"no face was found in {job.video}, so there is nothing to swap",
        "Use footage that shows a face, or look for smaller ones with --min-face",
    )


def _signature(job: SwapJob) -> str:
    """Names all that decides the output's pictures: input, model, settings. Part of what makes resuming safe."""
    stat = job.video.stat()
    checkpoint = latest_checkpoint(job.model)
    weights = hashlib.sha256((checkpoint / "weights.safetensors").read_bytes()).hexdigest() if checkpoint else ""
    settings = (job.source, job.target, job.frames, job.min_face)
    return f"{job.video.resolve()} {stat.st_size} {stat.st_mtime_ns}\n{weights}\n{settings}"
