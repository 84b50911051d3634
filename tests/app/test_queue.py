"""The app's queue: jobs are processes of their own, and everything that is known of them is on disk."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil
import pytest

from faceswap.errors import ConfigError, OutputError
from faceswap_app import processes
from faceswap_app import queue as queue_module
from faceswap_app.jobs import DONE, FAILED, HALTED, RUNNING, WAITING, QueuedJob, read_job, write_job
from faceswap_app.journal import Journal
from faceswap_app.page import note_end
from faceswap_app.queue import Queue
from faceswap_cli.terminal import run_with_progress
from faceswap_pipelines.common.progress import Progress
from faceswap_pipelines.common.protocol import PROGRESS_FILE, read_report

# Does what a command does, as it is told, without the seconds that one takes to load.
COMMAND = """
import json, os, pathlib, signal, sys, time
word = sys.argv[1]
report_file = pathlib.Path(os.environ["FACESWAP_PROGRESS"])
def stop(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(0.3)
    report_file.with_name("saved").touch()
    print("Stopped; what was done is saved.", file=sys.stderr)
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
report = {"title": "Working", "done": 5, "total": 10, "unit": "frames", "note": "", "seconds": 5.0, "first": 0}
report_file.write_text(json.dumps(report))
if word == "wait":
    time.sleep(60)
if word == "moment":
    time.sleep(1)
if word == "fail":
    print("Error: it is broken. Mend it.", file=sys.stderr)
    sys.exit(3)
if word == "crash":
    raise RuntimeError("a bug")
print(json.dumps({"kept": 3, "arguments": sys.argv[1:]}))
"""


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PROGRAM", (sys.executable, "-c", COMMAND))


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(tmp_path)
    yield made
    made.close()


def wait_for(done: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def status(queue: Queue, job: QueuedJob) -> str:
    return next(known.status for known in queue.jobs() if known.id == job.id)


def test_one_after_the_other(queue: Queue) -> None:
    first, second = queue.add("p", "First", ["moment"]), queue.add("p", "Second", ["done"], "/tmp/x y.mp4")
    wait_for(lambda: status(queue, first) == RUNNING)
    assert status(queue, second) == WAITING
    wait_for(lambda: status(queue, second) == DONE)
    assert queue.result(second) == {"kept": 3, "arguments": ["done", "--out", "/tmp/x y.mp4", "--json"]}
    report = queue.report(second)
    assert report is not None
    assert (report.share, report.seconds_left) == (0.5, 5.0)
    assert second.command == "faceswap done --out '/tmp/x y.mp4'"
    assert queue.latest("p", ("done",)) is not None
    assert queue.latest("other", ("done",)) is None


@pytest.mark.parametrize(
    ("word", "reason"), [("fail", "it is broken. Mend it."), ("crash", "ended unexpectedly"), ("wait", "was killed")]
)
def test_says_why_it_failed(queue: Queue, word: str, reason: str) -> None:
    job = queue.add("p", "Job", [word])
    if word == "wait":
        wait_for(lambda: queue.report(job))
        os.kill(next(known.pid for known in queue.jobs()), signal.SIGKILL)
    wait_for(lambda: status(queue, job) == FAILED)
    [known] = queue.jobs()
    assert reason in known.reason
    assert "Traceback" not in known.reason


def test_the_log_says_whose_job_has_ended_and_how(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "log")) as journal, closing(Queue(tmp_path)) as queue:
        queue.tell_ends(partial(note_end, journal))
        job = queue.add("p", "Broken", ["fail"], owner="ada")
        wait_for(lambda: status(queue, job) == FAILED)
        stopped = queue.add("p", "Long", ["wait"], owner="cem")
        wait_for(lambda: queue.report(stopped))

    first, second = (json.loads(line) for line in (tmp_path / "log").read_text().splitlines())
    told = {"did": "job ended", "who": "ada", "project": "p", "job": job.id, "title": "Broken", "status": FAILED}
    assert told.items() <= first.items()
    assert "it is broken" in first["reason"]
    assert 0 <= first["seconds"] <= 15
    assert (second["who"], second["status"]) == ("cem", HALTED)  # by the end of the page


def test_the_same_job_is_not_queued_twice(queue: Queue) -> None:
    first = queue.add("p", "Job", ["wait"])
    with pytest.raises(ConfigError, match="in the queue already"):
        queue.add("p", "Job", ["wait"], "/another/out.mp4")
    queue.stop(first.id)
    wait_for(lambda: status(queue, first) == HALTED)
    again = queue.again(first.id)
    assert again.arguments == first.arguments


def test_stops_and_removes(queue: Queue) -> None:
    running, waiting = queue.add("p", "Running", ["wait"]), queue.add("p", "Waiting", ["done"])
    wait_for(lambda: queue.report(running))
    with pytest.raises(ConfigError, match="Stop it first"):
        queue.remove(running.id)
    queue.stop(waiting.id)
    queue.stop(running.id)
    wait_for(lambda: status(queue, running) == HALTED)
    assert status(queue, waiting) == HALTED
    for job in (running, waiting):
        queue.remove(job.id)
    assert queue.jobs() == []
    with pytest.raises(ConfigError, match="not in the list"):
        queue.stop(running.id)


def test_a_job_that_is_stopped_twice_saves_all_the_same(queue: Queue, tmp_path: Path) -> None:
    job = queue.add("p", "Job", ["wait"])
    wait_for(lambda: queue.report(job))
    for _ in range(2):
        queue.stop(job.id)
    wait_for(lambda: status(queue, job) == HALTED)
    assert (tmp_path / ".jobs" / job.id / "saved").exists()


def test_a_full_disk_does_not_end_the_queue(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = queue.add("p", "First", ["wait"]), queue.add("p", "Second", ["done"])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    wait_for(lambda: queue.report(first))
    monkeypatch.setattr(queue_module, "write_job", full)
    with pytest.raises(OSError, match="No space"):
        queue.stop(first.id)
    wait_for(lambda: status(queue, first) == HALTED)
    monkeypatch.setattr(queue_module, "write_job", write_job)
    wait_for(lambda: status(queue, second) == DONE)


@pytest.mark.parametrize("word", ["nul\0", "half \ud800", "line\nbreak"])
def test_what_is_no_text_is_no_command(queue: Queue, word: str) -> None:
    for title, words, out in (("Job", ["swap", word], ""), ("Job", ["swap"], word), (word, ["swap"], "")):
        with pytest.raises(ConfigError, match="no text"):
            queue.add("p", title, words, out)
    assert queue.jobs() == []


def test_a_job_that_cannot_start_does_not_end_the_queue(tmp_path: Path) -> None:
    """Nor does one that was waiting when the page was closed, and whose file is odd."""
    write_job(
        tmp_path / ".jobs" / "0001",
        QueuedJob(id="0001", project="p", title="Too long", arguments=("swap", "x" * 5_000_000)),
    )
    write_job(
        tmp_path / ".jobs" / "0002", QueuedJob(id="0002", project="p", title="Poisoned", arguments=("swap", "a\0b"))
    )
    write_job(tmp_path / ".jobs" / "0003", QueuedJob(id="0003", project="p", title="Sound", arguments=("done",)))
    queue = Queue(tmp_path)
    sound = next(job for job in queue.jobs() if job.id == "0003")
    wait_for(lambda: status(queue, sound) == DONE)
    assert [(job.id, job.status) for job in queue.jobs()] == [("0001", FAILED), ("0003", DONE)]
    assert "could not be started" in queue.jobs()[0].reason
    queue.close()


def test_a_page_that_is_started_anew_goes_on(tmp_path: Path) -> None:
    """The first page is killed: its job runs on, and the next page sees it run, and its end."""
    first = Queue(tmp_path)
    job, later = first.add("p", "Job", ["moment"]), first.add("p", "Later", ["done"])
    wait_for(lambda: first.report(job))
    first._ended.set()  # as if it had been killed: nobody stops the job
    first._worker.join()
    first._owned.close()
    second = Queue(tmp_path)
    assert status(second, job) == RUNNING
    wait_for(lambda: status(second, later) == DONE)
    assert status(second, job) == DONE
    second.close()
    assert first._processes._own
    for process in first._processes._own.values():
        process.wait()


def test_a_process_with_the_same_number_is_another_one(tmp_path: Path) -> None:
    own = psutil.Process()
    write_job(
        tmp_path / ".jobs" / "0007",
        QueuedJob(
            id="0007", project="p", title="Job", arguments=("wait",), out="", status=RUNNING, pid=own.pid, born=1.0
        ),
    )
    (tmp_path / ".jobs" / "0008").mkdir()
    (tmp_path / ".jobs" / "0008" / "job.json").write_text("{")  # cut short by a full disk
    queue = Queue(tmp_path)
    wait_for(lambda: queue.jobs()[0].status == FAILED)
    assert [job.id for job in queue.jobs()] == ["0007"]
    queue.close()


def test_the_end_of_the_page_stops_what_runs(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    running, waiting = queue.add("p", "Running", ["wait"]), queue.add("p", "Waiting", ["done"])
    wait_for(lambda: queue.report(running))
    with pytest.raises(OutputError, match="another page"):
        Queue(tmp_path)
    queue.close()
    kept = [read_job(tmp_path / ".jobs" / job.id) for job in (running, waiting)]
    assert [job.status for job in kept if job] == [HALTED, WAITING]
    assert json.loads((tmp_path / ".jobs" / waiting.id / "job.json").read_text())["arguments"] == ["done"]


def test_commands_keep_their_latest_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work() -> Generator[Progress, None, str]:
        yield Progress(title="Looking", done=2, total=None, unit="frames")
        yield Progress(title="Working", done=4, total=8, unit="frames", note="fast")
        return "done"

    monkeypatch.setenv(PROGRESS_FILE, str(tmp_path / "progress.json"))
    assert run_with_progress(work(), quiet=True) == "done"
    report = read_report(tmp_path / "progress.json")
    assert report is not None
    assert (report.title, report.done, report.first, report.share, report.note) == ("Working", 4, 4, 0.5, "fast")


MODEL, CLIP, OUT = "/p/pair/model", "/p/pair/clips/x.mp4", "/p/pair/results/x.mp4"
SWAP = ["swap", CLIP, "--model", MODEL]


def test_a_swap_waits_for_the_training_that_was_stopped(tmp_path: Path) -> None:
    """Also after a restart: it neither overtakes the training nor forgets it, and goes on when that is done."""
    queue = Queue(tmp_path)
    training = queue.add("pair", "Train", ["wait", "--out", MODEL])
    swap = queue.add("pair", "Swap", SWAP, OUT)
    other = queue.add("other", "Other", ["done"])
    assert swap.after == (training.id,)
    wait_for(lambda: queue.report(training))
    queue.close()

    queue = Queue(tmp_path)
    wait_for(lambda: status(queue, other) == DONE)  # it needs nothing of these
    assert status(queue, swap) == WAITING
    assert "waits for 'Train', which was stopped" in next(job.reason for job in queue.jobs() if job.id == swap.id)
    with pytest.raises(ConfigError, match="'Swap' waits for this job"):
        queue.remove(training.id)

    again = queue.again(training.id)
    wait_for(lambda: queue.report(again))
    assert status(queue, swap) == WAITING
    assert next(job for job in queue.jobs() if job.id == swap.id).after == (again.id,)
    queue.stop(again.id)
    wait_for(lambda: status(queue, again) == HALTED)
    queue.start_anyway(swap.id)
    wait_for(lambda: status(queue, swap) == DONE)
    queue.close()


def test_jobs_wait_for_what_they_read_and_for_nothing_else(queue: Queue) -> None:
    first = queue.add("pair", "Find", ["wait", CLIP, "--out", "/p/pair/faces/a"])
    again = queue.add("pair", "Find otherwise", ["extract", CLIP, "--out", "/p/pair/faces/a", "--min-face", "20"])
    train = queue.add("pair", "Train", ["train", "--a", "/p/pair/faces/a", "--person", "c=/p/c", "--model", MODEL])
    demo = queue.add("pair", "Demo", ["demo", "--out", "/p/pair"])
    assert again.after == ()  # it makes the same
    assert train.after == (first.id, again.id)
    assert demo.after == ()
    assert queue.add("pair", "Swap", SWAP, OUT).after == (train.id, demo.id)
    assert train.touches(Path("/p/c/x"))
    assert train.touches(Path("/p/pair"))
    assert not train.touches(Path("/p/pair/clips"))


def test_what_a_job_uses_is_left_alone_and_jobs_follow_new_names(queue: Queue, tmp_path: Path) -> None:
    model = tmp_path / "pair" / "model"
    job = queue.add("pair", "Train", ["wait", f"--person=c={model}", "--model", str(model)])
    with pytest.raises(ConfigError, match="a job uses this: Train"), queue.unused([tmp_path / "pair"]):
        pass
    queue.stop(job.id)
    wait_for(lambda: status(queue, job) == HALTED)
    with queue.unused([tmp_path / "pair"]):
        queue.moved(tmp_path / "pair", tmp_path / "duo")
    [known] = queue.jobs()
    assert (known.project, known.arguments[1]) == ("duo", f"--person=c={tmp_path / 'duo' / 'model'}")
    queue.forget([tmp_path / "pair"])
    assert queue.jobs() == [known]
    queue.forget([tmp_path / "duo" / "model"])
    assert queue.jobs() == []
    assert not (tmp_path / ".jobs" / job.id).exists()


def test_users_take_turns(queue: Queue) -> None:
    """Whoever asks for one job waits for one of somebody who has asked for many, not for all."""
    jobs = [queue.add("p", f"ada {number}", ["done", str(number)], owner="ada") for number in range(3)]
    jobs.append(queue.add("q", "bruno", ["done", "x"], owner="bruno"))
    queue.move(jobs[2].id, "next")
    wait_for(lambda: all(job.over for job in queue.jobs()))
    begun = {job.title: job.begun for job in queue.jobs()}
    assert begun["bruno"] < max(begun[f"ada {number}"] for number in (0, 1))
    assert begun["bruno"] < begun["ada 1"]


def test_a_job_for_each_gpu(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.use_devices(2)
    first, second, third = (queue.add("p", str(number), ["wait", str(number)]) for number in range(3))
    wait_for(lambda: queue.report(first) and queue.report(second))
    known = {job.id: job for job in queue.jobs()}
    assert {known[first.id].device, known[second.id].device} == {0, 1}
    assert known[third.id].status == WAITING
    queue.stop(first.id)
    wait_for(lambda: status(queue, third) == RUNNING)
    assert next(job.device for job in queue.jobs() if job.id == third.id) == known[first.id].device


def test_jobs_that_would_disturb_each_other_do_not_run_at_once(queue: Queue) -> None:
    queue.use_devices(3)
    first = queue.add("p", "Find", ["wait", "/p/x.mp4", "--out", "/p/faces/a"])
    again = queue.add("p", "Find otherwise", ["wait", "/p/y.mp4", "--out", "/p/faces/a"])
    other = queue.add("p", "Find of b", ["wait", "/p/x.mp4", "--out", "/p/faces/b"])
    wait_for(lambda: queue.report(first) and queue.report(other))
    assert status(queue, again) == WAITING


def test_jobs_of_a_version_before_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "0001"
    folder.mkdir()
    (folder / "job.json").write_text('{"id": "0001", "project": "p", "title": "T", "arguments": ["train"]}')
    job = read_job(folder)
    assert job is not None
    assert (job.owner, job.place, job.device) == ("", 0, 0)
