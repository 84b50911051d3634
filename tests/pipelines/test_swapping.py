"""Swapping whole videos: which faces, into what files, with which settings, and from what odd footage."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from faceswap.config import SwapConfig
from faceswap.errors import ConfigError, OutputError
from faceswap.faces import person
from faceswap.faces.examples import read_examples
from faceswap.faces.selection import Selection, recognise_tracks, select_tracks, selected_faces
from faceswap.faces.skin import read_skins
from faceswap.faces.track import Tracker
from faceswap.faces.trackfile import Track
from faceswap.geometry import Similarity
from faceswap.media.codecs import CODECS, Encoding
from faceswap.media.pictures import read_picture, write_picture
from faceswap.media.sequence import SequenceWriter
from faceswap.media.video import probe, read_frames, sample_frames
from faceswap.media.video_write import write_clip
from faceswap.swapping.infer import Swapper
from faceswap.types import EMBEDDING, FrameFaces, Picture
from faceswap_pipelines.batching.plan import swap_plan
from faceswap_pipelines.common.marks import write_marked
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.swapping import run as swap_module
from faceswap_pipelines.swapping import sheet as swap_sheet
from faceswap_pipelines.swapping.job import SwapJob, SwapSettings, note_of_faded
from faceswap_pipelines.swapping.outputs import locked_outputs
from faceswap_pipelines.swapping.run import swap
from support.clips import UNSTEADY, copy, gradients, images, make_clip, times, worst
from support.commands import command, misused, refused
from support.heads import head
from support.studio import CLIP_FRAMES, Studio


def changed(before: Picture, after: Picture) -> np.ndarray:
    """Where a picture is another one, beyond what encoding does."""
    return cv2.blur(np.abs(before.astype(int) - after).max(axis=2).astype(np.float32), (9, 9)) > 6


@pytest.fixture(scope="module")
def pair(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a on the left and, a little smaller, b on the right: 12 frames."""
    path = tmp_path_factory.mktemp("pair") / "pair.mp4"
    shots = zip(*(images(studio.clips[person])[:12] for person in "ab"), strict=True)
    write_clip(path, (np.hstack([a, with_room(b)]) for a, b in shots), Fraction(25), Encoding(crf=10))
    return path


def with_room(image: Picture) -> Picture:
    room = np.full_like(image, 128)
    room[30:222, 30:222] = cv2.resize(image, (192, 192), interpolation=cv2.INTER_AREA)
    return room


class TestWhichFace:
    @pytest.mark.parametrize(
        ("words", "left", "right"),
        [
            ((), True, False),
            (("--face", "largest"), True, False),
            (("--face", "all"), True, True),
            (("--face", "like=PICTURE"), False, True),
            (("--face", "not=PICTURE"), True, False),
            (("--from", "b", "--to", "a"), False, True),
            (("--map", "a=b", "--map", "b=a"), True, True),
            (("--face", "left-to-right", "--to", "b,a"), True, True),
            (("--face", "left-to-right"), True, False),
        ],
    )
    def test_the_chosen_face_is_swapped_and_no_other(
        self,
        words: tuple[str, ...],
        left: bool,
        right: bool,
        pair: Path,
        studio: Studio,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(person, "SAME_PERSON", 0.3)  # drawn people are more alike than real ones
        write_picture(tmp_path / "b.png", images(studio.clips["b"])[20])
        given = [word.replace("PICTURE", str(tmp_path / "b.png")) for word in words]
        result = command("swap", pair, "--model", studio.model, "--out", tmp_path / "o.mkv", "--codec", "ffv1", *given)
        assert result.exit_code == 0, result.output
        found = np.any([changed(a, b) for a, b in zip(images(pair), images(tmp_path / "o.mkv"), strict=True)], axis=0)
        assert (bool(found[:, :256].any()), bool(found[:, 256:].any())) == (left, right)

    def test_the_way_is_checked_before_anything_is_done(self, pair: Path, studio: Studio, tmp_path: Path) -> None:
        words = ("swap", pair, "--model", studio.model, "--out", tmp_path / "o.mp4")
        refused(command(*words, "--face", "nicest"), "nicest", "left-to-right")
        refused(command(*words, "--face", "like"), "names no picture")
        refused(command(*words, "--to", "a,b"), "left-to-right")
        refused(command(*words, "--map", "a"), "--map a=b")
        refused(command(*words, "--map", "a=b", "--map", "a=a"), "each a once")
        refused(command(*words, "--map", "carol=b"), "no person 'carol'")
        misused(command(*words, "--from", "a", "--map", "a=b"), "--map says already")
        assert not list(tmp_path.iterdir())
        refused(command(*words, "--face", f"like={tmp_path / 'none.png'}"), "none.png")

    def test_columns_of_several_scenes_hold_whoever_stands_there(self) -> None:
        who = np.eye(EMBEDDING)
        tracks = [
            Track(number=1, identity=who[0], frames=9, size=50),
            Track(number=2, identity=who[1], frames=9, size=60),
            Track(number=3, identity=who[1], frames=3, size=40),
            Track(number=4, identity=who[0], frames=9, size=50),
        ]
        places = {1: 50.0, 2: 150.0, 3: 30.0, 4: 160.0}
        frames = [
            FrameFaces(
                index=i,
                time=Fraction(i),
                cut=i == 2,
                faces=tuple(head(Similarity(9, 0, places[n], 50), track=n) for n in numbers),
            )
            for i, numbers in enumerate([(1, 2), (1, 2), (3, 4)])
        ]
        selections = select_tracks("left-to-right", ("x", "y"), tracks, lambda: frames)
        assert selections == [Selection((1, 3), "x"), Selection((2, 4), "y")]
        assert [(face.track, person) for face, person in selected_faces(selections, frames[2].faces)] == [
            (3, "x"),
            (4, "y"),
        ]

    def test_each_is_taken_for_whom_they_are_most_like_and_nobody_for_a_stranger(self) -> None:
        who = np.eye(EMBEDDING)
        tracks = [Track(number=n, identity=who[n], frames=9, size=50) for n in (1, 2, 3)]
        known = {"a": who[1], "b": who[2]}
        assert recognise_tracks(known, {"a": "b"}, tracks) == [Selection((1,), "b")]
        assert recognise_tracks(known, {"b": "a", "a": "b"}, tracks) == [Selection((2,), "a"), Selection((1,), "b")]
        assert recognise_tracks({}, {"a": "b"}, tracks) == []  # the model was thrown away meanwhile

    def test_of_a_part_that_is_there_twice_the_first_is_swapped(self) -> None:
        faces = [head(track=1), head(track=2)]
        assert [face.track for face, _ in selected_faces([Selection((2, 1), "b")], faces)] == [2]
        assert selected_faces([Selection((3,), "b")], faces) == []
        assert len(selected_faces([Selection((1,), "a"), Selection((1,), "b")], faces)) == 1

    def test_a_wrong_choice_costs_no_analysis(
        self, pair: Path, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = ("swap", pair, "--model", studio.model, "--out", tmp_path / "o.mp4")
        monkeypatch.setattr(person, "SAME_PERSON", 0.0)  # so nobody is like anybody
        write_picture(tmp_path / "b.png", images(studio.clips["b"])[20])
        refused(command(*words, "--face", f"like={tmp_path / 'b.png'}"), "no face that is", "--face main")
        monkeypatch.undo()
        monkeypatch.setattr(Tracker, "follow", None)
        assert command(*words).exit_code == 0

    def test_a_picture_is_not_replaced_by_its_swap(self, studio: Studio, tmp_path: Path) -> None:
        write_picture(tmp_path / "me.png", images(studio.clips["a"])[0])
        words = ("swap", tmp_path / "me.png", "--model", studio.model, "--overwrite", "--out", tmp_path / "me.png")
        refused(command(*words), "input itself")


class TestCodecs:
    @pytest.mark.parametrize(
        ("name", "suffix"), [(name, suffix) for name in CODECS for suffix in CODECS[name].suffixes]
    )
    def test_every_codec_keeps_frames_and_times(self, name: str, suffix: str, tmp_path: Path) -> None:
        shots = gradients(9, 128, 96)
        clip = make_clip(tmp_path / "in.mp4", shots, UNSTEADY, audio_tracks=1)
        out = copy(clip, tmp_path / f"out{suffix}", segment_frames=4, encoding=Encoding(codec=name))
        exact = suffix != ".mkv"  # Matroska counts milliseconds
        assert all(
            abs(a - b) <= (0 if exact else Fraction(1, 2000)) for a, b in zip(times(out), times(clip), strict=True)
        )
        assert worst(images(out), images(clip)) <= (0 if name == "ffv1" else 8)
        info = probe(out)
        assert (info.width, info.height, info.has_audio) == (128, 96, True)
        assert info.color_matrix == ("untagged" if name == "ffv1" else "bt709")

    @pytest.mark.parametrize("name", CODECS)
    def test_odd_sizes(self, name: str, tmp_path: Path) -> None:
        shots = gradients(3, 131, 97)
        clip = make_clip(tmp_path / "in.mkv", shots, codec="ffv1", pix_fmt="bgr0")
        out = copy(clip, tmp_path / f"out{CODECS[name].suffixes[-1]}", encoding=Encoding(codec=name))
        assert worst(images(out)[:, :97, :131], images(clip)) <= (0 if name == "ffv1" else 8)

    def test_what_a_codec_does_not_have_is_refused(self, tmp_path: Path) -> None:
        for wrong in ({"codec": "mp3"}, {"crf": 99}, {"codec": "ffv1", "crf": 3}, {"preset": "rapid"}):
            with pytest.raises(ConfigError):
                Encoding(**wrong)  # type: ignore[arg-type]  # that is the point
        clip = make_clip(tmp_path / "in.mp4", gradients(2))
        with pytest.raises(OutputError, match="cannot hold prores"):
            copy(clip, tmp_path / "out.mp4", encoding=Encoding(codec="prores"))
        with pytest.raises(OutputError, match="no hardware encoder"):
            Encoding(codec="ffv1", hardware=True).encoder()
        with pytest.raises(ConfigError, match="no such presets"):
            Encoding(hardware=True, preset="slow")


class TestSequences:
    def test_frames_and_masks_as_pictures(self, studio: Studio, tmp_path: Path) -> None:
        words = ("--model", studio.model, "--frames", "0:7", "--out", tmp_path / "out", "--mask-out", tmp_path / "mask")
        result = command("swap", studio.clips["a"], *words)
        assert result.exit_code == 0, result.output
        names = [f"{i:06d}.png" for i in range(7)]
        for folder in ("out", "mask"):
            assert sorted(path.name for path in (tmp_path / folder).iterdir()) == names
        for name, before in zip(names, images(studio.clips["a"]), strict=False):
            after, mask = read_picture(tmp_path / "out" / name), read_picture(tmp_path / "mask" / name)
            elsewhere = mask.max(axis=2) == 0
            assert np.abs(after[elsewhere].astype(int) - before[elsewhere]).max() <= 13  # what the invisible mark does
            assert mask.max() > 250
        refused(command("swap", studio.clips["a"], *words), "exists already")
        assert command("swap", studio.clips["a"], *words, "--overwrite").exit_code == 0

    def test_numbered_pictures_in_and_out(self, studio: Studio, tmp_path: Path) -> None:
        """Names, gaps and transparency stay; a film of them lasts as long as their numbers say."""
        shot = tmp_path / "shot.v2"
        shot.mkdir()
        alpha = np.full((256, 256), 255, np.uint8)
        alpha[:, :20] = 90
        for frame in read_frames(studio.clips["a"], 0, 6):
            number = frame.index + 8 + 2 * (frame.index > 2)
            rgba = np.dstack([frame.image, alpha])
            Image.fromarray(rgba).save(shot / f"shot_{number}.png")
        words = ("swap", shot, "--model", studio.model, "--device", "cpu")
        refused(command(*words, "--out", tmp_path / "frames"), "is a folder", "--frame-rate")

        result = command(*words, "--frame-rate", 24, "--out", tmp_path / "frames", "--mask-out", tmp_path / "masks")
        assert result.exit_code == 0, result.output
        assert "2 are missing" in result.stderr
        names = [f"shot_{number}.png" for number in (10, 13, 14, 15, 8, 9)]
        for folder in ("frames", "masks"):
            assert sorted(path.name for path in (tmp_path / folder).iterdir()) == names
        with Image.open(tmp_path / "frames" / "shot_9.png") as swapped:
            np.testing.assert_array_equal(np.array(swapped)[..., 3], alpha)
        before, after = read_picture(shot / "shot_13.png"), read_picture(tmp_path / "frames" / "shot_13.png")
        assert changed(before, after)[100:150, 100:150].mean() > 0.5
        again = command(*words, "--frame-rate", 24, "--out", tmp_path / "frames", "--overwrite")
        assert again.exit_code == 0, again.output

        job = SwapJob(video=shot, model=studio.model, out=tmp_path, frame_rate=Fraction(24))
        [task] = swap_plan([tmp_path / "*.v2"], job, tmp_path / "all")()
        assert task.out == tmp_path / "all" / "shot_v2"

        film = command(*words, "--frame-rate", 24, "--out", tmp_path / "film.mp4")
        assert film.exit_code == 0, film.output
        assert [time * 24 for time in times(tmp_path / "film.mp4")] == [0, 1, 2, 5, 6, 7]
        assert probe(tmp_path / "film.mp4").duration == Fraction(8, 24)

    def test_an_interrupted_sequence_goes_on_and_other_work_is_thrown_away(self, tmp_path: Path) -> None:
        shots = gradients(5)
        with pytest.raises(KeyboardInterrupt), SequenceWriter(tmp_path / "out", "one") as writer:
            writer.write(shots[0], Fraction(0))
            writer.write(shots[1], Fraction(1))
            raise KeyboardInterrupt
        assert not (tmp_path / "out").exists()
        with SequenceWriter(tmp_path / "out", "one") as writer:
            assert writer.frames_done == 2
            for i, shot in enumerate(shots[2:]):
                writer.write(shot, Fraction(i))
        assert len(list((tmp_path / "out").iterdir())) == 5
        with pytest.raises(OutputError, match="No frame"), SequenceWriter(tmp_path / "out", "other"):
            pass
        with SequenceWriter(tmp_path / "out", "other") as writer:
            assert writer.frames_done == 0
            writer.write(shots[0], Fraction(0))
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["000000.png"]

    def test_half_a_picture_left_by_a_kill_is_swept_away(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt), SequenceWriter(tmp_path / "out", "one") as writer:
            writer.write(gradients(1)[0], Fraction(0))
            raise KeyboardInterrupt
        (tmp_path / ".out.partial" / ".000001.png.99.part").write_bytes(b"half")
        with SequenceWriter(tmp_path / "out", "one") as writer:
            assert writer.frames_done == 1
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["000000.png"]

    def test_nothing_of_the_users_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.txt").write_text("precious")
        with pytest.raises(OutputError, match="other things"):
            SequenceWriter(tmp_path / "out", "one")
        (tmp_path / "frames").mkdir()
        for number in (1, 2, 3):  # as FFmpeg writes them
            (tmp_path / "frames" / f"{number:06d}.png").write_bytes(b"precious")
        with pytest.raises(OutputError, match="other things"):
            SequenceWriter(tmp_path / "frames", "one")
        with pytest.raises(OutputError, match="cannot be written"):
            SequenceWriter(tmp_path / "no" / "folder", "one")


class TestSettings:
    def test_those_beside_an_output_make_it_again(self, studio: Studio, tmp_path: Path) -> None:
        words = ("swap", studio.clips["a"], "--model", studio.model, "--frames", "0:4", "--out")
        look = ("--codec", "ffv1", "--set", "colour=none", "--set", "opacity=0.5", "--set", "fade=0")
        assert command(*words, tmp_path / "one.mkv", *look).exit_code == 0
        settings = ("--settings", tmp_path / "one.settings.toml")
        assert command(*words, tmp_path / "two.mkv", *settings).exit_code == 0
        assert (images(tmp_path / "one.mkv") == images(tmp_path / "two.mkv")).all()
        assert command(*words, tmp_path / "three.mkv", *settings, "--set", "opacity=1").exit_code == 0
        assert not (images(tmp_path / "one.mkv") == images(tmp_path / "three.mkv")).all()

    def test_unknown_ones_are_refused(self, studio: Studio, tmp_path: Path) -> None:
        words = ("swap", studio.clips["a"], "--model", studio.model, "--out", tmp_path / "o.mp4")
        refused(command(*words, "--set", "sharpness=3"), "no setting 'sharpness'", "sharpen")
        refused(command(*words, "--set", "opacity=much"), "opacity")
        refused(command(*words, "--settings", tmp_path / "none.toml"), "none.toml")
        (tmp_path / "bad.toml").write_text("[look]\ncolor = 'linear'\n")
        refused(command(*words, "--settings", tmp_path / "bad.toml"), "unknown setting 'color'", "colour")

    def test_nobody_to_become_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="--to"):
            SwapSettings(to=())
        assert dataclasses.replace(SwapSettings(), map=("a=b", "b=a")).mapping == {"a": "b", "b": "a"}


def test_a_preview_shows_some_frames_and_writes_nothing_else(studio: Studio, tmp_path: Path) -> None:
    words = ("swap", studio.clips["a"], "--model", studio.model, "--out", tmp_path / "o.mp4", "--preview", 3, "--json")
    said = json.loads(command(*words).stdout)
    assert said["frames"] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["o.sheet.png"]
    assert read_picture(tmp_path / "o.sheet.png").shape[1] > 3 * 256


def test_sampled_frames_are_those_of_the_video(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", gradients(30))
    whole = list(read_frames(clip))
    for start, stop in ((0, None), (10, 20), (25, 99)):
        for frame in sample_frames(clip, 4, start, stop):
            assert start <= frame.index < (stop or 30)
            assert frame.time == whole[frame.index].time
            assert np.abs(frame.image.astype(int) - whole[frame.index].image).max() <= 1
    assert [frame.index for frame in sample_frames(clip, 3)] == [5, 15, 25]
    assert list(sample_frames(clip, 3, start=40)) == []


def around_a_face(image: Picture, width: int, height: int, x: float = 0.5, y: float = 0.5, face: int = 256) -> Picture:
    """`image`, `face` px high, with its middle at shares (x, y) of a larger picture."""
    scale = face / image.shape[0]
    move = np.array([[scale, 0, x * width - face / 2], [0, scale, y * height - face / 2]])
    return cv2.warpAffine(image, move, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=(90, 90, 90))


Footage = Callable[[Sequence[Picture], Path], Path]
ODD: dict[str, Footage] = {
    "variable frame rate": lambda shots, path: make_clip(path, shots[: len(UNSTEADY)], UNSTEADY),
    "rotated phone": lambda shots, path: make_clip(path, [np.rot90(shot).copy() for shot in shots], rotation=90),
    "odd size": lambda shots, path: make_clip(
        path.with_suffix(".mkv"), [shot[:251, :243] for shot in shots], codec="ffv1", pix_fmt="bgr0"
    ),
    "10 bits": lambda shots, path: make_clip(path, shots, codec="libx265", pix_fmt="yuv420p10le"),
    "4:2:2": lambda shots, path: make_clip(path, shots, pix_fmt="yuv422p"),
    "two audio tracks": lambda shots, path: make_clip(path, shots, audio_tracks=2),
    "one frame": lambda shots, path: make_clip(path, shots[:1]),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_footage(kind: str, studio: Studio, tmp_path: Path) -> None:
    video = ODD[kind](images(studio.clips["a"])[:9], tmp_path / "in.mp4")
    result = command("swap", video, "--model", studio.model, "--out", tmp_path / "o.mov", "--json")
    assert result.exit_code == 0, result.output
    assert times(tmp_path / "o.mov") == times(video)
    assert json.loads(result.stdout)["swapped"] == len(times(video))
    before, after = probe(video), probe(tmp_path / "o.mov")
    assert (after.width - after.width % 2, after.has_audio) == (before.width + before.width % 2, before.has_audio)
    middle = slice(110, 150), slice(100, 150)
    assert (
        np.abs(images(video)[0].astype(int) - images(tmp_path / "o.mov")[0][: before.height, : before.width])[
            middle
        ].mean()
        > 3
    )


@pytest.mark.parametrize("letter", ["n", "é"])
def test_names_as_long_as_file_systems_take_them(studio: Studio, tmp_path: Path, letter: str) -> None:
    stem = letter * (250 // len(letter.encode()))
    video = tmp_path / f"{stem}.mp4"
    video.write_bytes(studio.clips["a"].read_bytes())
    (tmp_path / "out").mkdir()
    job = SwapJob(video=video, model=studio.model, out=tmp_path / "out" / video.name, frames=(0, 3), device="cpu")
    result = run(swap(job))
    assert result.frames == 3
    assert {Path(name).is_file() for name in (result.out, result.sheet, result.settings)} == {True}
    assert not list((tmp_path / "out").glob(".*"))


def test_a_damaged_track_file_is_made_anew_with_a_word(studio: Studio, tmp_path: Path) -> None:
    job = SwapJob(video=studio.clips["a"], model=studio.model, out=tmp_path / "o.mp4", frames=(0, 6), device="cpu")
    run(swap(job))
    [place] = tmp_path.glob("*.tracks.db")
    with closing(sqlite3.connect(place)) as tracks, tracks:
        tracks.execute("UPDATE face SET points = zeroblob(4) WHERE frame = 4")
    before = images(job.out)
    result = run(swap(dataclasses.replace(job, overwrite=True)))
    assert any("damaged" in note for note in result.notes)
    np.testing.assert_array_equal(images(job.out), before)
    assert not run(swap(dataclasses.replace(job, overwrite=True))).notes


def test_an_8k_picture(studio: Studio, tmp_path: Path) -> None:
    write_picture(tmp_path / "in.jpg", around_a_face(images(studio.clips["a"])[0], 7680, 4320, 0.3, 0.4, face=2600))
    result = command("swap", tmp_path / "in.jpg", "--model", studio.model, "--out", tmp_path / "o.png")
    assert result.exit_code == 0, result.output
    assert read_picture(tmp_path / "o.png").shape == (4320, 7680, 3)


def test_a_face_half_out_of_the_picture(studio: Studio, tmp_path: Path) -> None:
    shots = [around_a_face(shot, 256, 256, x=0.78) for shot in images(studio.clips["a"])[:9]]
    write_clip(tmp_path / "in.mp4", shots, Fraction(25))
    result = command("swap", tmp_path / "in.mp4", "--model", studio.model, "--out", tmp_path / "o.mp4", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["swapped"] == 9


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_that_lies_or_stands_on_its_head_is_swapped(quarters: int, studio: Studio, tmp_path: Path) -> None:
    shots = [
        shot if i < 6 else np.rot90(shot, quarters).copy() for i, shot in enumerate(images(studio.clips["a"])[:12])
    ]
    video = make_clip(tmp_path / "in.mkv", shots, codec="ffv1", pix_fmt="bgr0")
    words = ("--out", tmp_path / "o.mkv", "--codec", "ffv1", "--json")
    result = command("swap", video, "--model", studio.model, *words)
    assert json.loads(result.stdout)["swapped"] == 12
    pairs = zip(images(video), images(tmp_path / "o.mkv"), strict=True)
    assert all(changed(before, after).any() for before, after in pairs)


def test_a_minute_without_a_face(studio: Studio, tmp_path: Path) -> None:
    shots = images(studio.clips["a"])[:6]
    empty = [np.full_like(shots[0], 128)] * 300
    write_clip(tmp_path / "in.mp4", [*shots, *empty, *shots], Fraction(5))
    result = command("swap", tmp_path / "in.mp4", "--model", studio.model, "--out", tmp_path / "o.mp4", "--json")
    said = json.loads(result.stdout)
    assert (said["frames"], said["swapped"]) == (312, 12)
    assert probe(tmp_path / "o.mp4").duration == probe(tmp_path / "in.mp4").duration


def test_a_swap_goes_on_after_an_interruption_frame_for_frame(studio: Studio, tmp_path: Path) -> None:
    """Also where the two outputs stopped at different places."""

    def job(name: str) -> SwapJob:
        out, mask = tmp_path / name, tmp_path / f"{name}_mask"
        return SwapJob(video=studio.clips["a"], model=studio.model, out=out, mask_out=mask, device="cpu")

    run(swap(job("whole")))
    interrupted = swap(job("out"))
    for progress in interrupted:
        if progress.title.startswith("Swapping") and progress.done == 33:
            interrupted.close()
    for path in sorted((tmp_path / ".out.partial").glob("*.png"))[21:]:
        path.unlink()
    assert run(swap(job("out"))).frames == CLIP_FRAMES - 21
    for one, other in (("whole", "out"), ("whole_mask", "out_mask")):
        names = sorted(path.name for path in (tmp_path / one).iterdir())
        assert len(names) == CLIP_FRAMES
        for name in names:
            assert (read_picture(tmp_path / one / name) == read_picture(tmp_path / other / name)).all()
    # Some of its frames were written before.
    assert (read_picture(tmp_path / "whole.sheet.png") == read_picture(tmp_path / "out.sheet.png")).all()


@pytest.mark.parametrize("kind", ["video", "picture"])
def test_what_lies_beside_a_swap_is_there_before_it(
    kind: str, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk is full for the sheet, the same again ends the work, and the swap is found with its settings."""
    source, out = studio.clips["a"], tmp_path / "out.mp4"
    if kind == "picture":
        source, out = tmp_path / "in.png", tmp_path / "out.png"
        write_picture(source, images(studio.clips["a"])[0])

    def full(*_: object) -> None:
        raise OutputError("the disk is full", "Make room")

    job = SwapJob(video=source, model=studio.model, out=out, device="cpu")
    for module in (swap_module, swap_sheet):
        monkeypatch.setattr(module, "write_marked", full)
    with pytest.raises(OutputError, match="full"):
        run(swap(job))
    assert not out.exists()
    for module in (swap_module, swap_sheet):
        monkeypatch.setattr(module, "write_marked", write_marked)
    result = run(swap(job))
    assert out.exists()
    assert Path(result.settings).exists()
    assert Path(result.sheet).is_file()
    assert not list(tmp_path.glob(".*"))


def test_a_result_tells_how_often_a_swap_was_faded(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = cycle((1.0, 0.5, 0.0))  # of one frame after the other
    monkeypatch.setattr(Swapper, "familiarity", lambda *_: next(shares))
    job = SwapJob(
        video=studio.clips["a"], model=studio.model, out=tmp_path / "out.mp4", frames=(0, CLIP_FRAMES), device="cpu"
    )
    result = run(swap(job))
    assert result.frames == CLIP_FRAMES
    assert result.swapped == result.faded == CLIP_FRAMES * 2 / 3
    assert result.notes[-1].startswith(f"in {result.faded} of {CLIP_FRAMES} frames")
    assert note_of_faded(0, CLIP_FRAMES) == ()


def test_two_swaps_of_a_picture_do_not_write_one_output(studio: Studio, tmp_path: Path) -> None:
    write_picture(tmp_path / "in.png", images(studio.clips["a"])[0])
    out = tmp_path / "out.png"
    job = SwapJob(video=tmp_path / "in.png", model=studio.model, out=out, device="cpu")
    with locked_outputs(job), pytest.raises(OutputError, match="being written"):
        run(swap(job))
    assert not out.exists()


def test_training_takes_the_persons_skin_and_swapping_lays_it_on(studio: Studio, tmp_path: Path) -> None:
    skins = read_skins(studio.model)
    assert sorted(skins) == ["a", "b"]
    assert all((skin.known > 0.5).mean() > 0.1 for skin in skins.values())
    assert (swapped_with(studio, tmp_path / "1", skin=1) != swapped_with(studio, tmp_path / "0", skin=0)).any()


def test_training_keeps_examples_and_swapping_takes_detail_from_them(studio: Studio, tmp_path: Path) -> None:
    examples = read_examples(studio.model)
    assert sorted(examples) == ["a", "b"]
    assert all(len(pictures) >= 5 for pictures in examples.values())
    assert (swapped_with(studio, tmp_path / "1", features=1) != swapped_with(studio, tmp_path / "0", features=0)).any()


def swapped_with(studio: Studio, out: Path, **look: float) -> Picture:
    """The first frame of a film, swapped."""
    settings = SwapSettings(look=SwapConfig(occlusion=0.0, **look))  # type: ignore[arg-type]  # all given are floats
    run(swap(SwapJob(video=studio.clips["a"], model=studio.model, out=out, frames=(0, 2), settings=settings)))
    return read_picture(sorted(out.glob("*.png"))[0])
