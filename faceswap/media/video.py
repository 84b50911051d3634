"""Reading videos: what is in a file (`probe`) and its frames, one at a time (`read_frames`).

Every frame comes out as a viewer would see it: turned upright (and mirrored) by the file's display matrix, whole where
it was interlaced, in full-range RGB by the file's colour tags, and with the time that the file gives it, counted from
its beginning.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from functools import lru_cache
from itertools import chain, islice
from math import atan2, degrees
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.packet import Packet
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from faceswap.errors import MediaError
from faceswap.media.animation import probe_animation, read_animation
from faceswap.media.gamut import BT2020, DISPLAY_P3, narrowed
from faceswap.media.info import VideoInfo
from faceswap.media.kinds import is_animated_webp, is_video
from faceswap.media.limits import make_smaller, max_pixels, starved
from faceswap.media.pictures import on_black
from faceswap.types import Alpha, Frame, Picture

# FFmpeg's demuxers for things that it can show but that are no videos: pictures, terminal art, playlists.
_NO_VIDEO_FORMATS = {"image2", "tty", "hls", "dash", "concat", "sdp"}

# Unbiased rounding: the fast default darkens every frame by a level.
_ACCURATE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
# With interpolated chroma, RGB and back to YUV returns the same video. Where swscale converts primaries or transfer,
# too, it takes chroma for something else under this flag, and skin comes out blue.
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
_WIDE_PRIMARIES: dict[int, int] = {
    ColorPrimaries.BT2020: BT2020,
    ColorPrimaries.SMPTE431: DISPLAY_P3,  # DCI's white is another one, which cameras and editors leave out
    ColorPrimaries.SMPTE432: DISPLAY_P3,
}
"""Shown as if they were BT.709's, colours are a fifth too dull."""

_TRANSPARENT = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that know transparency, by the codec."""
_DECODED_PIXELS = 136_000_000  # of frames that are decoded side by side: four of 8K, in 200 megabytes
_UNTIMED = 8  # pictures before the first that has a time
_REORDERED = 16  # pictures that a decoder may hold back: no codec has more


def probe(path: Path) -> VideoInfo:
    """What is in the video at `path`; decodes its first frame to be sure that it can be read.

    Raises:
        MediaError: there is no such file, it is empty or cut short, or it is no video.
    """
    if is_animated_webp(path):
        return probe_animation(path)

    with open_video(path) as container:
        stream = video_stream(container, path)
        first, first_tick = next(_timed(_decode(container, stream), stream), (None, 0))
        if first is None:
            raise MediaError(
                f"{path} holds no frame that can be decoded ({stream.codec_context.name})",
                "The file is damaged or its codec is unknown here: copy it again or convert it to H.264",
            )

        rotation, mirrored = _orientation(first)
        sideways = rotation in (90, 270)
        aspect = stream.sample_aspect_ratio or Fraction(1)

        # A clock that begins at 0 is kept, a late first frame, too: sound may come before it.
        begins_late = (container.start_time or 0) > 0
        zero_tick = first_tick if begins_late or _is_dts_clock(container) else 0

        return VideoInfo(
            path=path,
            width=first.height if sideways else first.width,
            height=first.width if sideways else first.height,
            rotation=rotation,
            pixel_aspect=1 / aspect if sideways else aspect,
            frame_rate=_frame_rate(stream),
            frame_count=_frame_count(container, stream, path),
            duration=_duration(container, stream),
            time_base=_time_base(stream),
            codec=stream.codec_context.name,
            bit_depth=first.format.components[0].bits,
            color_matrix=_MATRICES[first.colorspace][0] if first.colorspace in _MATRICES else "untagged",
            full_range=first.color_range == ColorRange.JPEG,
            has_audio=bool(container.streams.audio),
            mirrored=mirrored,
            interlaced=first.interlaced_frame,
            has_alpha=_has_alpha(first),
            first_tick=first_tick,
            zero_tick=zero_tick,
            # Pictures alone wait for being decoded.
            zero=Fraction(0) if _is_dts_clock(container) else zero_tick * _time_base(stream),
        )


def read_frames(
    path: Path, start: int = 0, stop: int | None = None, known: Mapping[int, Fraction] | None = None
) -> Iterator[Frame]:
    """The frames `start`, `start` + 1, ... up to but without `stop` (the end of the file if None), one at a time.

    Decodes from the beginning whatever `start` is, so that an index always means the same frame; only where the times
    of this frame and of those before it are `known`, by index, from an earlier reading, and lead for sure to the same
    pictures, decoding begins at a key frame among them.

    Times strictly increase: a frame without a time of its own comes one frame duration, one whose time runs backwards
    comes one tick after the frame before it. They count from the first frame where the file's clock begins later than
    at 0. Damaged places are skipped: what can be decoded comes out. Interlaced frames are deinterlaced (bwdif).
    HDR (PQ, HLG) is mapped to BT.709, wide primaries (BT.2020, P3) are converted to it; frames that change size midway
    are scaled to the size of the first.

    Raises:
        MediaError: on the first `next`, as `probe` does.
    """
    if is_animated_webp(path):
        yield from read_animation(path, start, stop)
        return

    info = probe(path)
    with ExitStack() as stack:
        wanted = None
        if start > 0 and known:
            container = stack.enter_context(open_video(path))
            wanted = _entered(container, video_stream(container, path), info, start, known)
        if wanted is None:
            container = stack.enter_context(open_video(path))
            stream = video_stream(container, path)
            wanted = islice(_timed(_whole(container, stream, info), stream), start, None)

        reformatter = stack.enter_context(_reformatter(info))
        count = None if stop is None else max(0, stop - start)
        for index, (picture, ticks) in enumerate(islice(wanted, count), start=start):
            yield _frame(picture, index, ticks, info, reformatter)


def sample_frames(path: Path, count: int, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """About `count` frames, evenly from those between `start` and `stop`, without decoding all that lies between where
    the file has an index.

    Their indices are estimated from their times where single frames last shorter or longer. Raises MediaError on the
    first `next`.
    """
    info = probe(path)
    known = start + count if info.frame_count is None else info.frame_count
    span = max(0, min(known, known if stop is None else stop) - start)
    wanted = sorted({start + int(span * (i + 0.5) / count) for i in range(count if span else 0)})

    if is_animated_webp(path):
        yield from (frame for frame in read_animation(path) if frame.index in wanted)
        return

    with open_video(path) as container, _reformatter(info) as reformatter:
        stream = video_stream(container, path)
        for number, index in enumerate(wanted):
            sought = _sought(container, stream, info, index)
            if sought is None:  # there is no index to find frames by
                yield from _picked(path, wanted[number:])
                return
            picture, ticks = sought
            yield _frame(picture, index, ticks, info, reformatter)


def _entered(
    container: InputContainer, stream: VideoStream, info: VideoInfo, start: int, known: Mapping[int, Fraction]
) -> Iterator[tuple[av.VideoFrame, int]] | None:
    """The pictures from number `start` on, with their times in ticks, by way of a key frame whose time is `known`; None
    where the file does not lead there, or where it is not sure that the pictures are the same."""
    if start not in known or info.interlaced or _is_dts_clock(container):  # fields are mended by their neighbours
        return None
    ticks = {index: info.zero_tick + round(time / info.time_base) for index, time in known.items()}

    # Files say when packets are decoded, which is before they are shown.
    try:
        container.seek(ticks[max(min(ticks), start - _REORDERED)], stream=stream)
    except av.FFmpegError:
        return None

    # A key frame that is no whole picture is made of those before it.
    pictures = _timed(_decode(container, stream), stream)
    first, entry = next(pictures, (None, 0))
    if first is None or not first.key_frame or first.pict_type != PictureType.I or first.pts is None:
        return None
    begin = next((index for index, tick in ticks.items() if tick == entry and index <= start), None)
    if begin is None:
        return None

    # All that lies between has to be as it was.
    sought = (first, entry)
    for index in range(begin + 1, start + 1):
        sought = next(pictures, (first, entry))
        if sought[1] != ticks.get(index):
            return None
    return chain([sought], pictures)


def _sought(
    container: InputContainer, stream: VideoStream, info: VideoInfo, index: int
) -> tuple[av.VideoFrame, int] | None:
    """Frame number `index` and its time in ticks, or None if the file does not lead there.

    Without an index, FFmpeg may land behind the frame, or between key frames, where what is decoded is damaged.
    """
    nominal = 1 / (info.frame_rate * info.time_base)
    wanted = info.first_tick + round(index * nominal)
    try:
        container.seek(wanted, stream=stream)
    except av.FFmpegError:
        return None

    timed = _timed(_whole(container, stream, info), stream)
    first, ticks = next(timed, (None, 0))
    if first is None or not first.key_frame or first.pts is None or ticks - wanted > nominal / 2:
        return None
    return next((at for at in chain([(first, ticks)], timed) if at[1] > wanted - nominal / 2), None)


def _picked(path: Path, wanted: Sequence[int]) -> Iterator[Frame]:
    """The frames of these numbers, which increase, by decoding all before them."""
    info = probe(path)
    with open_video(path) as container, _reformatter(info) as reformatter:
        stream = video_stream(container, path)
        pictures = islice(_timed(_whole(container, stream, info), stream), wanted[-1] + 1)
        for index, (picture, ticks) in enumerate(pictures):
            if index in wanted:
                yield _frame(picture, index, ticks, info, reformatter)


def open_video(path: Path) -> InputContainer:
    """The opened file at `path`, to be closed by the caller (`with`). Raises MediaError as `probe` does."""
    _check_file(path)

    try:
        # Absolute, and files only: neither a name like "http:x" nor a playlist's content may open a connection.
        # A title need not be UTF-8: what is none of it is replaced.
        options = {"protocol_whitelist": "file"}
        container = av.open(str(path.absolute()), "r", options=options, metadata_errors="replace")
    except PermissionError:
        raise MediaError(f"{path} may not be read", "Give yourself permission to read it") from None
    except (av.FFmpegError, OSError) as error:
        raise starved(error) or _unreadable(path) from None

    formats = set(container.format.name.split(","))
    if formats & _NO_VIDEO_FORMATS or container.format.name.endswith("_pipe"):
        container.close()
        if is_video(path):
            raise MediaError(f"{path} is an animation that cannot be read here", "Convert it to GIF or MP4")
        raise MediaError(f"{path} is not a video", "Give a video file such as .mp4, .mov or .mkv")
    return container


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream to show, with threaded decoding switched on; cover art does not count. Raises MediaError."""
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or stream.disposition & Disposition.attached_pic:
        raise MediaError(f"{path} has no video in it, only sound or other data", "Give a file with a video track")

    codec: VideoCodecContext | None = stream.codec_context  # PyAV's types do not say that there may be none
    if codec is None:
        raise MediaError(f"{path} holds a kind of video that is unknown here", "Convert it to H.264")

    if codec.width * codec.height > max_pixels():
        raise MediaError(f"{path} is too large ({codec.width}x{codec.height} pixels)", make_smaller())

    codec.options = {"max_pixels": str(max_pixels())}  # it may say otherwise later
    _share_out(codec, codec.width * codec.height)
    return stream


def _share_out(decoder: VideoCodecContext, pixels: int) -> None:
    """Have it decode with threads: one for each core, fewer of large frames, since each keeps one."""
    decoder.thread_type = "AUTO"
    most = max(2, _DECODED_PIXELS // max(pixels, 1))
    decoder.thread_count = most if most < (os.cpu_count() or 1) else 0


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


def _orientation(picture: av.VideoFrame) -> tuple[int, bool]:
    """Degrees clockwise, and whether it is mirrored, left and right, before that: what the display matrix does."""
    matrix = picture.side_data.get(SideData.DISPLAYMATRIX)  # type: ignore[call-overload]  # its keys are no texts
    if matrix is None:
        return 0, False
    # Row by row, each of three: where a step to the right, and one down, lead on the screen.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    mirrored = a * d - b * c < 0
    angle = degrees(atan2(-b, -a) if mirrored else atan2(b, a))
    return round(angle / 90) * 90 % 360, mirrored


def _time_base(stream: VideoStream) -> Fraction:
    return stream.time_base or Fraction(1, 90_000)


def _frame_rate(stream: VideoStream) -> Fraction:
    # An average of one frame a tick is what FFmpeg says of DV, and of AVI with B-frames: it has not looked.
    average = None if stream.average_rate == 1 / _time_base(stream) else stream.average_rate
    return average or stream.guessed_rate or stream.average_rate or Fraction(25)


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    begin = max(0, stream.start_time or 0) * _time_base(stream)
    if stream.duration is not None:
        says_end = container.format.name == "asf"
        return stream.duration * _time_base(stream) - (begin if says_end else 0)
    # Matroska, too, says when it ends, not how long it is.
    return None if container.duration is None else Fraction(container.duration, av.time_base) - begin


def _frame_count(container: InputContainer, stream: VideoStream, path: Path) -> int | None:
    rate, duration = _frame_rate(stream), _duration(container, stream)
    if stream.frames and rate == (stream.average_rate or rate):
        return stream.frames
    return _packet_count(path, path.stat().st_mtime_ns) if duration is None else round(duration * rate)


@lru_cache(maxsize=64)
def _packet_count(path: Path, _changed: int) -> int:
    """How many frames lie in a file that does not say how long it is, as recordings in a browser and raw streams do
    not: by reading it through."""
    with open_video(path) as container:
        return sum(packet is not None for packet in _packets(container, video_stream(container, path)))


def _decode(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Every picture that can be decoded, in presentation order; damaged packets are passed over."""
    dts_clock, decoder = _is_dts_clock(container), _decoder(stream)
    for packet in _packets(container, stream):
        try:
            pictures = decoder.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            if full := starved(error):  # nothing is damaged, and nothing may be missing
                raise full from None
            continue
        for picture in pictures:
            if dts_clock:
                picture.pts = picture.dts
            yield picture


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """The stream's own; where VP8 or VP9 is transparent, Google's, since FFmpeg's passes over that."""
    name = _TRANSPARENT.get(stream.codec_context.name)
    if name not in av.codecs_available or stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.options = {"max_pixels": str(max_pixels())}
    _share_out(decoder, stream.codec_context.width * stream.codec_context.height)
    return decoder


def _is_dts_clock(container: InputContainer) -> bool:
    """Whether the only times are those of decoding: AVI has no others, and what FFmpeg makes of them for B-frames
    runs to and fro."""
    return container.format.name == "avi"


def _whole(container: InputContainer, stream: VideoStream, info: VideoInfo) -> Iterator[av.VideoFrame]:
    """The decoded pictures, interlaced ones made whole: one for each, at its time."""
    pictures = _decode(container, stream)
    return _deinterlaced(pictures, stream) if info.interlaced else pictures


def _deinterlaced(pictures: Iterable[av.VideoFrame], stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Through bwdif, which leaves those as they are that are marked as progressive."""
    graph, kind = None, None
    for picture in chain(pictures, [None]):
        seen = None if picture is None else (picture.width, picture.height, picture.format.name)
        if seen != kind:
            yield from () if graph is None else _filtered(graph, None)
            graph, kind = None if picture is None else _bwdif(picture, stream), seen
        if graph is not None:
            yield from _filtered(graph, picture)


def _bwdif(picture: av.VideoFrame, stream: VideoStream) -> Graph:
    graph = Graph()
    width, height, pixels = picture.width, picture.height, picture.format
    source = graph.add_buffer(width=width, height=height, format=pixels, time_base=_time_base(stream))
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink"))
    graph.configure()
    return graph


def _filtered(graph: Graph, picture: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
    graph.vpush(picture)
    with suppress(av.BlockingIOError, av.EOFError):  # it waits for the next picture, or has given its last one
        while True:
            yield graph.vpull()


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream] | None]:
    """The stream's packets up to the end, or to where the file breaks off; then None, which flushes the decoder."""
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except av.FFmpegError as error:
        if full := starved(error):
            raise full from None
    yield None


def _timed(pictures: Iterable[av.VideoFrame], stream: VideoStream) -> Iterator[tuple[av.VideoFrame, int]]:
    """Each picture with its time in ticks, made strictly increasing; first ones without a time are counted down from
    the first that has one."""
    pictures = iter(pictures)
    nominal = max(1, round(1 / (_frame_rate(stream) * _time_base(stream))))

    # What comes before the first known time, within reason: raw streams know none at all.
    leading: list[av.VideoFrame] = []
    for picture in islice(pictures, _UNTIMED):
        leading.append(picture)
        if picture.pts is not None:
            break
    is_known = bool(leading) and leading[-1].pts is not None
    ticks = (_ticks(leading[-1], stream) if is_known else nominal * (len(leading) - 1)) - nominal * len(leading)

    for picture in chain(leading, pictures):
        ticks = ticks + nominal if picture.pts is None else max(_ticks(picture, stream), ticks + 1)
        yield picture, ticks


def _ticks(picture: av.VideoFrame, stream: VideoStream) -> int:
    """Its time in ticks of the stream: filters count in ticks of their own."""
    assert picture.pts is not None
    return round(picture.pts * (picture.time_base or _time_base(stream)) / _time_base(stream))


@contextmanager
def _reformatter(info: VideoInfo) -> Iterator[VideoReformatter]:
    """One that nobody uses just now and that has, if possible, read such a video before: for HDR swscale
    prepares itself for seconds."""
    idle = _idle(info.width, info.height, info.bit_depth, info.color_matrix)
    try:
        reformatter = idle.pop()
    except IndexError:
        reformatter = VideoReformatter()
    try:
        yield reformatter
    finally:
        idle.append(reformatter)


@lru_cache(maxsize=4)
def _idle(*_kind: object) -> list[VideoReformatter]:
    return []


def _frame(picture: av.VideoFrame, index: int, ticks: int, info: VideoInfo, reformatter: VideoReformatter) -> Frame:
    image, alpha = _upright_rgb(picture, info, reformatter), None
    if info.has_alpha:
        alpha = _turned(_alpha(picture, info), info)
        image = on_black(image, alpha)
    return Frame(image, index, (ticks - info.zero_tick) * info.time_base, alpha)


def _has_alpha(picture: av.VideoFrame) -> bool:
    """Whether it can be transparent; of formats that have no other kind, whether it is."""
    if not any(component.is_alpha for component in picture.format.components):
        return False
    return not picture.format.is_rgb or bool(picture.to_ndarray(format="rgba")[..., 3].min() < 255)


def _alpha(picture: av.VideoFrame, info: VideoInfo) -> Alpha:
    """Its opacity, as it is stored."""
    width, height = _stored_size(info)
    alpha: Alpha = picture.to_ndarray(format="rgba", width=width, height=height)[..., 3]
    return alpha


def _stored_size(info: VideoInfo) -> tuple[int, int]:
    """Width and height before rotation."""
    return (info.height, info.width) if info.rotation in (90, 270) else (info.width, info.height)


def _turned(values: np.ndarray, info: VideoInfo) -> np.ndarray:
    """A stored picture as it is displayed."""
    values = values[:, ::-1] if info.mirrored else values
    return np.ascontiguousarray(np.rot90(values, -info.rotation // 90))


def _upright_rgb(picture: av.VideoFrame, info: VideoInfo, reformatter: VideoReformatter) -> Picture:
    """The picture as full-range RGB, as displayed."""
    width, height = _stored_size(info)
    is_hdr = picture.color_trc in _HDR_TRANSFERS
    if is_hdr and picture.color_primaries == ColorPrimaries.UNSPECIFIED:
        picture.color_primaries = ColorPrimaries.BT2020  # there is no other HDR

    rgb = reformatter.reformat(
        picture,
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=None if picture.format.is_rgb else _matrix(picture),
        dst_color_range=ColorRange.JPEG,
        dst_color_trc=ColorTrc.BT709 if is_hdr else None,
        dst_color_primaries=ColorPrimaries.BT709 if is_hdr else None,
        interpolation=_ACCURATE if is_hdr else _EXACT_CHROMA,
    )
    image = rgb.to_ndarray().astype(np.uint8, copy=False)
    primaries = None if is_hdr else _WIDE_PRIMARIES.get(picture.color_primaries)
    return _turned(image if primaries is None else narrowed(image, primaries, is_video=True), info)


def _matrix(picture: av.VideoFrame) -> Colorspace:
    """The matrix to undo. Players agree on a guess for untagged videos: HD is BT.709, smaller ones BT.601."""
    if picture.colorspace in _MATRICES:
        return _MATRICES[picture.colorspace][1]
    return Colorspace.ITU709 if picture.height >= 720 else Colorspace.ITU601
