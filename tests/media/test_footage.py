"""Laws of footage as cameras, phones, television and the web give it: whatever the container, the frames, their times
and their sound are the same."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from PIL import Image

from faceswap.errors import MediaError
from faceswap.media.codecs import Encoding
from faceswap.media.sequence import SequenceWriter
from faceswap.media.video import probe, read_frames, sample_frames
from faceswap.media.video_write import open_writer
from faceswap.types import Picture
from support.clips import copy, gradients, images, make_clip, sine, times, worst

RATE = Fraction(25)
FRAMES = 30
IN_ORDER = [Fraction(number) / RATE for number in range(FRAMES)]


def make_footage(
    path: Path,
    pictures: Sequence[Picture],
    *,
    codec: str = "libx264",
    audio: str | None = None,
    muxer: str | None = None,
    late: float = 0.0,
    options: dict[str, str] | None = None,
    interlaced: bool = False,
) -> Path:
    """A clip of 25 frames a second with B-frames, a key frame every 10, and a clock that begins `late` seconds late."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w", format=muxer, options=options or {}) as container:
        stream = container.add_stream(codec, rate=RATE, width=width, height=height, pix_fmt="yuv420p")
        assert isinstance(stream, VideoStream)
        stream.gop_size, stream.bit_rate = 10, 4_000_000
        if codec == "libx264":
            stream.options = {"crf": "8", "bf": "2", **({"x264-params": "tff=1"} if interlaced else {})}
        track = container.add_stream(audio, rate=44_100) if audio else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number + round(late * RATE), 1 / RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if isinstance(track, AudioStream):
            for sound in sine(440.0, len(pictures) / RATE):
                assert sound.pts is not None
                sound.pts += round(late * 44_100)
                container.mux(track.encode(sound))
            container.mux(track.encode(None))
    return path


def loudness(path: Path) -> tuple[str, float, float]:
    """The codec of the first track of sound, how loud it is, and how many seconds it lasts."""
    with av.open(str(path)) as container:
        [track] = container.streams.audio
        waves = [frame.to_ndarray().astype(np.float64) for frame in container.decode(track)]
        return track.codec_context.name, float(np.std(np.concatenate([w[0] for w in waves]))), float(len(waves))


KINDS = {
    "broadcast.ts": {"audio": "aac"},
    "camera.m2ts": {"audio": "ac3"},
    "disc.mpg": {"codec": "mpeg2video", "audio": "mp2"},
    "cut.mkv": {"audio": "aac", "late": 36_000.0},
    "raw.h264": {},
    "camera.avi": {"audio": "pcm_s16le"},
    "browser.webm": {"codec": "libvpx", "muxer": "webm", "options": {"live": "1"}},
}
"""Containers whose clocks begin late, that have no index, no times but those of decoding, or no length."""


class TestClocks:
    @pytest.mark.parametrize("name", KINDS)
    def test_frames_begin_at_0_and_are_counted_and_found(self, tmp_path: Path, name: str) -> None:
        clip = make_footage(tmp_path / name, gradients(FRAMES), **KINDS[name])  # type: ignore[arg-type]
        frames = list(read_frames(clip))
        count = probe(clip).frame_count
        assert count is not None
        assert len(frames) == FRAMES
        # MPEG-PS gives few of such small frames a time: how many there are, FFmpeg can only guess.
        assert count == FRAMES or name == "disc.mpg"
        assert max(abs(frame.time - time) for frame, time in zip(frames, IN_ORDER, strict=True)) <= Fraction(1, 500)
        assert worst(np.stack([frame.image for frame in frames]), np.stack(gradients(FRAMES))) < 6
        for index in (0, 7, 10, 16, count - 1):
            [single] = sample_frames(clip, 1, index, index + 1)
            assert worst(single.image[None], frames[index].image[None]) < 0.5
            assert single.time == frames[index].time
        assert len(list(sample_frames(clip, 3))) == 3

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    @pytest.mark.parametrize("name", ["broadcast.ts", "disc.mpg", "cut.mkv"])
    def test_a_copy_begins_with_the_first_frame_and_its_sound(self, tmp_path: Path, name: str, suffix: str) -> None:
        clip = make_footage(tmp_path / name, gradients(FRAMES), **KINDS[name])  # type: ignore[arg-type]
        out = copy(clip, tmp_path / f"out{suffix}")
        assert max(abs(a - b) for a, b in zip(times(out), IN_ORDER, strict=True)) <= Fraction(1, 500)
        with av.open(str(out)) as container:
            assert container.duration is not None
            assert abs(container.duration / av.time_base - FRAMES / RATE) < 0.1
            [sound] = container.streams.audio
            first = next(packet for packet in container.demux(sound) if packet.pts is not None)
            assert first.pts is not None
            assert abs(first.pts * first.time_base) < Fraction(1, 10)


class TestOrientation:
    @pytest.mark.parametrize("turned", range(4))
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_the_display_matrix_turns_and_mirrors(self, tmp_path: Path, turned: int, mirrored: bool) -> None:
        clip = make_clip(tmp_path / "clip.mp4", gradients(2), rotation=90)
        # Where one step to the right, and one down, in the stored picture lead: turned clockwise, mirrored before.
        right, down = [((1, 0), (0, 1)), ((0, 1), (-1, 0)), ((-1, 0), (0, -1)), ((0, -1), (1, 0))][turned]
        right = (-right[0], -right[1]) if mirrored else right
        content = clip.read_bytes()
        matrix = struct.pack(">9i", *(0, 65536, 0), *(-65536, 0, 0), 0, 0, 1 << 30)
        at = content.index(matrix[:24])
        wanted = struct.pack(">6i", *(65536 * step for step in (*right, 0, *down, 0)))
        clip.write_bytes(content[:at] + wanted + content[at + 24 :])
        shown = [picture[:, ::-1] if mirrored else picture for picture in gradients(2)]
        assert worst(images(clip), np.stack([np.rot90(picture, -turned) for picture in shown])) < 2


class TestInterlacing:
    def test_fields_of_two_moments_become_whole_frames(self, tmp_path: Path) -> None:
        """A bar that moves: each line of a frame shows the one of two moments."""

        def bar(moment: int) -> Picture:
            image = np.zeros((64, 128, 3), np.uint8)
            image[:, 2 * moment : 2 * moment + 24] = 200
            return image

        woven = [bar(2 * number) for number in range(12)]
        for number, picture in enumerate(woven):
            picture[1::2] = bar(2 * number + 1)[1::2]
        clip = make_footage(tmp_path / "clip.ts", woven, interlaced=True)
        shown = images(clip).astype(int)
        assert probe(clip).interlaced
        assert len(shown) == len(woven)
        combs = np.abs(np.diff(np.stack(woven[2:-2]).astype(int), axis=1)).mean()
        assert np.abs(np.diff(shown[2:-2], axis=1)).mean() < 0.2 * combs
        assert max(abs(a - b) for a, b in zip(times(clip), IN_ORDER, strict=False)) == 0
        [single] = sample_frames(clip, 1, 5, 6)
        assert worst(single.image[None], shown[5][None].astype(np.uint8)) < 3


class TestSound:
    @pytest.mark.parametrize(
        ("audio", "suffix", "out"),
        [
            ("pcm_s24le", ".mov", ".mp4"),
            ("pcm_u8", ".avi", ".mp4"),
            ("wmav2", ".wmv", ".mp4"),
            ("wmav2", ".wmv", ".mkv"),
            ("libopus", ".webm", ".mov"),
            ("flac", ".mkv", ".mov"),
        ],
    )
    def test_what_players_do_not_know_there_becomes_aac(
        self, tmp_path: Path, audio: str, suffix: str, out: str
    ) -> None:
        video = {".wmv": "wmv2", ".webm": "libvpx"}.get(suffix, "libx264")
        rate = 48_000 if audio == "libopus" else 44_100
        clip = tmp_path / f"clip{suffix}"
        with av.open(str(clip), "w") as container:
            stream = container.add_stream(video, rate=RATE, width=64, height=48, pix_fmt="yuv420p")
            track = container.add_stream(audio, rate=rate)
            assert isinstance(track, AudioStream)
            track.bit_rate = 128_000
            for number, picture in enumerate(gradients(FRAMES)):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = number, 1 / RATE
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            for sound in sine(440.0, FRAMES / RATE):
                container.mux(track.encode(sound))
            container.mux(track.encode(None))
        with open_writer(tmp_path / f"out{out}", probe(clip), signature="copy") as writer:
            for shown in read_frames(clip):
                writer.write(shown.image, shown.time)
        assert len(writer.notes) == 1
        assert "AAC" in writer.notes[0]
        codec, level, _ = loudness(tmp_path / f"out{out}")
        assert codec == "aac"
        assert 0.1 < level < 0.25  # a sine of a quarter of full scale

    def test_the_beat_stays_where_it_is(self, tmp_path: Path) -> None:
        """Sound that is encoded anew begins when it began."""
        clip = make_footage(tmp_path / "clip.avi", gradients(FRAMES))
        beat = tmp_path / "beat.mov"
        with av.open(str(beat), "w") as container, av.open(str(clip)) as pictures:
            stream = container.add_stream_from_template(pictures.streams.video[0])
            track = container.add_stream("pcm_s24le", rate=44_100)
            assert isinstance(track, AudioStream)
            wave = np.zeros((1, 2 * 44_100), np.int32)
            wave[:, 44_100 : 44_100 + 8820] = 1 << 29  # from half a second on, interleaved stereo
            sound = av.AudioFrame.from_ndarray(wave, format="s32", layout="stereo")
            sound.rate, sound.pts, sound.time_base = 44_100, 0, Fraction(1, 44_100)
            for number, packet in enumerate(p for p in pictures.demux(video=0) if p.size):
                packet.stream, packet.pts, packet.dts = stream, number, number
                container.mux(packet)
            container.mux(track.encode(sound))
            container.mux(track.encode(None))
        out = copy(beat, tmp_path / "out.mp4")
        with av.open(str(out)) as container:
            for frame in container.decode(audio=0):
                loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.1)
                if loud.size:
                    assert frame.time is not None
                    assert abs(frame.time + loud[0] / 44_100 - 0.5) < 0.01
                    return
        pytest.fail("the beat is lost")

    def test_what_nobody_can_decode_is_left_out_with_a_word(self, tmp_path: Path) -> None:
        clip = make_clip(tmp_path / "clip.mov", gradients(9), audio_tracks=2)
        content = clip.read_bytes()
        at = content.rindex(b"stsd")
        # As newer iPhones call their second track; and what else says that it is AAC is taken away.
        clip.write_bytes(content[:at] + content[at:].replace(b"mp4a", b"apac").replace(b"esds", b"none"))
        for suffix in (".mp4", ".mov", ".mkv"):
            with open_writer(tmp_path / f"out{suffix}", probe(clip), signature="copy") as writer:
                for frame in read_frames(clip):
                    writer.write(frame.image, frame.time)
            assert "left out" in writer.notes[0]
            assert loudness(tmp_path / f"out{suffix}")[0] == "aac"


ALPHA = np.repeat(np.linspace(0, 255, 64).round().astype(np.uint8)[None], 48, axis=0)


def make_transparent(path: Path, codec: str, pixels: str, options: dict[str, str] | None = None) -> Path:
    """Six frames of grey that fade in from the left."""
    image = np.dstack([np.full((48, 64, 3), 180, np.uint8), ALPHA])
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, width=64, height=48, pix_fmt=pixels, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.bit_rate = 4_000_000
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(image, "rgba").reformat(format=pixels)
            frame.pts, frame.time_base = number, 1 / RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def animated_webp(path: Path, pictures: Sequence[np.ndarray], durations: list[int]) -> Path:
    """An animation without loss, of RGB or RGBA, each picture so many milliseconds long."""
    first, *others = (Image.fromarray(picture) for picture in pictures)
    first.save(path, "WEBP", save_all=True, append_images=others, duration=durations, lossless=True, exact=True)
    return path


SRT = """1
00:00:00,200 --> 00:00:00,500
Grüße
zwei Zeilen

2
00:00:00,600 --> 00:00:01,000
<i>schräg</i> gesetzt
"""


def with_subtitles(path: Path, text: str) -> Path:
    """A clip of a second in Matroska with SRT."""
    clip, lines = make_footage(path.with_suffix(".h264.mkv"), gradients(25)), path.with_suffix(".srt")
    lines.write_text(text, encoding="utf-8")
    with av.open(str(clip)) as film, av.open(str(lines)) as words, av.open(str(path), "w", format="matroska") as out:
        tracks = [film.streams.video[0], words.streams.subtitles[0]]
        streams = [out.add_stream_from_template(track) for track in tracks]
        streams[1].metadata["language"] = "ger"
        for source, track, stream in zip((film, words), tracks, streams, strict=True):
            for packet in source.demux(track):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    return path


def subtitles(path: Path) -> tuple[str, str | None, list[tuple[float, float, str]]]:
    """The codec of the track of subtitles, its language, and its texts with beginning and length in seconds."""
    with av.open(str(path)) as container:
        [track] = container.streams.subtitles
        texts = []
        for packet in container.demux(track):
            lines = track.codec_context.decode2(packet) if packet.size else None
            if lines:
                assert packet.pts is not None
                assert packet.duration is not None
                begin, length = (float(ticks * packet.time_base) for ticks in (packet.pts, packet.duration))
                texts.append((begin, length, lines[0].dialogue.decode()))  # type: ignore[attr-defined]
        return track.codec_context.codec.canonical_name, track.metadata.get("language"), texts


class TestSubtitles:
    @pytest.mark.parametrize("suffix", [".mp4", ".mov"])
    def test_text_is_written_in_the_containers_own_kind_and_back(self, tmp_path: Path, suffix: str) -> None:
        clip = with_subtitles(tmp_path / "clip.mkv", SRT)
        out = tmp_path / f"out{suffix}"
        with open_writer(out, probe(clip), signature="a") as writer:
            for frame in read_frames(clip):
                writer.write(frame.image, frame.time)
        assert [note for note in writer.notes if "subtitles" in note]

        kind, language, texts = subtitles(out)
        assert (kind, language) == ("mov_text", "ger")
        spoken = [text for text in texts if text[2]]
        assert [(begin, length) for begin, length, _ in spoken] == [(0.2, 0.3), (0.6, 0.4)]
        assert "Grüße\nzwei Zeilen" in spoken[0][2]
        assert "schräg" in spoken[1][2]

        kind, language, again = subtitles(copy(out, tmp_path / "back.mkv"))
        assert kind == "subrip"
        assert [(begin, length) for begin, length, text in again if text] == [(0.2, 0.3), (0.6, 0.4)]
        assert again[0][2] == spoken[0][2]


def timecode(path: Path) -> str | None:
    """Of the first frame, by the file's tags or those of its pictures."""
    with av.open(str(path)) as container:
        tags = {**container.streams.video[0].metadata, **container.metadata}
        return next((value for key, value in tags.items() if key.lower() == "timecode"), None)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_cameras_timecode_comes_along_but_not_into_an_excerpt(tmp_path: Path, suffix: str) -> None:
    plain, clip = make_footage(tmp_path / "plain.mp4", gradients(5)), tmp_path / "clip.mov"
    with av.open(str(plain)) as film, av.open(str(clip), "w") as camera:
        camera.metadata["timecode"] = "10:11:12:13"
        stream = camera.add_stream_from_template(film.streams.video[0])
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = stream
                camera.mux(packet)
    with av.open(str(clip)) as made:
        assert [track.type for track in made.streams] == ["video", "data"]

    for name, excerpt in (("whole", False), ("part", True)):
        out = tmp_path / f"{name}{suffix}"
        with open_writer(out, probe(clip), excerpt=excerpt, signature="a") as writer:
            for frame in read_frames(clip):
                writer.write(frame.image, frame.time)
        assert not writer.notes
        assert timecode(out) == (None if excerpt else "10:11:12:13")


DURATIONS = [40, 80, 200, 40, 40, 120]
UNEVEN = [Fraction(ticks, 1000) for ticks in (0, 40, 120, 320, 360, 400)]


class TestAnimatedWebP:
    def test_it_is_read_as_any_video(self, tmp_path: Path) -> None:
        clip = animated_webp(tmp_path / "a", gradients(6), DURATIONS)
        info = probe(clip)
        assert (info.frame_count, info.duration) == (6, Fraction(52, 100))
        assert not info.has_alpha
        frames = list(read_frames(clip, 1, 5))
        assert [(frame.index, frame.time) for frame in frames] == list(enumerate(UNEVEN))[1:5]
        np.testing.assert_array_equal(np.stack([frame.image for frame in frames]), np.stack(gradients(6))[1:5])
        [third] = sample_frames(clip, 1, 2, 3)
        np.testing.assert_array_equal(third.image, gradients(6)[2])

    def test_a_copy_keeps_its_times_and_its_transparency(self, tmp_path: Path) -> None:
        opacity = np.full((*gradients(1)[0].shape[:2], 1), 255, np.uint8)
        opacity[:20] = 128
        clip = animated_webp(tmp_path / "a", [np.dstack([image, opacity]) for image in gradients(6)], DURATIONS)
        assert times(copy(clip, tmp_path / "out.mp4")) == UNEVEN
        out = tmp_path / "out.mov"
        with open_writer(out, probe(clip), encoding=Encoding(codec="prores"), signature="a") as writer:
            for frame in read_frames(clip):
                writer.write(frame.image, frame.time, frame.alpha)
        alphas = [frame.alpha for frame in read_frames(out)]
        assert all(alpha is not None and abs(int(alpha[10, 10]) - 128) <= 2 and alpha[-1, 0] > 253 for alpha in alphas)

    def test_one_that_breaks_off_gives_what_there_is(self, tmp_path: Path) -> None:
        clip = animated_webp(tmp_path / "a", gradients(6), DURATIONS)
        whole = clip.read_bytes()
        clip.write_bytes(whole[: len(whole) // 2])
        try:
            frames = list(read_frames(clip))
        except MediaError:
            return
        assert len(frames) < 6


class TestTransparency:
    @pytest.mark.parametrize(
        ("name", "codec", "pixels"),
        [
            ("clip.mov", "prores_ks", "yuva444p10le"),
            ("clip.webm", "libvpx-vp9", "yuva420p"),
            ("clip.mkv", "ffv1", "bgra"),
        ],
    )
    @pytest.mark.parametrize(("out", "kept"), [("prores", ".mov"), ("ffv1", ".mkv"), ("h264", ".mp4")])
    def test_it_is_kept_where_the_codec_can_and_said_where_not(
        self, tmp_path: Path, name: str, codec: str, pixels: str, out: str, kept: str
    ) -> None:
        clip = make_transparent(tmp_path / name, codec, pixels, {"profile": "4444"} if codec == "prores_ks" else None)
        frames = list(read_frames(clip))
        assert len(frames) == 6
        for frame in frames:
            assert frame.alpha is not None
            assert np.abs(frame.alpha.astype(int) - ALPHA).mean() < 3
            assert np.abs(frame.image[..., 1] - 180 * (ALPHA / 255)).mean() < 4

        encoding = Encoding(codec=out)
        with open_writer(tmp_path / f"out{kept}", probe(clip), signature="copy", encoding=encoding) as writer:
            for frame in frames:
                writer.write(frame.image, frame.time, frame.alpha)
        copied = list(read_frames(tmp_path / f"out{kept}"))
        assert len(copied) == 6
        assert worst(np.stack([f.image for f in copied]), np.stack([f.image for f in frames])) < 5
        assert any("transparency" in note for note in writer.notes) == (out == "h264")
        for frame in copied:
            assert (frame.alpha is None) == (out == "h264")
            assert frame.alpha is None or np.abs(frame.alpha.astype(int) - ALPHA).mean() < 3

    def test_an_opaque_video_has_none(self, tmp_path: Path) -> None:
        clip = make_clip(tmp_path / "clip.mp4", gradients(2))
        assert not probe(clip).has_alpha
        assert {frame.alpha is None for frame in read_frames(clip)} == {True}

    def test_pictures_of_it_are_transparent(self, tmp_path: Path) -> None:
        clip = make_transparent(tmp_path / "clip.mkv", "ffv1", "bgra")
        with SequenceWriter(tmp_path / "out", "copy") as writer:
            for frame in read_frames(clip):
                writer.write(frame.image, frame.time, frame.alpha)
        with Image.open(tmp_path / "out" / "000003.png") as picture:
            values = np.array(picture)
        np.testing.assert_array_equal(values[..., 3], ALPHA)
        assert np.abs(values[:, 10:, 1].astype(int) - 180).max() < 5
