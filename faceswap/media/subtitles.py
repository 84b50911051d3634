"""Subtitles that are text, written anew in the kind that a container knows: MP4 has one of its own.

What they say, its line breaks, its times and the language stay; of looks and places what that kind knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from faceswap.media.video import open_video

_TEXTS = {"subrip", "ass", "ssa", "webvtt", "text", "mov_text"}
"""Codecs, by FFmpeg's names."""
_OWN_KINDS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}
"""What each muxer's players know."""
_TICK = Fraction(1, 1000)  # seconds
_FIELDS = 8  # before the text of a line as FFmpeg gives it: layer, style, margins ...


def is_text(track: Stream) -> bool:
    """Whether what a track of subtitles says is written in it, not painted."""
    return track.codec_context is not None and track.codec_context.codec.canonical_name in _TEXTS


def add_text(output: OutputContainer, muxer: str, path: Path, index: int) -> SubtitleStream:
    """A stream of `output` for the text of stream `index` of the file at `path`."""
    with open_video(path) as container:
        decoder = container.streams[index].codec_context
        decoder.open(False)
        looks = decoder.subtitle_header  # type: ignore[attr-defined]  # it is one for subtitles

    stream = output.add_stream(_OWN_KINDS[muxer])
    assert isinstance(stream, SubtitleStream)
    stream.codec_context.subtitle_header = looks
    stream.codec_context.time_base = stream.time_base = _TICK
    return stream


def text_packets(path: Path, index: int, stream: SubtitleStream, zero: Fraction) -> Iterator[Packet[Any]]:
    """The text of stream `index` of the file, written for `stream`; second `zero` of the file's clock becomes none."""
    latest = -1
    with open_video(path) as container:
        track = container.streams[index]
        for packet in container.demux(track):
            if packet.pts is None or not packet.size:
                continue

            try:
                subtitle = track.codec_context.decode2(packet)  # type: ignore[attr-defined]  # it is one for subtitles
            except av.FFmpegError:  # a damaged one
                continue

            lines = [one for one in subtitle or () if isinstance(one, AssSubtitle)]
            shown = round((packet.pts * packet.time_base - zero) / _TICK)
            if not lines or shown < 0:
                continue

            lasts = round((packet.duration or 0) * packet.time_base / _TICK) or subtitle.end_display_time
            made = stream.codec_context.encode_subtitle(SubtitleSet.create(_together(lines), 0, lasts))
            latest = max(shown, latest + 1)  # no muxer takes two at one time
            made.pts = made.dts = latest
            made.duration, made.time_base, made.stream = lasts, _TICK, stream
            yield made


def _together(lines: list[AssSubtitle]) -> bytes:
    """What is shown at one time as one line of FFmpeg's: its fields, then the texts below each other."""
    first, *others = (line.ass for line in lines)
    return b"\\N".join([first, *(other.split(b",", _FIELDS)[-1] for other in others)])
