"""Swap: a video of some people becomes the same video of others."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import dropwhile, islice, takewhile

from faceswap.errors import FaceError, MediaError, OutputError
from faceswap.faces.selection import Selection, selected_faces
from faceswap.faces.trackfile import Analysis, DamagedTracksError, TrackFile
from faceswap.files import beside
from faceswap.media.info import VideoInfo
from faceswap.media.pictures import read_extras, read_picture, write_picture
from faceswap.swapping.convert import Converted, Target, batch_size, converted
from faceswap.swapping.fade import faded
from faceswap.swapping.infer import Swapper
from faceswap.types import Embedding, Frame
from faceswap.visuals.sheets import sheet
from faceswap_pipelines.common.analyse import LEAD_IN, FaceFinder, analyse, followed_frames
from faceswap_pipelines.common.marks import marked_frames, seal_of, write_marked
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.prefetch import depth_for, prefetch
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.swapping.job import FrameCounts, SwapJob, SwapResult, note_of_faded
from faceswap_pipelines.swapping.outputs import Outputs, images_of, locked_outputs, only_one, write_settings
from faceswap_pipelines.swapping.prepare import check_output, open_swapper, pictured, selections_of, track_file
from faceswap_pipelines.swapping.sheet import Samples, close_up, sheet_path

_PATIENCE = 0.5  # seconds between two looks at whether another process is done


def swap(job: SwapJob, models: Models | None = None) -> Run[SwapResult]:
    """Make `job.out`. A run that was killed goes on where it was when it is started again with the same job.

    `models` are those that this process has loaded already. Raises FaceError if there is no face to swap.
    """
    check_output(job)
    models = models or Models()
    swapper, finder = open_swapper(job, models), models.finder(job.device, job.min_face)
    reference = pictured(job, finder)

    with locked_outputs(job):
        check_output(job)  # another one may have ended just now
        if job.footage.is_picture:
            return (yield from _swap_picture(job, swapper, finder, reference))
        try:
            return (yield from _swap_video(job, swapper, finder, reference))
        except DamagedTracksError:
            result = yield from _swap_video(job, swapper, finder, reference)
            return replace(result, notes=(*result.notes, "the track file was damaged: faces were looked for anew"))


@dataclass(frozen=True)
class Cast:
    """Who is where in a film, and who becomes whom."""

    tracks: TrackFile
    analysis: Analysis
    selections: Sequence[Selection]


def _swap_video(job: SwapJob, swapper: Swapper, finder: FaceFinder, reference: Embedding | None) -> Run[SwapResult]:
    start = time.monotonic()
    info, seal = job.footage.info, seal_of(job.model, job.video)
    with ExitStack() as stack:
        outputs = stack.enter_context(Outputs(job, info, seal))

        # First pass: who is where, and who becomes whom.
        cast = yield from first_pass(job, finder, reference, outputs, stack)

        # Second pass: swap and write, each in a thread of its own.
        begun, last = outputs.next, _last(job, info)
        samples = Samples(job.frames[0], last)
        pictures = partial(rendered, job, info, swapper, cast)
        frames = prefetch(samples.taken_from(pictures(begun=begun)), max(1, depth_for(info.width, info.height)))
        stack.callback(frames.close)
        counts = yield from write(job, frames, outputs, first=job.frames[0], last=last)

        # The sheet shows what an earlier run has written, too.
        for index in samples.missing(begun):
            with closing(pictures(begun=index)) as again:
                for made in islice(again, 1):
                    samples.take(made)

        # What lies beside the output is there before the output has its name.
        yield Progress(title=f"Joining and signing {job.out.name}", done=0, total=None, unit="")
        outputs.complete()
        sheet_file, settings = samples.write(job.out, seal), write_settings(job)

    return SwapResult(
        out=str(job.out),
        frames=counts.written,
        swapped=counts.swapped,
        faded=counts.faded,
        frames_per_second=counts.written / (time.monotonic() - start),
        sheet=sheet_file,
        settings=settings,
        notes=(*outputs.notes, *note_of_faded(counts.faded, counts.written)),
    )


def first_pass(
    job: SwapJob, finder: FaceFinder, reference: Embedding | None, outputs: Outputs, stack: ExitStack
) -> Run[Cast]:
    """Find the faces and choose among them; the track file is open until `stack` is closed.

    Raises FaceError or MediaError if there are none to choose from; nothing is left of `outputs` then.
    """
    tracks, analysis = yield from _find(job, finder, stack)
    try:
        selections = selections_of(job, tracks.tracks(analysis), reference, lambda: tracks.frames(analysis))
    except (FaceError, MediaError):
        outputs.discard()
        if not tracks.tracks(analysis):  # otherwise another choice need not look for faces again
            tracks.delete()
        raise
    return Cast(tracks, analysis, selections)


def _find(job: SwapJob, finder: FaceFinder, stack: ExitStack) -> Run[tuple[TrackFile, Analysis]]:
    """Where the faces are, looked for unless that is known already; the track file is open until `stack` is closed."""
    place = track_file(job)
    taken = OutputError(f"faces are being looked for in {job.video} already", "Wait for that to end")
    with ExitStack() as alone:
        while True:
            try:
                alone.enter_context(only_one(beside(place, ".lock", prefix="."), taken))
                break
            except OutputError as error:
                if error is not taken:
                    raise
            yield Progress(title="Waiting for another swap that looks for the same faces", done=0, total=None, unit="")
            time.sleep(_PATIENCE)

        tracks = stack.enter_context(TrackFile(place))
        return tracks, (yield from analyse(job.footage, tracks, finder))


def _last(job: SwapJob, info: VideoInfo) -> int | None:
    """The number of the frame behind the last one, if the file says."""
    stop = job.frames[1]
    if stop is None or info.frame_count is None:
        return info.frame_count if stop is None else stop
    return min(stop, info.frame_count)


def rendered(
    job: SwapJob, info: VideoInfo, swapper: Swapper, cast: Cast, *, begun: int
) -> Generator[Converted, None, None]:
    """The finished pictures of the frames from number `begun` on, the same wherever it begins."""
    look = job.settings.look
    batch = batch_size(info.width, info.height)
    start = _warm_up(cast, first=job.frames[0], start=begun, reach=look.smooth, batch=batch)
    targets = _targets(job, cast, start)
    swapped = converted(targets, swapper, look, job.mask_out is not None)
    yield from dropwhile(lambda made: made.frame.index < begun, marked_frames(swapped, job.settings.label))


def write(
    job: SwapJob, frames: Iterable[Converted], outputs: Outputs, *, first: int, last: int | None
) -> Run[FrameCounts]:
    """Write the frames, and count them; `first` and `last`: between which numbers they and those before them lie."""
    total = None if last is None else max(0, last - first)
    start = time.monotonic()

    counts = FrameCounts()
    for made in frames:
        outputs.write(made)
        counts += FrameCounts(written=1, swapped=int(bool(made.boxes)), faded=int(bool(made.turned)))
        done = made.frame.index + 1 - first
        del made  # a large picture: it may go before the next one comes

        yield Progress(
            title=f"Swapping {job.video.name}",
            done=done,
            total=total,
            unit="frames",
            note=f"{counts.written / (time.monotonic() - start):.1f} frames/s",
        )
    return counts


def _targets(job: SwapJob, cast: Cast, start: int) -> Iterator[tuple[Frame, list[Target]]]:
    """Each frame from number `start` with its faces, who they become, and how opaque the swap is."""
    opacities = faded(cast.tracks.frames(cast.analysis, start - LEAD_IN), job.settings.look.fade)
    fades = (opacity for frame, opacity in opacities if frame.index >= start)
    followed = followed_frames(job.footage, cast.tracks, cast.analysis, start)
    for (frame, faces), opacity in zip(followed, fades, strict=True):
        chosen = selected_faces(cast.selections, faces.faces)
        yield frame, [Target(face, person, opacity[face.track]) for face, person in chosen]


def _warm_up(cast: Cast, *, first: int, start: int, reach: float, batch: int) -> int:
    """Where to begin, so that frame `start` has all of its neighbours within `reach` seconds, and every batch is as it
    would have been without an interruption: a batch's first frame, of those that are counted from `first`."""
    near = cast.tracks.frames(cast.analysis, start - LEAD_IN)
    known = list(takewhile(lambda frame: frame.index <= start, near))
    if not known:
        return start
    earliest = next(frame.index for frame in known if known[-1].time - frame.time <= reach)
    return max(first, first + (earliest - first) // batch * batch)


def _swap_picture(job: SwapJob, swapper: Swapper, finder: FaceFinder, reference: Embedding | None) -> Run[SwapResult]:
    seal, start_time = seal_of(job.model, job.video), time.monotonic()
    yield Progress(title=f"Swapping {job.video.name}", done=0, total=1, unit="frames")

    found, frames = finder.look_at([read_picture(job.video)])
    selections = selections_of(job, found, reference, lambda: [faces for _, faces in frames])
    [(frame, faces)] = frames
    targets = [Target(face, person) for face, person in selected_faces(selections, faces.faces)]

    swapped = converted([(frame, targets)], swapper, job.settings.look, job.mask_out is not None)
    made = next(marked_frames(swapped, job.settings.label))

    # The picture comes last: where it is, all that lies beside it is, too.
    place, rows = sheet_path(job.out), [("before and after", [frame.image, made.image]), ("", close_up(made))]
    write_marked(place, sheet(rows, side=512), seal)

    settings, extras = write_settings(job), read_extras(job.video)
    for path, image in reversed(list(zip((job.out, job.mask_out), images_of(made), strict=False))):
        assert path is not None  # a mask is made only if there is a place for it
        is_out = path == job.out
        write_picture(path, image, quality=95, seal=seal if is_out else None, extras=extras if is_out else None)

    seconds = time.monotonic() - start_time
    faded = int(made.turned > 0)
    return SwapResult(
        out=str(job.out),
        frames=1,
        swapped=int(bool(made.boxes)),
        faded=faded,
        frames_per_second=1 / seconds,
        sheet=str(place),
        settings=settings,
        notes=note_of_faded(faded, frames=1),
    )
