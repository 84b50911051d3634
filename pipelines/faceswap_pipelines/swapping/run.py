"""Swap: a video of some people becomes the same video of others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

from faceswap.config import to_toml
from faceswap.database import lock
from faceswap.errors import FaceError, MediaError, OutputError
from faceswap.faces.selection import Part, cast
from faceswap.faces.trackfile import Analysis, TrackFile
from faceswap.media.kinds import is_picture
from faceswap.media.pictures import read_extras, read_picture, write_picture
from faceswap.media.sequence import SequenceWriter
from faceswap.media.video import VideoInfo, probe
from faceswap.media.video_write import SegmentedWriter, open_writer
from faceswap.swapping.convert import BATCH, Converted, Role, converted
from faceswap.swapping.fade import faded
from faceswap.swapping.infer import Swapper
from faceswap.types import Embedding, Frame, Picture, Seal
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.analyse import LEAD_IN, FaceFinder, analyse, followed_frames
from faceswap_pipelines.common.marks import marked_frames, seal_of, write_marked
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.prefetch import ahead, depth_for
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.swapping.job import SwapJob, SwapResult
from faceswap_pipelines.swapping.prepare import check_output, open_swapper, parts_of, pictured, signature_of
from faceswap_pipelines.swapping.sheet import Samples, close_up, sheet_path


def swap(job: SwapJob, models: Models | None = None) -> Run[SwapResult]:
    """Make `job.out`. A run that was killed goes on where it was when it is started again with the same job.

    `models` are those that this process has loaded already. Raises FaceError if there is no face to swap.
    """
    check_output(job)

    models = models or Models()
    swapper, finder = open_swapper(job, models), models.finder(job.device, job.min_face)
    who = pictured(job, finder)

    with ExitStack() as stack:
        for place in {_lock_of(path) for path in (job.out, job.mask_out) if path}:
            stack.enter_context(_only_one(place, job.out))
        check_output(job)  # another one may have ended just now
        if is_picture(job.video):
            return (yield from _swap_picture(job, swapper, finder, who))
        return (yield from _swap_video(job, swapper, finder, who))


def _swap_video(job: SwapJob, swapper: Swapper, finder: FaceFinder, who: Embedding | None) -> Run[SwapResult]:
    info = probe(job.video)
    look = job.settings.look
    first, stop = job.frames
    last = info.frame_count if stop is None else stop if info.frame_count is None else min(stop, info.frame_count)
    total = None if last is None else max(0, last - first)
    seal, start_time = seal_of(job.model, job.video), time.monotonic()
    with ExitStack() as stack:
        outputs = [stack.enter_context(_Output(_open_output(job, job.out, info, seal), first))]
        if job.mask_out:
            outputs.append(stack.enter_context(_Output(_open_output(job, job.mask_out, info, None), first)))
        tracks = stack.enter_context(TrackFile(job.out.with_name(f"{job.out.stem}.tracks.db")))
        analysis = yield from analyse(job.video, job.frames, tracks, finder)
        try:
            parts = parts_of(job, tracks.tracks(analysis), who, lambda: tracks.frames(analysis))
        except (FaceError, MediaError):
            for output in outputs:
                output.writer.discard()
            if not tracks.tracks(analysis):  # otherwise another choice need not look for faces again
                tracks.delete()
            raise
        begun = min(output.next for output in outputs)
        cast_frames = _roles(job, tracks, analysis, parts, _warm_up(tracks, analysis, first, begun, look.smooth))
        # Reading, swapping and writing go on at the same time: the first two each in a thread of their own.
        swapped_frames = converted(cast_frames, swapper, look, job.mask_out is not None)
        frames = ahead(marked_frames(swapped_frames, job.settings.label), depth_for(info.width, info.height))
        stack.callback(frames.close)
        samples, written, swapped = Samples(begun, last), 0, 0
        render_time = time.monotonic()
        for made in dropwhile(lambda made: made.frame.index < begun, frames):
            for output, image in zip(outputs, _images(made), strict=False):
                output.take(made.frame, image)
            samples.offer(made)
            written += 1
            swapped += bool(made.boxes)
            rate = written / (time.monotonic() - render_time)
            done = made.frame.index + 1 - first
            yield Progress(
                title=f"Swapping {job.video.name}", done=done, total=total, unit="frames", note=f"{rate:.1f} frames/s"
            )
        yield Progress(title=f"Joining and signing {job.out.name}", done=0, total=None, unit="")
        for output in outputs:  # all are whole before the first one gets its name, and what lies beside it is there
            output.writer.complete()
        sheet_file, settings = samples.write(job.out, seal), _write_settings(job)
    rate = written / (time.monotonic() - start_time)
    return SwapResult(
        out=str(job.out),
        frames=written,
        swapped=swapped,
        frames_per_second=rate,
        sheet=sheet_file,
        settings=settings,
        notes=_notes(info, outputs[0].writer),
    )


def _notes(info: VideoInfo, writer: SegmentedWriter | SequenceWriter) -> tuple[str, ...]:
    """What the user should know of the output."""
    interlaced = ("the video was interlaced: its frames are whole ones now",) if info.interlaced else ()
    return (*interlaced, *(writer.notes if isinstance(writer, SegmentedWriter) else ()))


class _Output(AbstractContextManager["_Output"]):
    """A file in the making, and the number of the frame that it waits for: after a kill not the same for each."""

    def __init__(self, writer: SegmentedWriter | SequenceWriter, first: int) -> None:
        self.writer, self.next = writer, first + writer.frames_done

    def take(self, frame: Frame, image: Picture) -> None:
        """Writes the picture of a frame, unless it has that already."""
        if frame.index == self.next:
            self.writer.write(image, frame.time)
            self.next += 1

    def __exit__(self, *error: Any) -> None:
        self.writer.__exit__(*error)


def _lock_of(out: Path) -> Path:
    """By the stem, after which tracks, sheet and settings are called, too."""
    return out.with_name(f".{out.stem}.lock")


@contextmanager
def _only_one(place: Path, out: Path) -> Iterator[None]:
    """Keeps every other process from writing the same output meanwhile. Raises OutputError if one does so already."""
    held = lock(place, OutputError(f"{out} is being written already", "Wait for that to end, or stop it first"))
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps it while it is open
            place.unlink()
        held.close()


def _roles(
    job: SwapJob, tracks: TrackFile, analysis: Analysis, parts: list[Part], start: int
) -> Iterator[tuple[Frame, list[Role]]]:
    """Each frame from number `start` with its faces, who they become, and how opaque the swap is."""
    opacities = faded(tracks.frames(analysis, start - LEAD_IN), job.settings.look.fade)
    fades = (opacity for frame, opacity in opacities if frame.index >= start)
    followed = followed_frames(job.video, job.frames, tracks, analysis, start)
    for (frame, faces), opacity in zip(followed, fades, strict=True):
        yield frame, [Role(face, person, opacity[face.track]) for face, person in cast(parts, faces.faces)]


def _warm_up(tracks: TrackFile, analysis: Analysis, first: int, start: int, reach: float) -> int:
    """Where to begin, so that frame `start` has all of its neighbours within `reach` seconds, and every batch is as it
    would have been without an interruption: a batch's first frame, of those that are counted from `first`."""
    known = list(takewhile(lambda frame: frame.index <= start, tracks.frames(analysis, start - LEAD_IN)))
    if not known:
        return start
    earliest = next(frame.index for frame in known if known[-1].time - frame.time <= reach)
    return max(first, first + (earliest - first) // BATCH * BATCH)


def _images(made: Converted) -> Iterator[Picture]:
    yield made.image
    if made.mask is not None:
        yield made.mask[..., None].repeat(3, axis=2)


def _swap_picture(job: SwapJob, swapper: Swapper, finder: FaceFinder, who: Embedding | None) -> Run[SwapResult]:
    seal, start_time = seal_of(job.model, job.video), time.monotonic()
    yield Progress(title=f"Swapping {job.video.name}", done=0, total=1, unit="frames")

    found, frames = finder.look_at([read_picture(job.video)])
    parts = parts_of(job, found, who, lambda: [faces for _, faces in frames])
    [(frame, faces)] = frames
    roles = [Role(face, person) for face, person in cast(parts, faces.faces)]

    swapped = converted([(frame, roles)], swapper, job.settings.look, job.mask_out is not None)
    made = next(marked_frames(swapped, job.settings.label))
    # The picture comes last: where it is, all that lies beside it is, too.

    place, rows = sheet_path(job.out), [("before and after", [frame.image, made.image]), ("", close_up(made))]
    write_marked(place, sheet(rows, side=512), seal)

    settings, extras = _write_settings(job), read_extras(job.video)
    for path, image in reversed(list(zip((job.out, job.mask_out), _images(made), strict=False))):
        assert path is not None  # a mask is made only if there is a place for it
        is_out = path == job.out
        write_picture(path, image, quality=95, seal=seal if is_out else None, extras=extras if is_out else None)

    seconds = time.monotonic() - start_time
    return SwapResult(
        out=str(job.out), frames=1, swapped=1, frames_per_second=1 / seconds, sheet=str(place), settings=settings
    )


def _open_output(job: SwapJob, path: Path, info: VideoInfo, seal: Seal | None) -> SegmentedWriter | SequenceWriter:
    if path.suffix:
        part = job.frames != (0, None)
        return open_writer(
            path, info, encoding=job.settings.encoding, part=part, signature=signature_of(job), seal=seal
        )
    return SequenceWriter(path, signature_of(job), seal)


def _write_settings(job: SwapJob) -> str:
    """The settings beside the output; the file's path."""
    path = job.out.with_name(f"{job.out.stem}.settings.toml")
    try:
        path.write_text(to_toml(job.settings), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "Check the folder and its space") from error
    return str(path)
