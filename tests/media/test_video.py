"""Laws of reading videos: frames, times and colours are those that were written; what is no video is refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from av.video.stream import VideoStream
from numpy.typing import NDArray

from faceswap.errors import FaceswapError, MediaError
from faceswap.media import limits, video
from faceswap.media.limits import MAX_PIXELS
from faceswap.media.video import probe, read_frames
from faceswap.types import Frame, Picture
from support.clips import (
    PATCHES,
    STEADY,
    TIME_BASE,
    UNSTEADY,
    copy,
    gradient,
    gradients,
    images,
    make_clip,
    patches,
    sine,
    times,
    worst,
)

Floats = NDArray[np.float64]


# Skin, and colours of a picture, far enough from grey that a wrong primary shows; all lie within BT.709.
TONES = np.array([(200, 150, 120), (90, 60, 45), (60, 90, 170), (70, 140, 80), (180, 70, 90), (190, 170, 70)], float)
BT2020_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
P3_TO_709 = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])
"""On linear light: ITU-R BT.2087, and the same made of Display P3's primaries."""


def sdr_signal(light: Floats) -> Floats:
    """Light of a screen, 0..1, as the signal that makes it (ITU-R BT.1886)."""
    return np.asarray(np.maximum(light, 0) ** (1 / 2.4))


def pq_signal(light: Floats) -> Floats:
    """SMPTE ST 2084, with a white of 203 cd/m2 (ITU-R BT.2408)."""
    power = (np.maximum(light, 0) * 203 / 10_000) ** 0.1593017578125
    return np.asarray(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def hlg_signal(light: Floats) -> Floats:
    """ARIB STD-B67, with a white of three quarters of the signal."""
    scene = np.maximum(light, 0) * 0.265
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


HDR_CURVES = {ColorTrc.SMPTE2084: pq_signal, ColorTrc.ARIB_STD_B67: hlg_signal}


def make_wide_clip(
    path: Path,
    curve: Callable[[Floats], Floats],
    transfer: ColorTrc,
    to_709: Floats,
    primaries: ColorPrimaries = ColorPrimaries.BT2020,
) -> Path:
    """A clip of TONES, side by side, as a camera with these primaries and this curve keeps them."""
    signal = curve((TONES / 255) ** 2.4 @ np.linalg.inv(to_709).T)
    stripes = np.repeat(np.round(signal * 65535).astype(np.uint16)[None], 16, axis=1)
    pixels = np.ascontiguousarray(np.repeat(stripes, 48, axis=0))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25, width=96, height=48, pix_fmt="yuv420p10le")
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.colorspace, context.color_range = 9, ColorRange.MPEG
        context.color_primaries, context.color_trc = primaries, transfer
        frame = VideoReformatter().reformat(
            av.VideoFrame.from_ndarray(pixels, "rgb48le"),
            format="yuv420p10le",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=Colorspace.BT2020,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
        )
        frame.color_primaries, frame.color_trc = primaries, transfer
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def filtered(path: Path, scale: str) -> Picture:
    """The first frame through FFmpeg's own scale filter."""
    name, _, options = scale.partition("=")
    with av.open(str(path)) as container:
        graph = av.filter.Graph()
        nodes = [graph.add_buffer(template=container.streams.video[0]), graph.add(name, options)]
        graph.link_nodes(*nodes, graph.add("format", "rgb24"), graph.add("buffersink")).configure()
        graph.vpush(next(container.decode(video=0)))
        return graph.vpull().to_ndarray().astype(np.uint8)


def middles(image: Picture) -> Floats:
    """The colours in the middle of each of TONES's stripes."""
    return image[24, 8::16].astype(float)


@pytest.fixture(scope="module")
def talkie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 steady frames, 64x48, with two audio tracks."""
    return make_clip(tmp_path_factory.mktemp("clips") / "talkie.mp4", gradients(), audio_tracks=2)


class TestProbe:
    def test_says_what_is_in_the_file(self, talkie: Path) -> None:
        info = probe(talkie)
        assert (info.width, info.height, info.rotation, info.frame_count) == (64, 48, 0, 30)
        assert (info.frame_rate, info.duration, info.time_base) == (Fraction(25), Fraction(30, 25), TIME_BASE)
        assert (info.codec, info.bit_depth, info.color_matrix, info.full_range) == ("h264", 8, "bt709", False)
        assert info.has_audio

    def test_refuses_what_is_no_video(self, tmp_path: Path, talkie: Path) -> None:
        whole = talkie.read_bytes()
        contents = {
            "empty.mp4": b"",
            "text.mp4": b"dear diary\n" * 99,
            "text.txt": b"dear diary\n" * 99,
            "random.mkv": np.random.default_rng(0).bytes(9999),
            "truncated.mp4": whole[: whole.index(b"moov")],
            "list.m3u8": b"#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/a.ts\n",
        }
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        with av.open(str(tmp_path / "sound.m4a"), "w") as container:
            track = container.add_stream("aac", rate=44_100)
            assert isinstance(track, AudioStream)
            for sound in sine(440.0, Fraction(1, 5)):
                container.mux(track.encode(sound))
        av.VideoFrame.from_ndarray(gradient(0, 64, 48), "rgb24").save(tmp_path / "still.png")
        (tmp_path / "folder.mp4").mkdir()
        for name in (*contents, "sound.m4a", "still.png", "folder.mp4", "missing.mp4"):
            with pytest.raises(MediaError) as caught:
                probe(tmp_path / name)
            assert name in caught.value.problem
            assert len(caught.value.remedy) > 10

    def test_names_the_missing_index(self, tmp_path: Path, talkie: Path) -> None:
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(talkie.read_bytes()[:2000])
        with pytest.raises(MediaError, match="cut short"):
            probe(cut)


class TestReading:
    def test_frames_and_times_are_those_written(self, talkie: Path) -> None:
        frames = list(read_frames(talkie))
        assert [frame.index for frame in frames] == list(range(30))
        assert [frame.time for frame in frames] == [tick * TIME_BASE for tick in STEADY]
        assert worst(np.stack([frame.image for frame in frames]), np.stack(gradients())) < 2

    def test_unsteady_times_are_exact(self, tmp_path: Path) -> None:
        clip = make_clip(tmp_path / "clip.mp4", gradients(9), UNSTEADY)
        assert times(clip) == [tick * TIME_BASE for tick in UNSTEADY]

    @pytest.mark.parametrize(("start", "stop"), [(0, 5), (7, 19), (28, None), (29, 99), (30, None), (5, 5), (9, 2)])
    def test_a_range_is_a_slice(self, talkie: Path, start: int, stop: int | None) -> None:
        def key(frame: Frame) -> tuple[int, Fraction, bytes]:
            return frame.index, frame.time, frame.image.tobytes()

        whole = [key(frame) for frame in read_frames(talkie)]
        assert [key(frame) for frame in read_frames(talkie, start, stop)] == whole[start:stop]

    @pytest.mark.parametrize(
        ("suffix", "codec", "x264", "leads"),
        [
            (".mp4", "libx264", "keyint=12:bframes=3", True),
            (".mkv", "libx264", "keyint=12:bframes=3", True),
            (".mp4", "libx264", "keyint=12:bframes=3:open-gop=1", True),
            (".mp4", "libx264", "keyint=12:intra-refresh=1", False),
            (".ts", "libx264", "keyint=12:bframes=3", True),
            (".avi", "mpeg4", "", False),
        ],
    )
    def test_known_times_lead_to_the_same_frames_sooner(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, codec: str, x264: str, leads: bool
    ) -> None:
        def key(frame: Frame) -> tuple[int, Fraction, bytes]:
            return frame.index, frame.time, frame.image.tobytes()

        noise = np.random.default_rng(1).integers(0, 60, (48, 64, 3)).astype(np.uint8)
        shots = [gradient(index, 64, 48) // 2 + np.roll(noise, 3 * index, axis=1) for index in range(50)]
        unsteady = np.cumsum(np.random.default_rng(2).integers(200, 900, 50)).tolist()
        ticks = unsteady if suffix == ".mp4" else range(0, 50 * 512, 512)
        clip = make_clip(tmp_path / f"clip{suffix}", shots, ticks, codec=codec, x264=x264)
        whole = [key(frame) for frame in read_frames(clip)]
        known = {index: time for index, time, _ in whole}

        decoded = 0
        decode = video._decode

        def counted(*arguments: object) -> Iterator[av.VideoFrame]:
            nonlocal decoded
            for picture in decode(*arguments):  # type: ignore[arg-type]
                decoded += 1
                yield picture

        monkeypatch.setattr(video, "_decode", counted)
        for start in range(1, 50, 3):
            near = {index: time for index, time in known.items() if start - 30 <= index <= start}
            assert [key(frame) for frame in read_frames(clip, start, start + 4, near)] == whole[start : start + 4]

        decoded = 0
        list(read_frames(clip, 49, 50, known))
        assert (decoded < 50) == leads

    @pytest.mark.parametrize("degrees", [90, 180, 270])
    def test_rotated_frames_come_upright(self, tmp_path: Path, degrees: int) -> None:
        upright = gradients(3)
        stored = [np.ascontiguousarray(np.rot90(picture, degrees // 90)) for picture in upright]
        clip = make_clip(tmp_path / "clip.mp4", stored, rotation=degrees)
        info = probe(clip)
        assert (info.width, info.height, info.rotation) == (64, 48, degrees)
        assert worst(images(clip), np.stack(upright)) < 2
        written = copy(clip, tmp_path / "out.mp4")
        assert probe(written).rotation == 0
        assert worst(images(written), np.stack(upright)) < 2

    @pytest.mark.parametrize(
        ("codec", "pix_fmt"),
        [
            ("libx264", "yuv422p"),
            ("libx264", "yuv444p"),
            ("libx264", "yuv420p10le"),
            ("libx264", "yuv422p10le"),
            ("ffv1", "yuv420p"),
            ("ffv1", "bgr0"),
        ],
    )
    def test_depths_subsamplings_and_odd_sizes(self, tmp_path: Path, codec: str, pix_fmt: str) -> None:
        odd = codec == "ffv1"
        pictures = gradients(3, 63 if odd else 64, 47 if odd else 48)
        clip = make_clip(tmp_path / "clip.mkv", pictures, codec=codec, pix_fmt=pix_fmt, tagged=pix_fmt != "bgr0")
        assert probe(clip).bit_depth == (10 if "10" in pix_fmt else 8)
        assert worst(images(clip), np.stack(pictures)) < 2

    @pytest.mark.parametrize("matrix", [Colorspace.ITU709, Colorspace.ITU601])
    @pytest.mark.parametrize("color_range", [ColorRange.MPEG, ColorRange.JPEG])
    def test_colors_follow_the_tags_in_and_out(
        self, tmp_path: Path, matrix: Colorspace, color_range: ColorRange
    ) -> None:
        clip = make_clip(tmp_path / "clip.mp4", [patches()], matrix=matrix, color_range=color_range)
        assert probe(clip).full_range == (color_range == ColorRange.JPEG)
        for path in (clip, copy(clip, tmp_path / "out.mp4")):
            middles = images(path)[0, 24, 8::16].astype(int)
            assert np.abs(middles - PATCHES).max() <= 4

    def test_untagged_small_videos_are_bt601_and_large_ones_bt709(self, tmp_path: Path) -> None:
        for height, matrix in ((48, Colorspace.ITU601), (720, Colorspace.ITU709)):
            clip = make_clip(tmp_path / f"{height}.mkv", [patches(112, height)], matrix=matrix, tagged=False)
            assert probe(clip).color_matrix == "untagged"
            assert np.abs(images(clip)[0, 24, 8::16].astype(int) - PATCHES).max() <= 4

    def test_hdr_is_mapped_so_that_white_is_white(self, tmp_path: Path) -> None:
        """Hybrid log-gamma, as phones record: its reference white is three quarters of the signal."""
        greys = [np.full((48, 64, 3), level, np.uint8) for level in (0, 96, 191)]
        clip = make_clip(tmp_path / "clip.mp4", greys, pix_fmt="yuv420p10le", transfer=ColorTrc.ARIB_STD_B67)
        dark, middle, white = images(clip)[:, 24, 32, 0]
        assert dark <= 2
        assert 96 < middle < 191
        assert white >= 245

    @pytest.mark.parametrize("transfer", [ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67])
    def test_hdr_colors_are_those_of_ffmpegs_own_tone_map(self, tmp_path: Path, transfer: ColorTrc) -> None:
        clip = make_wide_clip(tmp_path / "clip.mkv", HDR_CURVES[transfer], transfer, BT2020_TO_709)
        mapped = middles(filtered(clip, "scale=out_transfer=bt709:out_primaries=bt709:out_range=full"))
        shown = middles(images(clip)[0])
        assert np.abs(shown - mapped).max() <= 3
        # Which channel is the strongest of a patch, and which the weakest, is what makes its colour.
        assert all(np.all(np.diff(patch[np.argsort(wanted)]) > 5) for patch, wanted in zip(shown, TONES, strict=True))

    @pytest.mark.parametrize(
        ("primaries", "to_709"), [(ColorPrimaries.BT2020, BT2020_TO_709), (ColorPrimaries.SMPTE432, P3_TO_709)]
    )
    def test_wide_primaries_in_sdr_keep_their_colors(
        self, tmp_path: Path, primaries: ColorPrimaries, to_709: Floats
    ) -> None:
        clip = make_wide_clip(tmp_path / "clip.mkv", sdr_signal, ColorTrc.BT709, to_709, primaries)
        shown = middles(images(clip)[0])
        # Taken for BT.709's, they would be off by over 25 levels; by swscale's own conversion, by up to 8.
        assert np.abs(shown - TONES).max() <= 3

    def test_a_damaged_middle_is_passed_over(self, tmp_path: Path, talkie: Path) -> None:
        content = bytearray(
            make_clip(tmp_path / "clip.mp4", gradients(), codec="mjpeg", pix_fmt="yuvj420p").read_bytes()
        )
        middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 2
        content[middle : middle + 3000] = bytes(3000)
        (tmp_path / "clip.mp4").write_bytes(content)
        found = times(tmp_path / "clip.mp4")
        assert 20 < len(found) <= 30
        assert found[-1] == STEADY[-1] * TIME_BASE

    def test_no_frame_at_all_is_an_error(self, tmp_path: Path, talkie: Path) -> None:
        content = bytearray(talkie.read_bytes())
        data = content.index(b"mdat") + 4
        size = int.from_bytes(content[data - 8 : data - 4], "big") - 8
        content[data : data + size] = bytes(size)
        (tmp_path / "clip.mp4").write_bytes(content)
        with pytest.raises(MediaError, match="no frame"):
            next(read_frames(tmp_path / "clip.mp4"))

    @pytest.mark.parametrize("room", [1, 1 << 55], ids=["room", "no room"])
    @pytest.mark.parametrize(
        "error", [av.error.MemoryError(errno.ENOMEM, "full"), av.error.BlockingIOError(errno.EAGAIN, "no thread")]
    )
    def test_frames_that_memory_does_not_suffice_for_are_no_damaged_ones(
        self, talkie: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, room: int
    ) -> None:
        """What is damaged may ask for any amount, too: then there is room for a picture."""

        class Starved:
            def decode(self, _packet: object) -> list[av.VideoFrame]:
                raise error

        info = probe(talkie)
        monkeypatch.setattr(video, "probe", lambda _path: info)
        monkeypatch.setattr(video, "_decoder", lambda _stream: Starved())
        monkeypatch.setattr(limits, "_ROOM", room)
        if room == 1 and isinstance(error, MemoryError):
            assert list(read_frames(talkie)) == []
        else:
            with pytest.raises(FaceswapError, match="the memory is full"):
                list(read_frames(talkie))

    def test_closing_the_generator_closes_the_file(self, talkie: Path) -> None:
        def descriptors() -> int:
            return sum(os.path.realpath(f"/proc/self/fd/{name}") == str(talkie) for name in os.listdir("/proc/self/fd"))

        frames = read_frames(talkie)
        next(frames)
        assert descriptors() == 1
        frames.close()  # type: ignore[attr-defined]
        assert descriptors() == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_title_need_not_be_utf8(tmp_path: Path, suffix: str) -> None:
    clip = make_clip(tmp_path / f"a{suffix}", gradients(3), title="Caffe")
    clip.write_bytes(clip.read_bytes().replace(b"Caffe", "Caffé".encode("latin-1")))
    assert b"Caff\xe9" in clip.read_bytes()
    assert probe(clip).width == 64
    copied = copy(clip, tmp_path / f"b{suffix}")
    with av.open(str(copied)) as container:
        assert container.metadata["title"] == "Caff\ufffd"


def test_frames_are_counted_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "a.mp4", [np.zeros((1000, 1010, 3), np.uint8)])
    monkeypatch.setenv(MAX_PIXELS, "1")
    with pytest.raises(MediaError, match=r"a\.mp4 is too large \(1010x1000 pixels\).*--max-pixels"):
        probe(clip)
    monkeypatch.setenv(MAX_PIXELS, "2")
    assert probe(clip).width == 1010


def test_a_kind_of_video_that_nobody_knows(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", gradients(3))
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"xyz9"))
    with pytest.raises(MediaError, match=r"a\.mp4"):
        probe(clip)


def test_what_swscale_has_prepared_is_used_again_but_never_by_two(tmp_path: Path) -> None:
    """Preparing for HDR takes seconds; the second opening of such a video does not."""
    info = probe(make_clip(tmp_path / "clip.mp4", gradients(2)))
    with video._reformatter(info) as first, video._reformatter(info) as second:
        assert first is not second
    with video._reformatter(info) as third:
        assert third in (first, second)
