"""Joining finished pieces of video with the sound of their source: packets are copied, except for sound and
subtitles that players would not know in the new container.

A segment is a file with the video alone: NUT, the one simple container that keeps any time base exactly, or MOV for
ProRes, which NUT does not know.

The time line, in ticks of the source's time base:

    the source's frames     0 1 2 3 4 5 6 7 8 9 ...
    an excerpt's segments         [3 4 5)[6 7 8)      its zero is the first segment's first tick; of a whole video, 0
    ends                                 6      9     the next segment's first tick; of the last one, as long as its
                                                      frame is shown in the source
    sound                     .. [3 . . . . . . 9)    the span between; with the packet before, which decoders need
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from itertools import pairwise
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

if TYPE_CHECKING:  # there is no such name at run time
    from av.container.core import Chapter

from faceswap.media.codecs import CONTAINERS
from faceswap.media.info import VideoInfo
from faceswap.media.sound import Fate, SoundTrack, add_aac, encoded_packets
from faceswap.media.subtitles import add_text, is_text, text_packets
from faceswap.media.trial import accepts
from faceswap.media.video import open_video, video_stream

_MAX_TIMESCALE = 2**31 - 1
_TRACKS = {"subtitle": "subtitles", "data": "data", "video": "cover art", "attachment": "attachments"}
_TIMECODE = "timecode"  # of the first frame, as the camera counted: MP4 and MOV make a track of this tag
_CONTAINER_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", _TIMECODE}


@dataclass(frozen=True)
class Segment:
    """A finished piece of video on disk."""

    path: Path
    ticks: tuple[int, ...]
    """The times of its frames in ticks of the source's time base, increasing."""
    delay: int
    """Ticks by which decoding must run ahead of showing, because frames are stored out of order."""

    @classmethod
    def read(cls, path: Path, time_base: Fraction) -> Segment:
        """What the file at `path` holds. Raises av.FFmpegError if it is damaged."""
        with av.open(str(path), "r") as container:
            stored = [_ticks(packet, time_base) for packet in container.demux(video=0) if packet.size]
        ticks = tuple(sorted(stored))
        return cls(path, ticks, max((shown - own for shown, own in zip(ticks, stored, strict=True)), default=0))


def join(
    segments: Sequence[Segment],
    source: VideoInfo,
    whole: Path,
    muxer: str,
    sound: Sequence[SoundTrack],
    excerpt: bool = False,
) -> None:
    """Writes `whole`: the segments' video with the source's audio (and subtitles and data where `muxer` can).

    Copied packets keep their bytes and their times beside the video; chapters, timecode, titles and languages come
    along. Of an
    `excerpt` of the source the times begin at zero, and of all that goes with them only its sound comes along.
    Raises OSError or av.FFmpegError if it cannot be written.
    """
    # The time line.
    last = segments[-1].ticks[-1]
    ends = [segment.ticks[0] for segment in segments[1:]] + [last + _last_duration(source, last)]
    zero = segments[0].ticks[0] if excerpt else 0
    span = _span(source, zero, ends[-1], excerpt)

    # Beside pictures that stand alone there is nothing: of what a segment holds, nothing comes along.
    beside = segments[0].path if source.stands_alone else source.path
    with open_video(beside) as origin, av.open(str(segments[0].path), "r") as first:
        # What comes along, and when each track starts.
        copied = [origin.streams[track.index] for track in sound if track.fate is Fate.COPIED]
        optional, texts = ([], []) if excerpt else _optional_tracks(origin, source, muxer)
        tracks = [*copied, *optional]
        trimmed = span.begin is not None  # then it starts at some multiple of what it counts in
        starts = [(track.time_base or 1) * Fraction(1 if trimmed else track.start_time or 0) for track in tracks]
        starts.insert(0, (segments[0].ticks[0] - zero) * source.time_base)

        with av.open(str(whole), "w", format=muxer, options=_muxer_options(muxer, starts)) as output:
            # Tracks, titles and chapters.
            video = output.add_stream_from_template(first.streams.video[0], opaque=True)
            video.time_base = source.time_base
            video.codec_context.framerate = source.frame_rate  # Matroska would note the ticks as the rate
            encoded = {
                track.index: _add_encoded(output, origin, track) for track in sound if track.fate is Fate.ENCODED
            }
            copies = {track.index: _add_copy(output, track) for track in tracks}
            written = {track.index: _add_text(output, muxer, source, track) for track in texts}
            _copy_tags(origin, output)
            if not excerpt:
                output.metadata.update(_timecode(origin))
                output.set_chapters(_chapters(origin, source.zero))

            # Packets, in the order in which they are decoded.
            packets = merge(
                _video_packets(segments, ends, video, source.time_base, zero),
                _copied_packets(origin, tracks, copies, span),
                *(encoded_packets(source.path, index, to, span.begin, span.end) for index, to in encoded.items()),
                *(text_packets(source.path, index, to, span.zero) for index, to in written.items()),
                key=_decoding_time,
            )
            for packet in packets:
                output.mux(packet)


@dataclass(frozen=True)
class _Span:
    """The seconds of the source's own clock that are copied."""

    begin: Fraction | None = None
    """Becomes zero. None: all from the beginning, with the source's own times."""
    end: Fraction | None = None
    """None: up to the end."""

    @property
    def zero(self) -> Fraction:
        """What becomes zero, in seconds of the source's clock."""
        return self.begin or Fraction(0)

    def packets(self, origin: InputContainer, tracks: Sequence[Stream]) -> Iterator[Packet[Any]]:
        """Those of the tracks that begin in the span, and of each track the one before, which decoders need to find
        into the sound; its time is negative then."""
        before: dict[int, Packet[Any]] = {}
        ended: set[int] = set()

        for packet in origin.demux(*tracks) if tracks else ():
            index, when = packet.stream_index, _decoding_time(packet)

            if packet.dts is None:
                continue
            if self.begin is not None and when < self.begin:
                before[index] = packet
            elif self.end is None or when < self.end:
                if index in before:
                    yield before.pop(index)
                yield packet
            else:
                ended.add(index)
                if len(ended) == len(tracks):  # not all that follows need be read
                    return


def _span(source: VideoInfo, zero: int, end: int, excerpt: bool) -> _Span:
    """For pictures from tick `zero` to tick `end` of those that `read_frames` counts."""
    if excerpt:
        return _Span(source.zero + zero * source.time_base, source.zero + end * source.time_base)
    return _Span(source.zero) if source.zero else _Span()


def _ticks(packet: Packet[VideoStream], time_base: Fraction) -> int:
    assert packet.pts is not None  # every packet in a segment is ours and has its time
    return round(packet.pts * packet.time_base / time_base)


def _decoding_time(packet: Packet[Any]) -> Fraction:
    return (packet.dts or 0) * packet.time_base


def lost_tracks(source: VideoInfo, out: Path) -> list[str]:
    """In words, what of the source besides its sound the container of `out` cannot hold, or not as it is."""
    with open_video(source.path) as container:
        shown = video_stream(container, source.path)
        copied, texts = _optional_tracks(container, source, CONTAINERS[out.suffix.lower()])
        kept = {track.index for track in [*copied, *texts]}
        others = [track for track in container.streams if track is not shown and track.type != "audio"]
        others = [track for track in others if _TIMECODE not in track.metadata]  # it comes along as a tag
        lost = Counter(_TRACKS.get(track.type, track.type) for track in others if track.index not in kept)

    changed = [f"subtitles are written as {out.suffix} keeps them: text without most of its looks"] if texts else []
    beside = "of the tracks besides picture and sound"
    return [*changed, *(f"{beside}, {count} ({name}) cannot be kept" for name, count in lost.items())]


def _optional_tracks(origin: InputContainer, source: VideoInfo, muxer: str) -> tuple[list[Stream], list[Stream]]:
    """Subtitles and data that the container can hold as they are; and subtitles that it can hold as text."""
    optional = [*origin.streams.subtitles, *origin.streams.data]
    if not optional:
        return [], []
    with open_video(source.path) as container:  # once more: reading packets moves on in it
        firsts = {track.index: next(container.demux(container.streams[track.index]), None) for track in optional}
    copied = [track for track in optional if accepts(muxer, track, firsts[track.index])]
    texts: list[Stream] = [track for track in origin.streams.subtitles if track not in copied and is_text(track)]
    return copied, texts


def _muxer_options(muxer: str, starts: Sequence[Fraction]) -> dict[str, str]:
    """What keeps times exact (and, for MP4, lets a browser play the file while it loads)."""
    if muxer == "matroska":
        return {"avoid_negative_ts": "disabled"}
    # MP4 keeps each track's start in the movie's own ticks, by default milliseconds.
    timescale = lcm(1000, *(start.denominator for start in starts if start > 0))
    if timescale > _MAX_TIMESCALE:
        timescale = lcm(1000, starts[0].denominator)
    return {"movflags": "+faststart", "movie_timescale": str(min(timescale, _MAX_TIMESCALE))}


def _add_copy(output: OutputContainer, track: Stream) -> Stream:
    copy = output.add_stream_from_template(track, opaque=True)
    _describe(copy, track)
    return copy


def _add_encoded(output: OutputContainer, origin: InputContainer, sound: SoundTrack) -> AudioStream:
    track = origin.streams[sound.index]
    assert isinstance(track, AudioStream)
    stream = add_aac(output, track)
    _describe(stream, track)
    return stream


def _add_text(output: OutputContainer, muxer: str, source: VideoInfo, track: Stream) -> SubtitleStream:
    stream = add_text(output, muxer, source.path, track.index)
    _describe(stream, track)
    return stream


def _describe(copy: Stream, track: Stream) -> None:
    copy.metadata.update({key: value for key, value in track.metadata.items() if key in ("language", "title")})
    copy.disposition = track.disposition


def _copy_tags(origin: InputContainer, output: OutputContainer) -> None:
    tags = {key: value for key, value in origin.metadata.items() if key.lower() not in _CONTAINER_TAGS}
    output.metadata.update(tags)


def _timecode(origin: InputContainer) -> dict[str, str]:
    """The tag of it, wherever a container has it: of the file, of the pictures or in a track of its own."""
    for tags in (origin.metadata, *(track.metadata for track in origin.streams)):
        for key, value in tags.items():
            if key.lower() == _TIMECODE:
                return {_TIMECODE: value}
    return {}


def _chapters(origin: InputContainer, zero: Fraction) -> list[Chapter]:
    """The source's, counted from second `zero` of its clock."""
    chapters = origin.chapters()
    for chapter in chapters:
        ticks = round(zero / (chapter["time_base"] or 1))
        chapter["start"], chapter["end"] = max(0, chapter["start"] - ticks), max(0, chapter["end"] - ticks)
    return chapters


def _last_duration(source: VideoInfo, last: int) -> int:
    """Ticks for which the source shows its frame at `last`; one average frame if it does not say."""
    nominal = max(1, round(1 / (source.frame_rate * source.time_base)))
    if source.interlaced or source.stands_alone:  # it may speak of fields, or says nothing
        return nominal

    try:
        with open_video(source.path) as container:
            stream = video_stream(container, source.path)
            own = last + source.zero_tick
            container.seek(own, stream=stream)
            found = (packet.duration for packet in container.demux(stream) if packet.pts == own)
            return next(found, None) or nominal
    except av.FFmpegError:
        return nominal


def _video_packets(
    segments: Sequence[Segment], ends: Sequence[int], video: VideoStream, time_base: Fraction, zero: int
) -> Iterator[Packet[Any]]:
    """The segments' packets in decoding order, with decoding times that increase across segments; tick `zero` of the
    source becomes none.

    The n-th packet is decoded at the time of the n-th shown frame less one constant: strictly increasing, and never
    later than the packet's own frame is shown.
    """
    delay = max(segment.delay for segment in segments)
    for segment, end in zip(segments, ends, strict=True):
        following = dict(pairwise((*segment.ticks, end)))
        with av.open(str(segment.path), "r") as container:
            stored = (packet for packet in container.demux(video=0) if packet.size)
            for packet, shown in zip(stored, segment.ticks, strict=True):
                own = _ticks(packet, time_base)
                packet.pts, packet.dts, packet.duration = own - zero, shown - delay - zero, following[own] - own
                packet.time_base = time_base
                packet.stream = video
                yield packet


def _copied_packets(
    origin: InputContainer, tracks: Sequence[Stream], copies: dict[int, Stream], span: _Span
) -> Iterator[Packet[Any]]:
    """The tracks' packets of a span as they are; only a decoding time that does not increase, which no muxer takes, is
    moved."""
    latest: dict[int, int] = {}
    for packet in span.packets(origin, tracks):
        assert packet.dts is not None
        index, zero = packet.stream_index, round(span.zero / packet.time_base)
        packet.dts = max(packet.dts - zero, latest.get(index, packet.dts - zero - 1) + 1)
        packet.pts = packet.dts if packet.pts is None else max(packet.pts - zero, packet.dts)
        latest[index] = packet.dts
        packet.stream = copies[index]
        yield packet
