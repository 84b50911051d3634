"""Small clips for the tests: made with PyAV, read back with the project's own reader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.reformatter import ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from faceswap.media.codecs import Encoding
from faceswap.media.video import probe, read_frames
from faceswap.media.video_write import open_writer
from faceswap.types import Picture

GOOD = Encoding(crf=4, preset="veryfast")
TIME_BASE = Fraction(1, 12_800)
STEADY = tuple(range(0, 30 * 512, 512))  # 25 frames a second
UNSTEADY = (0, 512, 700, 1900, 1901, 4000, 9000, 9512, 20_000)
PATCHES = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 100, 50))


def gradient(index: int, width: int, height: int) -> Picture:
    """A smooth picture, different for each index and in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 200 // width, y * 200 // height, 0 * x + 8 * index % 200], axis=2).astype(np.uint8)


def patches(width: int = 112, height: int = 48) -> Picture:
    return np.repeat(np.repeat(np.array([PATCHES], np.uint8), width // len(PATCHES), axis=1), height, axis=0)


def make_clip(
    path: Path,
    pictures: Sequence[Picture],
    ticks: Sequence[int] = STEADY,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    matrix: Colorspace = Colorspace.ITU709,
    color_range: ColorRange = ColorRange.MPEG,
    tagged: bool = True,
    transfer: ColorTrc = ColorTrc.BT709,
    rotation: int = 0,
    audio_codec: str = "aac",
    audio_tracks: int = 0,
    title: str = "",
    x264: str = "",
) -> Path:
    """Writes the pictures (rotation: degrees clockwise to be shown upright) and as many tracks of sine as wanted."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        if title:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=25, width=width, height=height, time_base=TIME_BASE)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt = pix_fmt
        if codec in ("libx264", "libx265"):
            params = {"x265-params": "log-level=none"} | ({"x264-params": x264} if x264 else {})
            stream.options = {"crf": "4", "preset": "veryfast"} | params
        if tagged:
            stream.codec_context.colorspace = 1 if matrix == Colorspace.ITU709 else 6
            stream.codec_context.color_range = color_range
            stream.codec_context.color_trc = transfer
        if rotation:
            stream.set_display_rotation(-rotation)
        tracks = [container.add_stream(audio_codec, rate=44_100) for _ in range(audio_tracks)]
        for picture, tick in zip(pictures, ticks, strict=False):
            frame = VideoReformatter().reformat(
                av.VideoFrame.from_ndarray(picture, "rgb24"),
                format=pix_fmt,
                src_color_range=ColorRange.JPEG,
                dst_colorspace=matrix,
                dst_color_range=color_range,
            )
            frame.pts, frame.time_base = tick, TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for number, track in enumerate(tracks):
            assert isinstance(track, AudioStream)
            for sound in sine(440.0 * (number + 1), ticks[-1] * TIME_BASE):
                container.mux(track.encode(sound))
            container.mux(track.encode(None))
    return path


def sine(hertz: float, seconds: Fraction) -> Iterator[av.AudioFrame]:
    for block in range(int(seconds * 44_100) // 1024):
        wave = np.sin((block * 1024 + np.arange(1024)) * (2 * np.pi * hertz / 44_100)).astype(np.float32) / 4
        sound = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
        sound.rate, sound.pts, sound.time_base = 44_100, block * 1024, Fraction(1, 44_100)
        yield sound


def gradients(count: int = 30, width: int = 64, height: int = 48) -> list[Picture]:
    return [gradient(index, width, height) for index in range(count)]


def copy(source: Path, out: Path, segment_frames: int = 250, encoding: Encoding = GOOD) -> Path:
    with open_writer(out, probe(source), signature="copy", encoding=encoding, segment_frames=segment_frames) as writer:
        for frame in read_frames(source, start=writer.frames_done):
            writer.write(frame.image, frame.time)
    return out


def times(path: Path) -> list[Fraction]:
    return [frame.time for frame in read_frames(path)]


def images(path: Path) -> Picture:
    return np.stack([frame.image for frame in read_frames(path)])


def worst(first: Picture, second: Picture) -> float:
    """The largest mean difference of any frame, in levels."""
    difference = np.abs(first.astype(int) - second.astype(int))
    return float(difference.mean(axis=(-3, -2, -1)).max())
