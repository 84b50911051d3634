"""A swap in segments, which several processes or machines do together.

The first pass looks at the whole video, so that cuts, tracks and who becomes whom are decided once; each segment is
then swapped with the frames around it that smoothing needs, and lies where an ordinary swap would have put it.
What is left of the job is an ordinary swap, which finds all frames there and joins them.
"""

from __future__ import annotations

from contextlib import ExitStack
from itertools import islice, pairwise

from faceswap.faces.trackfile import TrackFile
from faceswap_pipelines.common.marks import seal_of
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.prefetch import depth_for, prefetch
from faceswap_pipelines.common.progress import Run
from faceswap_pipelines.swapping.job import FirstPassJob, FirstPassResult, FrameCounts, SegmentJob
from faceswap_pipelines.swapping.outputs import SEGMENT_FRAMES, Outputs
from faceswap_pipelines.swapping.prepare import check_output, open_swapper, pictured, track_file
from faceswap_pipelines.swapping.run import Cast, first_pass, rendered, write
from faceswap_pipelines.swapping.sheet import without_original


def find_segments(job: FirstPassJob, models: Models) -> Run[FirstPassResult]:
    """Find the faces, and cut the video into segments; the outputs are begun, and what is there of them stays.

    Raises what `swap` raises before its second pass.
    """
    check_output(job)
    open_swapper(job, models)  # raises now what it would raise then
    finder = models.finder(job.device, job.min_face)
    reference = pictured(job, finder)

    first = job.frames[0]
    with ExitStack() as stack:
        outputs = stack.enter_context(Outputs(job, job.footage.info, seal_of(job.model, job.video), (first, first)))
        cast = yield from first_pass(job, finder, reference, outputs, stack)
        cast.tracks.flush()
        count = cast.tracks.count(cast.analysis)

    return FirstPassResult(
        segments=tuple((first + begin, first + stop) for begin, stop in borders(count, job.segments)),
        selections=tuple(cast.selections),
    )


def borders(count: int, segments: int) -> list[tuple[int, int]]:
    """First frame and the one to stop before of segments of `count` frames: as many as wanted, if there are enough
    frames, and as even as what a writer makes of them allows."""
    pieces = -(-count // SEGMENT_FRAMES)
    segments = max(1, min(segments, pieces))
    starts = [SEGMENT_FRAMES * (number * pieces // segments) for number in range(segments)]
    return list(pairwise([*starts, count]))


def swap_segment(job: SegmentJob, models: Models) -> Run[FrameCounts]:
    """Swap the frames of one segment; a run that was killed goes on where it was."""
    first, stop = job.span
    info = job.footage.info

    with ExitStack() as stack:
        outputs = stack.enter_context(Outputs(job, info, seal_of(job.model, job.video), job.span))
        begun = outputs.next
        if begun == stop:
            return FrameCounts()

        tracks = stack.enter_context(TrackFile(track_file(job), unchanging=True))
        analysis = tracks.analysis(job.footage.fingerprint(job.min_face), job.frames[0])
        cast = Cast(tracks, analysis, job.selections)

        pictures = rendered(job, info, open_swapper(job, models), cast, begun=begun)
        stack.callback(pictures.close)
        wanted = map(without_original, islice(pictures, stop - begun))
        frames = prefetch(wanted, max(1, depth_for(info.width, info.height)))
        stack.callback(frames.close)
        return (yield from write(job, frames, outputs, first=first, last=stop))
