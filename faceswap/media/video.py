"""Reading videos: what is in a file (`probe`) and its frames, one at a time (`read_frames`).

Every frame comes out as a viewer would see it: turned upright by the file's rotation tag, in full-range RGB by the
file's colour tags, and with the time that the file gives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from faceswap.errors import MediaError
from faceswap.types import Frame, Picture

# FFmpeg's demuxers for things that it can show but that are no videos: pictures, terminal art, playlists.
_NO_VIDEO_FORMATS = {"image2", "tty", "hls", "dash", "concat", "sdp"}

# Unbiased rounding: the fast default darkens every frame by a level.
_ACCURATE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
# With interpolated chroma, RGB and back to YUV returns the same video. Where swscale converts primaries or transfer, too,
# it takes chroma for something else under this flag, and skin comes out blue.
_EXACT_CHROMA = _ACCURATE | Interpolation.FULL_CHR_H_INT

# H.273 matrix coefficients (the tag in the file): its name, and what swscale calls it.
_MATRICES = {
    1: ("bt709", Colorspace.ITU709),
    4: ("fcc", Colorspace.FCC),
    5: ("bt470bg", Colorspace.ITU601),
    6: ("smpte170m", Colorspace.ITU601),
    7: ("smpte240m", Colorspace.SMPTE240M),
    9: ("bt2020nc", Colorspace.BT2020),
    10: ("bt2020c", Colorspace.BT2020),
}
_HDR_TRANSFERS = {ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67}
_WIDE_PRIMARIES = {ColorPrimaries.BT2020, ColorPrimaries.SMPTE431, ColorPrimaries.SMPTE432}
"""Of BT.2020, DCI-P3 and Display P3: shown as if they were BT.709's, colours are a fifth too dull."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says about its (best) video stream, and whether it has sound."""

    path: Path
    width: int
    """Pixels, as displayed: after rotation."""
    height: int
    rotation: int
    """Degrees clockwise (0, 90, 180 or 270) from the stored picture to the displayed one."""
    pixel_aspect: Fraction
    """Width over height of one displayed pixel; 1 for nearly all videos."""
    frame_rate: Fraction
    """Average frames per second; single frames may last shorter or longer."""
    frame_count: int | None
    """An estimate from the header, or None where it says nothing."""
    duration: Fraction | None
    """Seconds."""
    time_base: Fraction
    """Seconds per tick: every frame's time is a whole number of ticks."""
    codec: str
    bit_depth: int
    color_matrix: str
    """The matrix that made YUV of RGB, by FFmpeg's name: "bt709", "smpte170m", ... or "untagged"."""
    full_range: bool
    """Whether luma fills 0..255 (of 8 bits) rather than 16..235."""
    has_audio: bool


def probe(path: Path) -> VideoInfo:
    """What is in the video at `path`; decodes its first frame to be sure that it can be read.

    Raises:
        MediaError: there is no such file, it is empty or cut short, or it is no video.
    """
    with open_video(path) as container:
        stream = video_stream(container, path)
        first = next(_decode(container, stream), None)
        if first is None:
            raise MediaError(
                f"{path} holds no frame that can be decoded ({stream.codec_context.name})",
                "The file is damaged or its codec is unknown here: copy it again or convert it to H.264",
            )
        rotation = _clockwise(first.rotation)
        sideways = rotation in (90, 270)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return VideoInfo(
            path=path,
            width=first.height if sideways else first.width,
            height=first.width if sideways else first.height,
            rotation=rotation,
            pixel_aspect=1 / aspect if sideways else aspect,
            frame_rate=_frame_rate(stream),
            frame_count=_frame_count(container, stream),
            duration=_duration(container, stream),
            time_base=_time_base(stream),
            codec=stream.codec_context.name,
            bit_depth=first.format.components[0].bits,
            color_matrix=_MATRICES[first.colorspace][0] if first.colorspace in _MATRICES else "untagged",
            full_range=first.color_range == ColorRange.JPEG,
            has_audio=bool(container.streams.audio),
        )


def read_frames(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """The frames `start`, `start` + 1, ... up to but without `stop` (the end of the file if None), one at a time.

    Decodes from the beginning whatever `start` is, so that an index always means the same frame. Times strictly
    increase: a frame without a time of its own comes one frame duration, one whose time runs backwards comes one
    tick after the frame before it. Damaged places are skipped: what can be decoded comes out.
    HDR (PQ, HLG) is mapped to BT.709, wide primaries (BT.2020, P3) are converted to it; frames that change size midway
    are scaled to the size of the first.

    Raises:
        MediaError: on the first `next`, as `probe` does.
    """
    info = probe(path)
    with open_video(path) as container:
        stream = video_stream(container, path)
        reformatter = VideoReformatter()
        timed = _with_ticks(_decode(container, stream), info)
        for index, (picture, ticks) in enumerate(islice(timed, stop)):
            if index >= start:
                image = _upright_rgb(picture, info, reformatter)
                yield Frame(image=image, index=index, time=ticks * info.time_base)


def sample_frames(path: Path, count: int, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """About `count` frames, evenly from those between `start` and `stop`, without decoding all that lies between.

    Their indices are estimated from their times where single frames last shorter or longer. Of a video that does not
    say how long it is, the first ones come. Raises MediaError on the first `next`.
    """
    info = probe(path)
    known = start + count if info.frame_count is None else info.frame_count
    span = max(0, min(known, known if stop is None else stop) - start)
    wanted = sorted({start + int(span * (i + 0.5) / count) for i in range(count if span else 0)})
    with open_video(path) as container:
        stream = video_stream(container, path)
        reformatter = VideoReformatter()
        begin = stream.start_time or 0
        for index in wanted:
            ticks = begin + round(index / (info.frame_rate * info.time_base))
            with suppress(av.FFmpegError):  # a file that cannot be searched is read on from where it is
                container.seek(ticks, stream=stream)
            later = (f for f in _decode(container, stream) if f.pts is None or f.pts >= ticks)
            picture = next(later, None)
            if picture is not None:
                at = ticks if picture.pts is None else picture.pts
                yield Frame(_upright_rgb(picture, info, reformatter), index, at * info.time_base)


def open_video(path: Path) -> InputContainer:
    """The opened file at `path`, to be closed by the caller (`with`). Raises MediaError as `probe` does."""
    _check_file(path)
    try:
        # Absolute, and files only: neither a name like "http:x" nor a playlist's content may open a connection.
        container = av.open(str(path.absolute()), "r", options={"protocol_whitelist": "file"})
    except PermissionError:
        raise MediaError(f"{path} may not be read", "Give yourself permission to read it") from None
    except (av.FFmpegError, OSError):
        raise _unreadable(path) from None
    formats = set(container.format.name.split(","))
    if formats & _NO_VIDEO_FORMATS or container.format.name.endswith("_pipe"):
        container.close()
        raise MediaError(f"{path} is not a video", "Give a video file such as .mp4, .mov or .mkv")
    return container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream to show, with threaded decoding switched on; cover art does not count. Raises MediaError."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise MediaError(f"{path} has no video in it, only sound or other data", "Give a file with a video track")
    stream.codec_context.thread_type = "AUTO"
    return stream


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise MediaError(f"{path} is a folder, not a video", "Give one of the video files inside it")
    if not path.exists():
        raise MediaError(f"{path} does not exist", "Check the file's name and folder")
    if not path.is_file():
        raise MediaError(f"{path} is not a regular file", "Give a video file such as .mp4, .mov or .mkv")
    if path.stat().st_size == 0:
        raise MediaError(f"{path} is empty (0 bytes)", "Copy or download it again")


def _unreadable(path: Path) -> MediaError:
    with path.open("rb") as file:
        is_mp4 = file.read(8)[4:] == b"ftyp"
    if is_mp4:
        problem = f"{path} is cut short: the index at the end of an MP4 or MOV file is missing or damaged"
        return MediaError(problem, "Copy or download it again; a recording that broke off needs a repair tool")
    return MediaError(f"{path} is not a video, or is damaged", "Give a video file such as .mp4, .mov or .mkv")


def _clockwise(counterclockwise: float) -> int:
    return -round(counterclockwise / 90) * 90 % 360


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 90_000)


def _frame_rate(stream: VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or Fraction(25)


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    if stream.duration is not None:
        return stream.duration * _time_base(stream)
    return None if container.duration is None else Fraction(container.duration, av.time_base)


def _frame_count(container: InputContainer, stream: VideoStream) -> int | None:
    duration = _duration(container, stream)
    return stream.frames or (None if duration is None else round(duration * _frame_rate(stream)))


def _decode(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Every picture that can be decoded, in presentation order; damaged packets are passed over."""
    for packet in _packets(container, stream):
        try:
            pictures = stream.decode(packet)
        except av.FFmpegError:
            continue
        yield from pictures


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream] | None]:
    """The stream's packets up to the end, or to where the file breaks off; then None, which flushes the decoder."""
    with suppress(av.FFmpegError):
        yield from (packet for packet in container.demux(stream) if packet.size)
    yield None


def _with_ticks(pictures: Iterable[av.VideoFrame], info: VideoInfo) -> Iterator[tuple[av.VideoFrame, int]]:
    """Each picture with its time in ticks, made strictly increasing."""
    nominal = max(1, round(1 / (info.frame_rate * info.time_base)))
    ticks = -nominal
    for index, picture in enumerate(pictures):
        if picture.pts is None:
            ticks += nominal
        else:
            ticks = picture.pts if index == 0 else max(picture.pts, ticks + 1)
        yield picture, ticks


def _upright_rgb(picture: av.VideoFrame, info: VideoInfo, reformatter: VideoReformatter) -> Picture:
    """The picture as full-range RGB, as displayed."""
    sideways = info.rotation in (90, 270)
    is_hdr = picture.color_trc in _HDR_TRANSFERS
    if is_hdr and picture.color_primaries == ColorPrimaries.UNSPECIFIED:
        picture.color_primaries = ColorPrimaries.BT2020  # there is no other HDR
    is_wide = picture.color_primaries in _WIDE_PRIMARIES

    rgb = reformatter.reformat(
        picture,
        width=info.height if sideways else info.width,
        height=info.width if sideways else info.height,
        format="rgb24",
        src_colorspace=None if picture.format.is_rgb else _matrix(picture),
        dst_color_range=ColorRange.JPEG,
        dst_color_trc=ColorTrc.BT709 if is_hdr else None,
        dst_color_primaries=ColorPrimaries.BT709 if is_hdr or is_wide else None,
        interpolation=_ACCURATE if is_hdr or is_wide else _EXACT_CHROMA,
    )
    image = rgb.to_ndarray().astype(np.uint8, copy=False)
    return np.ascontiguousarray(np.rot90(image, -info.rotation // 90))


def _matrix(picture: av.VideoFrame) -> Colorspace:
    """The matrix to undo. Players agree on a guess for untagged videos: HD is BT.709, smaller ones BT.601."""
    if picture.colorspace in _MATRICES:
        return _MATRICES[picture.colorspace][1]
    return Colorspace.ITU709 if picture.height >= 720 else Colorspace.ITU601
