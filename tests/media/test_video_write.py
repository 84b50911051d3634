"""Laws of writing videos: frames, times and audio survive, and interruptions cost no finished work."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from faceswap.errors import OutputError
from faceswap.media.video import probe, read_frames
from faceswap.media.video_write import open_writer
from support.clips import GOOD, UNSTEADY, copy, gradient, gradients, images, make_clip, times, worst


@pytest.fixture(scope="module")
def talkie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 steady frames, 64x48, with two audio tracks."""
    return make_clip(tmp_path_factory.mktemp("clips") / "talkie.mp4", gradients(), audio_tracks=2)


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / ".out.mp4.partial"


def interrupted_copy(source: Path, out: Path, frames: int, signature: str = "copy") -> None:
    """Begins a copy and leaves it with an exception after so many frames."""
    info = probe(source)
    with (
        pytest.raises(KeyboardInterrupt),
        open_writer(out, info, signature=signature, encoding=GOOD, segment_frames=4) as writer,
    ):
        for frame in read_frames(source, start=writer.frames_done, stop=frames):
            writer.write(frame.image, frame.time)
        raise KeyboardInterrupt


def audio_packets(path: Path) -> list[list[tuple[bytes, Fraction]]]:
    """The bytes and times of each audio track's packets."""
    with av.open(str(path)) as container:
        tracks: list[list[tuple[bytes, Fraction]]] = [[] for _ in container.streams.audio]
        numbers = {track.index: number for number, track in enumerate(container.streams.audio)}
        for packet in container.demux(container.streams.audio) if tracks else ():
            if packet.size and packet.pts is not None:
                tracks[numbers[packet.stream_index]].append((bytes(packet), packet.pts * packet.time_base))
        return tracks


class TestWriting:
    @pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
    def test_a_copy_has_the_same_frames_times_and_audio(self, tmp_path: Path, talkie: Path, suffix: str) -> None:
        out = copy(talkie, tmp_path / f"out{suffix}", segment_frames=8)
        assert worst(images(out), images(talkie)) < 2
        assert times(out) == times(talkie)
        info = probe(out)
        assert (info.frame_rate, info.color_matrix, info.full_range) == (Fraction(25), "bt709", False)
        assert info.duration is not None
        assert abs(info.duration - Fraction(30, 25)) < Fraction(1, 20)
        for copied, original in zip(audio_packets(out), audio_packets(talkie), strict=True):
            assert [content for content, _ in copied] == [content for content, _ in original]
            rounding = Fraction(1, 2000) if suffix == ".mkv" else 0  # Matroska counts in milliseconds
            assert all(abs(a - b) <= rounding for (_, a), (_, b) in zip(copied, original, strict=True))
        assert os.listdir(tmp_path) == [out.name]

    @pytest.mark.parametrize("first_tick", [0, 1, 7777])
    def test_unsteady_times_and_a_late_start_are_exact(self, tmp_path: Path, first_tick: int) -> None:
        shifted = [tick + first_tick for tick in UNSTEADY]
        clip = make_clip(tmp_path / "clip.mkv", gradients(9), shifted, audio_tracks=1)
        out = copy(clip, tmp_path / "out.mp4", segment_frames=4)
        assert times(out) == times(clip)
        assert copy(out, tmp_path / "again.mp4").exists()
        assert times(tmp_path / "again.mp4") == times(clip)

    def test_the_last_frame_stays_as_long_as_in_the_source(self, tmp_path: Path, talkie: Path) -> None:
        info = probe(copy(talkie, tmp_path / "out.mp4"))
        assert info.duration == probe(talkie).duration

    @pytest.mark.parametrize("first", [0, 10])
    def test_a_part_begins_at_zero_with_its_own_sound(self, first: int, tmp_path: Path, talkie: Path) -> None:
        out, begin, end = tmp_path / "part.mp4", Fraction(first, 25), Fraction(20, 25)
        with open_writer(out, probe(talkie), excerpt=True, signature="part", encoding=GOOD) as writer:
            for frame in read_frames(talkie, first, 20):
                writer.write(frame.image, frame.time)
        assert times(out) == [time - begin for time in times(talkie)[first:20]]
        for copied, original in zip(audio_packets(out), audio_packets(talkie), strict=True):
            own = [number for number, (_, time) in enumerate(original) if begin <= time < end]
            wanted = original[max(0, own[0] - 1) : own[-1] + 1]  # and what the decoder needs before it
            assert copied == [(content, time - begin) for content, time in wanted]

    def test_one_frame_and_no_audio(self, tmp_path: Path) -> None:
        clip = make_clip(tmp_path / "clip.mp4", gradients(1))
        out = copy(clip, tmp_path / "out.mp4")
        assert len(images(out)) == 1
        assert not probe(out).has_audio

    def test_an_odd_size_grows_by_a_replicated_edge(self, tmp_path: Path) -> None:
        clip = make_clip(tmp_path / "clip.mkv", gradients(2, 63, 47), codec="ffv1")
        out = images(copy(clip, tmp_path / "out.mp4"))
        assert out.shape == (2, 48, 64, 3)
        assert worst(out[:, :47, :63], images(clip)) < 2

    def test_nothing_to_write_is_an_error(self, tmp_path: Path, talkie: Path) -> None:
        with (
            pytest.raises(OutputError, match="No frame"),
            open_writer(tmp_path / "out.mp4", probe(talkie), signature="none"),
        ):
            pass
        assert not (tmp_path / "out.mp4").exists()

    def test_refuses_destinations_that_cannot_work(self, tmp_path: Path, talkie: Path) -> None:
        (tmp_path / "folder.mp4").mkdir()
        for out in (tmp_path / "out.avi", tmp_path / "no" / "out.mp4", tmp_path / "folder.mp4", talkie):
            with pytest.raises(OutputError) as caught:
                open_writer(out, probe(talkie), signature="any")
            assert caught.value.remedy

    def test_refuses_a_picture_of_another_size_and_times_that_run_backwards(self, tmp_path: Path, talkie: Path) -> None:
        with open_writer(tmp_path / "out.mp4", probe(talkie), signature="any") as writer:
            writer.write(gradient(0, 64, 48), Fraction(1))
            with pytest.raises(ValueError, match="increase"):
                writer.write(gradient(0, 64, 48), Fraction(1))
            with pytest.raises(ValueError, match="expected"):
                writer.write(gradient(0, 64, 50), Fraction(2))

    def test_a_full_disk_is_told_with_a_remedy_and_can_be_resumed(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), dtype=np.uint8)
        clip = make_clip(tmp_path / "clip.mp4", list(noise))
        with pytest.raises(OutputError, match="cannot be written"), file_size_limit(60_000):
            copy(clip, tmp_path / "out.mp4", segment_frames=4)
        assert not (tmp_path / "out.mp4").exists()
        assert times(copy(clip, tmp_path / "out.mp4", segment_frames=4)) == times(clip)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Lets no file grow beyond so many bytes: writing fails as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestResuming:
    def test_a_resumed_copy_equals_an_uninterrupted_one(self, tmp_path: Path, talkie: Path, partial: Path) -> None:
        interrupted_copy(talkie, tmp_path / "out.mp4", frames=10)
        assert sorted(os.listdir(partial)) == ["000000.nut", "000001.nut", "signature"]
        interrupted_copy(talkie, tmp_path / "out.mp4", frames=21)
        assert len(os.listdir(partial)) == 6
        resumed = copy(talkie, tmp_path / "out.mp4", segment_frames=4)
        whole = copy(talkie, tmp_path / "whole.mp4", segment_frames=4)
        assert resumed.read_bytes() == whole.read_bytes()
        assert times(resumed) == times(talkie)
        assert not partial.exists()

    def test_another_signature_starts_afresh(self, tmp_path: Path, talkie: Path) -> None:
        interrupted_copy(talkie, tmp_path / "out.mp4", frames=10, signature="old")
        with open_writer(tmp_path / "out.mp4", probe(talkie), signature="new") as writer:
            assert writer.frames_done == 0
            writer.write(gradient(0, 64, 48), Fraction(0))

    def test_a_damaged_segment_and_broken_off_files_are_done_again(
        self, tmp_path: Path, talkie: Path, partial: Path
    ) -> None:
        interrupted_copy(talkie, tmp_path / "out.mp4", frames=16)
        (partial / "000001.nut").write_bytes(b"")
        (partial / "000004.part").write_bytes(b"half")
        (partial / "whole.mp4").write_bytes(b"half")
        out = copy(talkie, tmp_path / "out.mp4", segment_frames=4)
        assert times(out) == times(talkie)
        assert worst(images(out), images(talkie)) < 2

    def test_work_killed_while_joining_is_only_joined(self, tmp_path: Path, talkie: Path) -> None:
        interrupted_copy(talkie, tmp_path / "out.mp4", frames=28)
        with open_writer(
            tmp_path / "out.mp4", probe(talkie), signature="copy", encoding=GOOD, segment_frames=4
        ) as writer:
            assert writer.frames_done == 28
        assert len(times(tmp_path / "out.mp4")) == 28

    def test_sigkill_loses_only_the_unfinished_segment(self, tmp_path: Path, talkie: Path) -> None:
        script = f"""
import time
from pathlib import Path
from faceswap.media.codecs import Encoding
from faceswap.media.video import probe, read_frames
from faceswap.media.video_write import open_writer
source = Path({str(talkie)!r})
encoding = Encoding(codec={GOOD.codec!r}, crf={GOOD.crf}, preset={GOOD.preset!r})
settings = dict(signature="copy", encoding=encoding, segment_frames=4)
with open_writer(Path({str(tmp_path / "out.mp4")!r}), probe(source), **settings) as writer:
    for frame in read_frames(source, stop=14):
        writer.write(frame.image, frame.time)
    print("written", flush=True)
    time.sleep(60)
"""
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"written\n"
            child.send_signal(signal.SIGKILL)
        assert len(list((tmp_path / ".out.mp4.partial").glob("*.nut"))) == 3  # 12 of the 14 frames
        resumed = copy(talkie, tmp_path / "out.mp4", segment_frames=4)
        whole = copy(talkie, tmp_path / "whole.mp4", segment_frames=4)
        assert resumed.read_bytes() == whole.read_bytes()
        assert sorted(os.listdir(tmp_path)) == ["out.mp4", "whole.mp4"]
