"""Writing videos so that no work is lost: finished segments outlive any interruption, SIGKILL included.

out.mp4                       appears whole, at the end, or not at all
.out.mp4.partial/             while the work goes on
    signature                 what is being made; another signature discards the folder
    000000.nut 000001.nut     finished segments, each renamed from .part when whole (.mov for ProRes)

Several processes, on several machines if need be, can write one film: each opens a writer for some of the frames, and
in the end one that has all frames finds every segment there and joins them.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from faceswap.errors import OutputError
from faceswap.files import beside, open_work_folder, replaced
from faceswap.media.codecs import CONTAINERS, Encoding
from faceswap.media.info import VideoInfo
from faceswap.media.pictures import with_alpha
from faceswap.media.sound import Sound, SoundTrack, made_packets, plan_sound
from faceswap.media.video_mux import Segment, join, lost_tracks
from faceswap.types import Alpha, Picture, Seal

_BT709 = 1
_DEFAULT = Encoding()
_ACCURATE = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)


def open_writer(
    out: Path,
    source: VideoInfo,
    *,
    encoding: Encoding = _DEFAULT,
    segment_frames: int = 60,
    excerpt: bool = False,
    only: range | None = None,
    signature: str,
    seal: Seal | None = None,
) -> SegmentedWriter:
    """A writer for the edited copy of `source`, to be used in a `with` block; goes on where an earlier one stopped.

    Args:
        out: .mp4, .m4v, .mov or .mkv; replaced if it exists when everything is written.
        source: gives size, time base and, at the end, audio, subtitles and chapters.
        encoding: how to encode it.
        segment_frames: how many frames an interruption can cost at most.
        excerpt: whether only some of the source's frames are to be written: then the output begins at zero, with the
            sound that belongs to these frames, but neither subtitles nor chapters.
        only: some of the frames that are to be written, counted from the output's first; they begin with a segment.
            Others are written by other processes meanwhile: their segments stay, and nothing is joined.
        signature: names everything that decides the pictures (input, model, settings): work that was begun under
            another signature, or with other arguments here, is thrown away.
        seal: what the whole file goes through before it appears.

    Raises:
        OutputError: `out` has another suffix, is the source itself, cannot hold this codec, or cannot be written.
    """
    _check_destination(out, source, encoding)
    sound, notes = ([], []) if source.stands_alone else (plan_sound(source.path, out.suffix), lost_tracks(source, out))
    if source.has_alpha and encoding.kind.alpha is None:
        notes = [*notes, "transparency is laid on black: ProRes (.mov), FFV1 (.mkv) and folders of pictures keep it"]
    encoding.encoder()  # raises now what it would raise at the first frame

    # What is there of this very work is gone on with.
    size = f"{source.width}x{source.height} {source.time_base}"
    folder = beside(out, ".partial", prefix=".")
    with _output_errors(out):
        present = open_work_folder(folder, f"{signature}\n{size}\n{encoding} {segment_frames}\nPyAV {av.__version__}\n")
        numbers = count() if only is None else _numbers_of(only, segment_frames)
        segments = list(_finished_segments(folder, numbers, encoding.kind.segment, source.time_base))
        for leftover in set(present) - {segment.path for segment in segments} if only is None else ():
            leftover.unlink()

    return SegmentedWriter(
        _Plan(
            out=out,
            source=source,
            encoding=encoding,
            segment_frames=segment_frames,
            excerpt=excerpt,
            only=only,
            folder=folder,
            segments=segments,
            sound=sound,
            notes=notes,
            seal=seal,
        )
    )


def write_clip(
    out: Path,
    images: Iterable[Picture],
    frame_rate: Fraction,
    encoding: Encoding = _DEFAULT,
    sound: Sound | None = None,
) -> None:
    """Writes pictures of one size as an .mp4 that appears whole or not at all, silent without `sound`.

    Raises OutputError.
    """
    pictures = iter(images)
    first = next(pictures)
    height, width = first.shape[:2]

    shape = VideoInfo(
        path=out,
        width=width,
        height=height,
        rotation=0,
        pixel_aspect=Fraction(1),
        frame_rate=frame_rate,
        frame_count=None,
        duration=None,
        time_base=1 / frame_rate,
        codec="h264",
        bit_depth=8,
        color_matrix="bt709",
        full_range=False,
        has_audio=False,
    )

    with _output_errors(out), replaced(out) as fresh:
        encoder = _SegmentEncoder(fresh, shape, encoding, "mp4")
        try:
            if sound is not None:
                encoder.add_sound(sound)
            for index, picture in enumerate(chain([first], pictures)):
                encoder.encode(picture, index)
        finally:
            encoder.close()


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """All that is known of an output before its first frame."""

    out: Path
    source: VideoInfo
    encoding: Encoding
    segment_frames: int
    excerpt: bool
    only: range | None
    folder: Path
    segments: list[Segment]
    sound: list[SoundTrack]
    notes: list[str]
    seal: Seal | None


class SegmentedWriter:
    """Encodes frames into segments on disk; leaving the `with` block joins them into the output.

    BT.709, limited range (or RGB, where the codec keeps that), upright. Where a codec keeps colours for pairs of
    pixels, an odd width or height grows by one replicated column or row. Made by `open_writer`; one for `only` some
    frames leaves the joining to another.
    """

    def __init__(self, plan: _Plan) -> None:
        self._plan = plan
        self._out, self._source, self._folder = plan.out, plan.source, plan.folder
        self._segments = plan.segments
        self._number = len(plan.segments) + (plan.only.start // plan.segment_frames if plan.only is not None else 0)
        self._encoder: _SegmentEncoder | None = None
        self._whole, self._joined = plan.folder / f"whole{plan.out.suffix}", False
        self.notes = [*(track.note for track in plan.sound if track.note), *plan.notes]
        """What the user should know of the output: tracks that are not simply copied."""

    @property
    def frames_done(self) -> int:
        """How many of its frames the finished segments hold: go on with `read_frames(start=frames_done)`."""
        return sum(len(segment.ticks) for segment in self._segments)

    def write(self, image: Picture, time: Fraction, alpha: Alpha | None = None) -> None:
        """Encodes the next frame, shown at `time` seconds, with its opacity (as `read_frames` gave them).

        Raises:
            OutputError: the disk is full or cannot be written.
            ValueError: the picture has not the source's size, or the time is not later than the one before.
        """
        expected = (self._source.height, self._source.width, 3)
        if image.shape != expected or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 {expected}, got {image.dtype} {image.shape}")

        with _output_errors(self._out):
            if self._encoder is None:
                # A machine that is taken for dead may still be writing the same: each has a name of its own.
                path = self._folder / f"{self._number:06d}.{uuid4().hex}.part"
                muxer = self._plan.encoding.kind.segment
                self._encoder = _SegmentEncoder(path, self._source, self._plan.encoding, muxer)
            self._encoder.encode(image, self._next_ticks(time), alpha)

            if len(self._encoder.ticks) == self._plan.segment_frames:
                self._finish_segment(self._encoder)

    def complete(self) -> None:
        """Joins what was written; leaving the block then only gives it its name. Raises OutputError."""
        with _output_errors(self._out):
            self._join()

    def discard(self) -> None:
        """Throws away all that was written: nothing is left on disk. The writer cannot be used any more."""
        self._drop_unfinished()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> SegmentedWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """Joins the segments into the output, if it has all; on an exception keeps the finished ones for the next
        attempt."""
        if kind is not None:
            self._drop_unfinished()
            return
        try:
            with _output_errors(self._out):
                self._finish()
        finally:
            self._drop_unfinished()

    def _next_ticks(self, time: Fraction) -> int:
        ticks = round(time / self._source.time_base)
        written = self._encoder.ticks if self._encoder else []
        latest = written[-1] if written else self._segments[-1].ticks[-1] if self._segments else None
        if latest is not None and ticks <= latest:
            raise ValueError(f"frame times must increase: tick {ticks} comes after tick {latest}")
        return ticks

    def _finish_segment(self, encoder: _SegmentEncoder) -> None:
        encoder.close()
        _sync(encoder.path)
        finished = _segment_file(self._folder, self._number, self._plan.encoding.kind.segment)
        os.replace(encoder.path, finished)
        self._segments.append(Segment.read(finished, self._source.time_base))
        self._number += 1
        self._encoder = None

    def _drop_unfinished(self) -> None:
        if self._encoder is not None:
            with suppress(OSError, av.FFmpegError):
                self._encoder.close()
            self._encoder.path.unlink(missing_ok=True)
            self._encoder = None

    def _finish(self) -> None:
        if self._plan.only is not None:
            if self._encoder is not None:  # the film's last, which may be short
                self._finish_segment(self._encoder)
            return

        self._join()
        os.replace(self._whole, self._out)
        shutil.rmtree(self._folder)

    def _join(self) -> None:
        if self._joined:
            return

        if self._encoder is not None:
            self._finish_segment(self._encoder)
        if not self._segments:
            raise OutputError(f"No frame was written to {self._out}", "Choose a range of frames that is not empty")

        muxer = CONTAINERS[self._out.suffix.lower()]
        join(self._segments, self._source, self._whole, muxer, sound=self._plan.sound, excerpt=self._plan.excerpt)

        if self._plan.seal:
            self._plan.seal(self._whole, self._out.name)
        _sync(self._whole)
        self._joined = True


class _SegmentEncoder:
    """One segment in the making: starts with a key frame and depends on no other segment."""

    def __init__(self, path: Path, source: VideoInfo, encoding: Encoding, muxer: str) -> None:
        self.path = path

        self.ticks: list[int] = []
        self._time_base = source.time_base
        self._reformatter = VideoReformatter()
        self._has_alpha = source.has_alpha and encoding.kind.alpha is not None
        self._pixels = encoding.kind.pixels
        self._even = encoding.kind.even

        # NUT would move the whole segment so that its first decoding time, before zero with B-frames, were zero.
        options = {"avoid_negative_ts": "disabled"} if muxer == "nut" else _exact_times(source)

        encoder, settings = encoding.encoder(source.width * source.height)
        if self._has_alpha and encoding.kind.alpha:
            self._pixels, more = encoding.kind.alpha
            settings |= more
        self._container = av.open(str(path), "w", format=muxer, options=options)
        stream = self._container.add_stream(
            encoder,
            rate=source.frame_rate,
            width=source.width + source.width % 2 * self._even[0],
            height=source.height + source.height % 2 * self._even[1],
            pix_fmt=self._pixels,
            time_base=source.time_base,
            options=settings,
        )

        assert isinstance(stream, VideoStream)
        self._stream, context = stream, stream.codec_context

        context.sample_aspect_ratio = source.pixel_aspect
        if self._yuv:
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = ColorRange.MPEG

    @property
    def _yuv(self) -> bool:
        return self._pixels.startswith("yuv")

    def add_sound(self, sound: Sound) -> None:
        """Before the first picture."""
        self._container.mux(list(made_packets(self._container, sound)))

    def encode(self, image: Picture, ticks: int, alpha: Alpha | None = None) -> None:
        # What is not transparent is opaque.
        stored, kind = image, "rgb24"
        if self._has_alpha:
            stored = with_alpha(image, np.full(image.shape[:2], 255, np.uint8) if alpha is None else alpha)
            kind = "rgba"

        # Codecs that want even sides get a border.
        height, width = image.shape[:2]
        room = ((0, height % 2 * self._even[1]), (0, width % 2 * self._even[0]), (0, 0))
        if height % 2 or width % 2:
            stored = np.pad(stored, room, mode="edge")
        frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(stored), kind)

        if self._yuv:
            frame = self._reformatter.reformat(
                frame,
                format=self._pixels,
                src_color_range=ColorRange.JPEG,
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
                interpolation=_ACCURATE,
            )
            frame.color_trc, frame.color_primaries = ColorTrc.BT709, ColorPrimaries.BT709
        else:
            frame = self._reformatter.reformat(frame, format=self._pixels)

        frame.pts, frame.time_base = ticks, self._time_base
        self._container.mux(self._stream.encode(frame))
        self.ticks.append(ticks)

    def close(self) -> None:
        """Encodes what is still held back and ends the file; raises on a full disk."""
        try:
            self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def _exact_times(source: VideoInfo) -> dict[str, str]:
    """Options with which MP4 and MOV keep the source's time base."""
    return {name: str(source.time_base.denominator) for name in ("movie_timescale", "video_track_timescale")}


def check_kind(out: Path, encoding: Encoding) -> None:
    """Raises OutputError if `out` is no kind of video that can be written and hold this codec."""
    if out.suffix.lower() not in CONTAINERS:
        kinds = ", ".join(CONTAINERS)
        raise OutputError(f"{out} would be a kind of video that cannot be written", f"Use one of {kinds}")
    if out.suffix.lower() not in encoding.kind.suffixes:
        kinds = ", ".join(encoding.kind.suffixes)
        raise OutputError(f"a {out.suffix} file cannot hold {encoding.codec}", f"Use one of {kinds}")


def _check_destination(out: Path, source: VideoInfo, encoding: Encoding) -> None:
    check_kind(out, encoding)
    if not out.parent.is_dir():
        raise OutputError(f"The folder {out.parent} does not exist", "Create it or choose another place")
    if out.is_dir():
        raise OutputError(f"{out} is a folder", "Choose another name for the video")
    if out.exists() and out.samefile(source.path):
        raise OutputError(f"{out} is the input itself", "Choose another name for the output")


def _numbers_of(frames: range, segment_frames: int) -> range:
    """The numbers of the segments that hold these frames."""
    return range(frames.start // segment_frames, -(-frames.stop // segment_frames))


def _segment_file(folder: Path, number: int, suffix: str) -> Path:
    return folder / f"{number:06d}.{suffix}"


def _finished_segments(folder: Path, numbers: Iterable[int], suffix: str, time_base: Fraction) -> Iterator[Segment]:
    """The whole segments of these numbers, up to the first that is missing or damaged."""
    with suppress(av.FFmpegError):
        for number in numbers:
            yield Segment.read(_segment_file(folder, number, suffix), time_base)


def _sync(path: Path) -> None:
    """Returns when the file is on the disk, not only in the system's cache."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def _output_errors(out: Path) -> Iterator[None]:
    """Turns what the system says about writing into an OutputError with a remedy."""
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        if error.errno == errno.ENOSPC:
            remedy = "Free some space and run the same again: it goes on where it stopped"
            raise OutputError(f"The disk is full while writing {out}", remedy) from error
        if isinstance(error, OSError):
            remedy = "Check that the folder may be written to and has space, then run the same again"
        else:
            remedy = "Try another kind of file, such as .mkv"
        raise OutputError(f"{out} cannot be written ({error.strerror})", remedy) from error
