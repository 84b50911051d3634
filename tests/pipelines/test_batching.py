"""Many jobs: what a plan says, that every job is done once, and that none suffers from another."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import pytest

from faceswap.errors import ConfigError, OutputError
from faceswap.media.video import read_frames
from faceswap.media.video_write import write_clip
from faceswap_pipelines.batching import run as engine
from faceswap_pipelines.batching.plan import Task, matching_files, read_plan, swap_plan
from faceswap_pipelines.batching.processes import Processes
from faceswap_pipelines.batching.state import Entry, State, key_of
from faceswap_pipelines.common.inputs import list_media
from faceswap_pipelines.swapping.job import SwapJob
from faceswap_pipelines.training.job import TrainJob
from support.clips import images
from support.commands import command, misused, refused
from support.studio import Studio

CLIPS = 12


def plan(folder: Path, text: str) -> Path:
    file = folder / "jobs.toml"
    file.write_text(text)
    return file


def swaps(folder: Path, studio: Studio, out: str = "out/{stem}.mp4") -> Path:
    return plan(
        folder, f'[[job]]\nkind = "swap"\ninputs = ["in/*.mp4"]\nmodel = "{studio.model.as_posix()}"\nout = "{out}"\n'
    )


def films(folder: Path, studio: Studio, count: int, frames: int = 4) -> list[Path]:
    """Short clips of a, each another part of it."""
    (folder / "in").mkdir()
    shots = images(studio.clips["a"])
    paths = [folder / "in" / f"{number:02d}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        write_clip(path, shots[number : number + frames], Fraction(25))
    return paths


def outputs(folder: Path) -> Mapping[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "out").glob("*.mp4")}


class TestPlan:
    def test_globs_templates_defaults_and_dependencies(self, studio: Studio, tmp_path: Path) -> None:
        paths = films(tmp_path, studio, 3)
        file = plan(
            tmp_path,
            """
            [defaults.swap]
            model = "models/pair"
            out = "{stem}_{model}_{date}.mp4"
            [[job]]
            kind = "swap"
            inputs = ["in/*.mp4"]
            settings = { face = "all", crf = 30 }
            [[job]]
            kind = "train"
            name = "training"
            a = "faces/a"
            b = "faces/b"
            model = "models/pair"
            steps = 5
            consent = { a = "nobody", b = "nobody" }
            [[job]]
            kind = "extract"
            inputs = ["in/00.mp4", "in/01.mp4"]
            out = "faces/a"
            [[job]]
            kind = "swap"
            inputs = ["in/02.mp4"]
            model = "models/other"
            after = ["training"]
            """,
        )
        tasks = read_plan(file)
        assert [task.kind for task in tasks] == ["extract", "train", "swap", "swap", "swap", "swap"]
        extracted, trained, *swapped = tasks
        assert trained.after == (extracted.name,)
        assert all(task.after == (trained.name,) for task in swapped)
        job = swapped[0].job
        assert isinstance(job, SwapJob)
        assert (job.settings.face, job.settings.encoding.crf) == ("all", 30)
        day = time.strftime("%Y-%m-%d", time.localtime(paths[0].stat().st_mtime))
        assert swapped[0].out == tmp_path / f"00_pair_{day}.mp4"
        assert isinstance(trained.job, TrainJob)
        assert trained.job.steps == 5
        assert [task.name for task in read_plan(file)] == [task.name for task in tasks]

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("", ("no jobs",)),
            ("[[jobs]]\n", ("unknown part 'jobs'",)),
            ('[job]\nkind = "swap"\n', ("no jobs", "[[job]]")),
            ('[defaults.swpa]\nmodel = "m"\n', ("defaults.swpa",)),
            ('[[job]]\nkind = "swap"\ninputs = ["*.mp4"]\nmodel = "m"\nout = "{stem}.mov"\n', ("nothing matches",)),
            ('[[job]]\nkind = "swap"\ninputs = ["x.mp4"]\nmodel = "m"\nout = "x.mp4"\n', ("become an input",)),
            ('[[job]]\nkind = "paint"\n', ("no known kind", "extract, train, swap")),
            ('[[job]]\nkind = "swap"\nvideo = "x"\n', ("unknown setting 'video'", "inputs")),
            ('[[job]]\nkind = "swap"\ninputs = ["x.mp4"]\nmodel = "m"\n', ("incomplete", "out")),
            (
                '[[job]]\nkind = "swap"\ninputs = ["x.mp4", "y.mp4"]\nmodel = "m"\nout = "o.mp4"\n',
                ("two jobs", "{stem}"),
            ),
            ('[[job]]\nkind = "swap"\ninputs = ["x.mp4"]\nmodel = "m"\nout = "{name}.mp4"\n', ("{stem}",)),
            ('[[job]]\nkind = "swap"\ninputs = ["x.mp4"]\nmodel = "m"\nout = "o.mp4"\nafter = ["z"]\n', ("'z'",)),
            (
                '[[job]]\nkind = "train"\nname = "x"\na = "a"\nb = "b"\nmodel = "m"\nafter = ["x"]\n'
                'consent = { a = "nobody", b = "nobody" }\n',
                ("wait for each other",),
            ),
            (
                '[[job]]\nkind = "train"\na = "a"\nb = "b"\nmodel = "m"\nconsent = { a = "Ada" }\n',
                ("not said who b", "consent = { b"),
            ),
            (
                '[[job]]\nkind = "swap"\ninputs = ["x"]\nmodel = "m"\nout = "o"\nsettings = { colour = "pink" }\n',
                ("pink",),
            ),
            ("[[job]\n", ("cannot be read as TOML",)),
        ],
    )
    def test_a_plan_that_cannot_be_right_is_refused(self, text: str, parts: tuple[str, ...], tmp_path: Path) -> None:
        refused(command("batch", plan(tmp_path, text)), *parts)
        assert [path.name for path in tmp_path.iterdir()] == ["jobs.toml"]

    @pytest.mark.parametrize(
        ("pattern", "out", "clash"),
        [
            ("*.mp4", "out/{stem}.mp4", False),
            ("*.mp4", "{stem}_b.mp4", True),
            ("take[1]/*.mp4", "take1/{stem}_b.mp4", True),
            ("take[1]/*.mp4", "take/{stem}_b.mp4", False),
            ("**/*.mp4", "out/{stem}.mp4", True),
            ("**/*.mp4", "out/{stem}.mkv", False),
            ("a/**/*.mp4", "out/a/{stem}.mp4", False),
            ("a/**", "a/c/{stem}_b.mp4", True),
            ("a", "a/c/{stem}_b.mp4", True),
            ("a", "out/{stem}.mp4", False),
        ],
    )
    def test_outputs_are_no_inputs(self, pattern: str, out: str, clash: bool, studio: Studio, tmp_path: Path) -> None:
        here = tmp_path / "plan[2]"
        for clip in ("top.mp4", "take1/one.mp4", "a/b/deep.mp4"):
            (here / clip).parent.mkdir(parents=True, exist_ok=True)
            (here / clip).touch()
        swap = f'kind = "swap"\ninputs = ["{pattern}"]\nmodel = "{studio.model.as_posix()}"\nout = "{out}"\n'
        file = plan(here, f"[[job]]\n{swap}")
        with pytest.raises(ConfigError, match="become an input") if clash else nullcontext():
            assert read_plan(file)

    def test_inputs_of_one_stem_have_results_of_their_own(self, studio: Studio, tmp_path: Path) -> None:
        """A phone's photo and the video beside it; the same name in two folders."""
        names = ("live.jpg", "live.mov", "once.avi", "day1/clip.mp4", "day2/clip.mp4", "day2/CLIP.mkv")
        for name in names:
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).touch()
        model = studio.model.as_posix()

        def made(out: str) -> dict[str, str]:
            text = f'[[job]]\nkind = "swap"\ninputs = ["in"]\nmodel = "{model}"\nout = "{out}"\n'
            jobs = [task.job for task in read_plan(plan(tmp_path, text))]
            paths = [(job.video, job.out) for job in jobs if isinstance(job, SwapJob)]
            return {str(video.relative_to(tmp_path / "in")): out.name for video, out in paths}

        apart = ["live_jpg.jpg", "live_mov.mov", "once.mp4", "day1_clip_mp4.mp4", "day2_clip_mp4.mp4", "CLIP_mkv.mkv"]
        assert made("out/{stem}.{suffix}") == dict(zip(names, apart, strict=True))
        assert made("out/{parent}_{stem}.mp4")["day1/clip.mp4"] == "day1_clip.mp4"
        with pytest.raises(ConfigError, match=r"\{parent\}"):
            made("out/{suffix}.mp4")
        job = SwapJob(video=tmp_path, model=studio.model, out=tmp_path)
        tasks = swap_plan([tmp_path / "in"], job, tmp_path / "in" / "out")()
        assert sorted(task.out.name for task in tasks) == sorted(apart)

    def test_a_dry_run_prints_it_and_does_nothing(self, studio: Studio, tmp_path: Path) -> None:
        films(tmp_path, studio, 2)
        result = command("batch", swaps(tmp_path, studio), "--dry-run")
        assert result.exit_code == 0
        assert "00.mp4" in result.stdout
        assert "2 jobs" in result.stdout
        said = json.loads(command("batch", swaps(tmp_path, studio), "--dry-run", "--json").stdout)
        assert [task["kind"] for task in said] == ["swap", "swap"]
        assert not outputs(tmp_path)

    def test_files_that_are_being_written_are_left_alone_while_watching(self, studio: Studio, tmp_path: Path) -> None:
        old, new = films(tmp_path, studio, 2)
        os.utime(old, (time.time() - 60, time.time() - 60))
        tasks = read_plan(swaps(tmp_path, studio), watching=True)
        assert [task.job.video for task in tasks if isinstance(task.job, SwapJob)] == [old]
        assert new.exists()

        # Of a film's pictures, the newest one says whether somebody still writes.
        frames = [tmp_path / "in" / "shot" / f"{number}.png" for number in range(2)]
        frames[0].parent.mkdir()
        for frame in frames:
            frame.write_bytes(b"\x89PNG\r\n\x1a\n")
        os.utime(frames[0], (time.time() - 60, time.time() - 60))
        assert matching_files(["in/shot"], tmp_path, 5.0, as_frames=True) == []
        os.utime(frames[1], (time.time() - 60, time.time() - 60))
        assert matching_files(["in/shot"], tmp_path, 5.0, as_frames=True) == [frames[0].parent]

    def test_the_plan_in_the_manual_is_one(self, tmp_path: Path) -> None:
        manual = (Path(__file__).parents[2] / "docs" / "batch.md").read_text(encoding="utf-8")
        text = manual.split("`jobs.toml` holds jobs of every kind")[1].split("A job that fails")[0].split("\n", 1)[1]
        for name in ("footage/alice_1.mp4", "in/one.mp4", "in/two.mp4"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        tasks = read_plan(plan(tmp_path, textwrap.dedent(text)))
        assert [task.kind for task in tasks] == ["extract", "train", "swap", "swap"]
        assert tasks[1].after == (tasks[0].name,)
        assert all(isinstance(task.job, SwapJob) and task.job.min_face == 40 for task in tasks[2:])

    def test_a_name_with_signs_of_a_glob_is_a_name(self, studio: Studio, tmp_path: Path) -> None:
        [clip] = films(tmp_path, studio, 1)
        clip.rename(tmp_path / "in" / "take[1].mp4")
        file = plan(tmp_path, '[[job]]\nkind = "extract"\ninputs = ["in/take[1].mp4"]\nout = "{stem}"\n')
        assert [task.out.name for task in read_plan(file)] == ["take[1]"]


class TestRunning:
    def test_twelve_clips_one_of_them_broken_killed_in_the_middle(self, studio: Studio, tmp_path: Path) -> None:
        paths = films(tmp_path, studio, CLIPS)
        paths[4].write_bytes(paths[4].read_bytes()[:900])
        file = swaps(tmp_path, studio)
        program = [sys.executable, "-m", "faceswap_cli", "batch", str(file), "--device", "cpu"]
        with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
            deadline = time.monotonic() + 120
            while len(outputs(tmp_path)) < 3 and killed.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            killed.send_signal(signal.SIGKILL)
        time.sleep(1.5)  # its worker notices that nobody is there any more
        early = outputs(tmp_path)
        assert 3 <= len(early) < CLIPS - 1
        result = command("batch", file, "--json", "--device", "cpu")
        assert result.exit_code == 3
        said = json.loads(result.stdout)
        assert (said["done"] + said["kept"], said["failed"]) == (CLIPS - 1, 1)
        assert said["kept"] >= len(early) - 1  # the last one may have been killed before it was noted
        assert "04.mp4" in result.stderr
        assert "cut short" in result.stderr
        late = outputs(tmp_path)
        assert len(late) == CLIPS - 1
        assert sum(late[name] == early[name] for name in early) >= len(early) - 1
        # Equal to single runs, frame for frame.
        for path in (paths[0], paths[-1]):
            single = tmp_path / f"single_{path.name}"
            assert command("swap", path, "--model", studio.model, "--out", single, "--device", "cpu").exit_code == 0
            for one, other in zip(read_frames(single), read_frames(tmp_path / "out" / path.name), strict=True):
                assert (one.image == other.image).all()
        again = json.loads(command("batch", file, "--json", "--device", "cpu").stdout)
        assert (again["done"], again["kept"], again["failed"]) == (0, CLIPS - 1, 1)
        assert outputs(tmp_path) == late

    def test_extract_train_and_swap_in_one_plan_and_only_what_changed_again(
        self, studio: Studio, tmp_path: Path
    ) -> None:
        [clip] = films(tmp_path, studio, 1, frames=14)
        text = f"""
            [[job]]
            kind = "extract"
            inputs = ["in/*.mp4"]
            out = "faces"
            [[job]]
            kind = "train"
            a = "faces"
            b = "{studio.facesets["b"].as_posix()}"
            model = "model"
            steps = 3
            consent = {{ a = "nobody", b = "nobody" }}
            settings = {{ size = 32, width = 8, max_width = 16, latent_size = 16 }}
            [[job]]
            kind = "swap"
            inputs = ["in/*.mp4"]
            model = "model"
            out = "out/{{stem}}.mp4"
            frames = "0:3"
            settings = {{ opacity = 1.0 }}
            """
        file = plan(tmp_path, text)
        first = json.loads(command("batch", file, "--json", "--device", "cpu").stdout)
        assert (first["done"], first["failed"]) == (3, 0), first
        plan(tmp_path, text.replace("opacity = 1.0", "opacity = 0.5"))
        second = json.loads(command("batch", file, "--json", "--device", "cpu").stdout)
        assert [outcome["status"] for outcome in second["outcomes"]] == ["kept", "kept", "done"]
        assert clip.exists()

    def test_what_needs_a_failed_job_fails_and_says_so(self, studio: Studio, tmp_path: Path) -> None:
        films(tmp_path, studio, 1)
        (tmp_path / "out").mkdir()
        text = f"""
            [[job]]
            kind = "train"
            a = "nowhere"
            b = "{studio.facesets["b"].as_posix()}"
            model = "model"
            consent = {{ a = "nobody", b = "nobody" }}
            steps = 2
            [[job]]
            kind = "swap"
            inputs = ["in/*.mp4"]
            model = "model"
            out = "out/{{stem}}.mp4"
            """
        result = command("batch", plan(tmp_path, text), "--json", "--device", "cpu")
        assert result.exit_code == 3
        reasons = [outcome["reason"] for outcome in json.loads(result.stdout)["outcomes"]]
        assert "not a faceset" in reasons[0]
        assert "another job, which failed" in reasons[1]

    def test_what_the_batch_has_not_made_is_not_replaced_and_what_it_has_made_is(
        self, studio: Studio, tmp_path: Path
    ) -> None:
        films(tmp_path, studio, 1)
        file = swaps(tmp_path, studio)
        theirs = tmp_path / "out" / "00.mp4"
        theirs.parent.mkdir()
        theirs.write_bytes(b"precious")
        for _ in range(2):  # also not the second time
            result = command("batch", file, "--device", "cpu")
            assert result.exit_code == 3
            assert "exists already" in result.stderr
            assert theirs.read_bytes() == b"precious"
        theirs.unlink()
        assert command("batch", file, "--device", "cpu").exit_code == 0
        made, model = theirs.read_bytes(), file.read_text()
        file.write_text(model.replace(studio.model.as_posix(), "nowhere"))
        assert command("batch", file, "--device", "cpu").exit_code == 3
        assert theirs.read_bytes() == made
        file.write_text(model + "settings = { opacity = 0.5 }\n")
        assert command("batch", file, "--device", "cpu").exit_code == 0
        assert theirs.read_bytes() != made

    def test_many_videos_in_one_line(self, studio: Studio, tmp_path: Path) -> None:
        films(tmp_path, studio, 2)
        words = ("swap", tmp_path / "in" / "*.mp4", "--model", studio.model, "--device", "cpu")
        result = command(*words, "--out-dir", tmp_path / "out", "--codec", "ffv1")
        assert result.exit_code == 0, result.output
        assert sorted(path.name for path in (tmp_path / "out").glob("*.m*")) == ["00.mkv", "01.mkv"]
        assert command(*words, "--out-dir", tmp_path / "out").exit_code == 0
        assert sorted(outputs(tmp_path)) == ["00.mp4", "01.mp4"]
        misused(command(*words, "--out-dir", tmp_path / "out", "--preview", 2), "for one video")
        refused(command("swap", tmp_path / "in", *words[2:], "--out-dir", tmp_path / "in"), "among the inputs")
        misused(command(*words), "not clear where to write", "--out-dir")
        refused(command("swap", tmp_path / "*.avi", *words[2:], "--out-dir", tmp_path / "out"), "nothing matches")

    def test_folders_are_opened_and_what_is_passed_over_is_said(self, studio: Studio, tmp_path: Path) -> None:
        [clip] = films(tmp_path, studio, 1)
        for name, content in (("sub/notes.txt", b"."), ("sub/.DS_Store", b"."), ("faces/faceset.db", b".")):
            (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "in" / name).write_bytes(content)
        (tmp_path / "in" / "faces" / "face.jpg").write_bytes(b"\xff\xd8\xff")  # of a faceset: no footage
        clip = clip.rename(tmp_path / "in" / "sub" / "clip.mp4")
        words = ("swap", tmp_path / "in", "--model", studio.model, "--device", "cpu")
        result = command(*words, "--out-dir", tmp_path / "out", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["done"] == 1
        assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
            f"Passed over {tmp_path / 'in' / 'sub' / 'notes.txt'}"
        ]
        listed = list_media([tmp_path / "in"])
        assert listed == [clip]

    def test_while_watching_new_and_changed_files_are_done(
        self, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "_WATCH_EVERY", 0.1)
        first, second = films(tmp_path, studio, 2)
        long_ago = time.time() - 60
        os.utime(first, (long_ago, long_ago))
        file = swaps(tmp_path, studio)
        job = engine.batch(lambda: read_plan(file, watching=True), tmp_path / "state.db", 1, "cpu", watch=True)

        def wait_for(wanted: Callable[[Mapping[str, int]], bool]) -> Mapping[str, int]:
            deadline = time.monotonic() + 120
            while not wanted(outputs(tmp_path)) and time.monotonic() < deadline:
                next(job)
            assert wanted(outputs(tmp_path))
            return outputs(tmp_path)

        try:
            made = wait_for(lambda there: list(there) == ["00.mp4"])
            os.utime(second, (long_ago, long_ago))  # nobody writes it any more
            made = wait_for(lambda there: len(there) == 2)
            write_clip(first, images(studio.clips["a"])[20:24], Fraction(25))
            os.utime(first, (long_ago, long_ago))
            after = wait_for(lambda there: there["00.mp4"] != made["00.mp4"])
            assert after["01.mp4"] == made["01.mp4"]
        finally:
            job.close()


class TestState:
    def task(self, studio: Studio, folder: Path) -> Task:
        job = SwapJob(video=studio.clips["a"], model=studio.model, out=folder / "o.mp4")
        return Task("swap", job)

    def test_it_is_kept(self, studio: Studio, tmp_path: Path) -> None:
        task = self.task(studio, tmp_path)
        with State(tmp_path / "state.db") as state:
            assert state.entry(task) is None
            state.note(task, Entry(status="failed", key="k", reason="no face", seconds=2.0))
        with State(tmp_path / "state.db") as state:
            assert state.entry(task) == Entry(status="failed", key="k", reason="no face", seconds=2.0)

    def test_names_need_not_be_text(self, studio: Studio, tmp_path: Path) -> None:
        job = SwapJob(video=studio.clips["a"], model=studio.model, out=tmp_path / os.fsdecode(b"caf\xe9.mp4"))
        task = Task(f"swap into {job.out}", job)
        with State(tmp_path / "state.db") as state:
            state.note(task, Entry(status="failed", key="k", reason=f"{job.out} is there"))
            entry = state.entry(task)
        assert entry is not None
        assert entry.reason.endswith("caf\\xe9.mp4 is there")

    def test_two_processes_cannot_have_it(self, tmp_path: Path) -> None:
        with State(tmp_path / "state.db"), pytest.raises(OutputError, match="in use"):
            State(tmp_path / "state.db")
        with State(tmp_path / "state.db"):
            pass

    def test_one_that_is_none_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "state.db").write_bytes(b"not a database" * 99)
        with pytest.raises(OutputError, match="Remove it"):
            State(tmp_path / "state.db")
        (tmp_path / "old.db").unlink(missing_ok=True)
        with sqlite3.connect(tmp_path / "old.db") as old:
            old.execute("PRAGMA user_version = 7")
        old.close()
        with pytest.raises(OutputError, match="another version"):
            State(tmp_path / "old.db")

    def test_the_key_follows_inputs_settings_and_weights(self, studio: Studio, tmp_path: Path) -> None:
        clip = tmp_path / "clip.mp4"
        clip.write_bytes(studio.clips["a"].read_bytes())
        job = SwapJob(video=clip, model=studio.model, out=tmp_path / "o.mp4")
        before = key_of(job)
        assert key_of(SwapJob(video=clip, model=studio.model, out=tmp_path / "o.mp4")) == before
        assert key_of(SwapJob(video=clip, model=studio.model, out=tmp_path / "o.mp4", frames=(0, 5))) != before
        clip.write_bytes(studio.clips["b"].read_bytes())
        assert key_of(job) != before


def test_a_worker_that_dies_costs_its_own_job_only(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films(tmp_path, studio, 3)
    tasks = read_plan(swaps(tmp_path, studio))
    job, killed = engine.batch(lambda: tasks, tmp_path / "state.db", 1, "cpu"), False
    give = Processes.give
    crews: list[Processes] = []
    monkeypatch.setattr(Processes, "give", lambda crew, task: (crews.append(crew), give(crew, task))[1])
    try:
        while True:
            next(job)
            if crews and not killed:
                worker = crews[0]._workers[0]
                assert worker is not None
                worker.process.kill()
                killed = True
    except StopIteration as end:
        result = end.value
    assert (result.done, result.failed) == (2, 1)
    assert "ended by the system" in next(outcome.reason for outcome in result.outcomes if outcome.reason)


def test_a_plan_without_its_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        read_plan(tmp_path / "none.toml")


def test_ctrl_c_stops_all_processes_and_what_was_done_stays(studio: Studio, tmp_path: Path) -> None:
    films(tmp_path, studio, 8)
    file = swaps(tmp_path, studio)
    program = [sys.executable, "-m", "faceswap_cli", "batch", str(file), "--device", "cpu"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as stopped:
        deadline = time.monotonic() + 120
        while not outputs(tmp_path) and stopped.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(stopped.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        _, errors = stopped.communicate(timeout=90)
    assert stopped.returncode == 130, errors
    assert b"Run the same command again" in errors
    assert b"Traceback" not in errors
    early = outputs(tmp_path)
    assert 1 <= len(early) < 8
    said = json.loads(command("batch", file, "--json", "--device", "cpu").stdout)
    assert said["failed"] == 0
    assert said["kept"] >= len(early) - 1
    assert len(outputs(tmp_path)) == 8
