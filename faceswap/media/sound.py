"""What becomes of a video's sound: copied where players know it in that container, otherwise encoded to AAC.

A track that FFmpeg cannot decode, such as the second one of newer iPhones (APAC), is left out where it cannot be
copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from jaxtyping import Float

from faceswap.media.codecs import CONTAINERS
from faceswap.media.limits import starved
from faceswap.media.trial import accepts
from faceswap.media.video import open_video

_PLAYED_IN_MP4 = {"aac", "mp2", "mp3", "ac3", "eac3", "alac", "opus", "flac", "dts"}
"""By FFmpeg's names. Its muxer takes more, PCM for one, which is loud noise in whatever does not know it there."""
_TRIED = 20  # packets of a track that are decoded to see that it can be
_BIT_RATE = 96_000  # of AAC, for each channel: transparent for stereo
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
"""Of AAC, by the number of channels; the source's own may have no name."""
SAMPLE_RATE = 48_000
"""Samples per second of sound that the program makes, and where AAC has not the source's own rate."""
Sound = Float[np.ndarray, "2 samples"]
"""Left and right, -1..1."""
_SLACK = Fraction(1, 20)  # seconds by which times of sound may be off before they count as a gap


class Fate(Enum):
    """What becomes of a track."""

    COPIED = "copied"
    ENCODED = "encoded"
    OMITTED = "omitted"


@dataclass(frozen=True)
class SoundTrack:
    """One track of the source."""

    index: int
    """Of the stream in the file."""
    fate: Fate
    note: str = ""
    """In words, unless it is simply copied."""


def plan_sound(path: Path, suffix: str) -> list[SoundTrack]:
    """What becomes of each track of sound of the video at `path` in a file of this suffix. Raises MediaError."""
    with open_video(path) as container:
        tracks = list(container.streams.audio)
        return [_planned(path, track, number, suffix) for number, track in enumerate(tracks, start=1)]


def _planned(path: Path, track: AudioStream, number: int, suffix: str) -> SoundTrack:
    codec = track.codec_context.codec.canonical_name if track.codec_context else "of an unknown kind"
    muxer = CONTAINERS[suffix.lower()]
    is_played = muxer != "mp4" or codec in _PLAYED_IN_MP4

    with open_video(path) as container:  # once more: reading packets moves on in it
        copied = container.streams[track.index]
        if is_played and accepts(muxer, copied, next(container.demux(copied), None)):
            return SoundTrack(track.index, Fate.COPIED)

    if _can_decode(path, track.index):
        note = f"sound track {number} ({codec}) is encoded as AAC: players do not know it in a {suffix} file"
        return SoundTrack(track.index, Fate.ENCODED, note)
    return SoundTrack(track.index, Fate.OMITTED, f"sound track {number} ({codec}) is left out: it cannot be decoded")


def _can_decode(path: Path, index: int) -> bool:
    with open_video(path) as container:
        track = container.streams[index]
        return track.codec_context is not None and any(_decoded(container, track, _TRIED))


def _decoded(container: InputContainer, track: Any, packets: int | None = None) -> Iterator[av.AudioFrame]:
    """What can be decoded of the first so many packets of a track, or of all of it."""
    for packet in islice(container.demux(track), packets):
        try:
            frames = packet.decode()
        except av.FFmpegError as error:  # a damaged one, or the end of what a file that broke off holds
            if full := starved(error):
                raise full from None
            continue
        yield from frames


def add_aac(output: OutputContainer, track: AudioStream) -> AudioStream:
    """A stream of `output` for the sound of `track`, encoded."""
    rates = av.Codec("aac", "w").audio_rates or []
    rate = track.rate if track.rate in rates else SAMPLE_RATE
    stream = output.add_stream("aac", rate=rate, layout=_LAYOUTS.get(track.layout.nb_channels, "stereo"))
    assert isinstance(stream, AudioStream)
    stream.bit_rate = _BIT_RATE * stream.codec_context.channels
    return stream


def made_packets(output: OutputContainer, sound: Sound) -> Iterator[Packet[AudioStream]]:
    """Sound that the program has made, as AAC in a stream of its own of `output`."""
    stream = output.add_stream("aac", rate=SAMPLE_RATE, layout="stereo")
    assert isinstance(stream, AudioStream)
    stream.bit_rate = 2 * _BIT_RATE

    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound, np.float32), format="fltp", layout="stereo")
    whole.sample_rate, whole.pts, whole.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
    yield from stream.encode(whole)
    yield from stream.encode(None)


def encoded_packets(
    path: Path, index: int, stream: AudioStream, begin: Fraction | None, end: Fraction | None
) -> Iterator[Packet[AudioStream]]:
    """The sound of stream `index` of the file, encoded for `stream`, between two times (seconds of the file's clock).

    `begin` becomes zero; None: all of it, with its own times.
    """
    zero = begin or Fraction(0)
    position: int | None = None  # samples

    with open_video(path) as container:
        for whole in _decoded(container, container.streams[index]):
            rate = whole.sample_rate
            pts, ticks = whole.pts, whole.time_base
            time = (Fraction(0) if pts is None or ticks is None else pts * ticks) - zero
            if end is not None and time >= end - zero:
                break

            early = 0 if begin is None else max(0, round(-time * rate))
            if early >= whole.samples:
                continue
            frame = _without(whole, early)

            # Counted in samples: containers round, and what does not follow exactly would be torn.
            stated = round(time * rate) + early
            is_gap = position is not None and pts is not None and stated - position > _SLACK * rate
            position = stated if position is None or is_gap else position
            frame.pts, frame.time_base = position, Fraction(1, rate)
            position += frame.samples
            yield from stream.encode(frame)

        yield from stream.encode(None)


def _without(frame: av.AudioFrame, early: int) -> av.AudioFrame:
    """The frame without its first so many samples."""
    values: Any = frame.to_ndarray()
    layout = _LAYOUTS.get(frame.layout.nb_channels, frame.layout.name)  # one without a name cannot be converted
    interleaved = 1 if frame.format.is_planar else frame.layout.nb_channels

    rest = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(values[:, early * interleaved :]), format=frame.format.name, layout=layout
    )
    rest.sample_rate = frame.sample_rate
    return rest
