"""Run a plan: every task once, several at a time where the machine allows it, whatever happens to the others."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

import torch

from faceswap.errors import FaceswapError
from faceswap_pipelines.batching.plan import Task, outputs_of
from faceswap_pipelines.batching.state import Entry, State, key_of
from faceswap_pipelines.batching.worker import Done, Failed, work
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.swapping.job import SwapJob
from faceswap_pipelines.training.job import TrainJob

_CORES = 4  # that one worker on the processor keeps busy
_POLL = 0.5  # seconds between two looks at the workers, in which a stop may come
_WATCH_EVERY = 5.0  # seconds between two looks for new files
_PATIENCE = 60.0  # seconds in which a stopped task may save what it has

Plan = Callable[[], Sequence[Task]]


@dataclass(frozen=True)
class Outcome:
    """What became of a task in this run."""

    name: str
    status: str
    """done, failed, or kept: it was done before."""
    reason: str = ""
    """Why it failed, or what was left out."""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What came of it all."""

    done: int
    kept: int
    """Done in an earlier run from the same inputs, settings and model, and still there."""
    failed: int
    outcomes: list[Outcome]


def batch(
    plan: Plan,
    state_file: Path,
    workers: int | None = None,
    device: str = "auto",
    watch: bool = False,
    on_outcome: Callable[[Outcome], object] = lambda _outcome: None,
) -> Run[BatchResult]:
    """Do all tasks of the plan that are not done yet; one that fails does not stop the others.

    With `watch`, look for new tasks until stopped. `on_outcome` hears of each failure when it happens. Stopped or
    killed, it goes on where it was when it is started again.
    Raises OutputError if another process works on the same batch.
    """
    outcomes: dict[str, Outcome] = {}

    tasks = plan()
    seen = {task.name: _stamp(task) for task in tasks}
    with State(state_file) as state, _Crew(_places(device, workers)) as crew:
        yield from _finish(tasks, outcomes, state, crew, on_outcome)

        while watch:
            looked = time.monotonic()
            while time.monotonic() - looked < _WATCH_EVERY:
                yield Progress(title="Waiting for new files", done=len(outcomes), total=None, unit="jobs")
                time.sleep(_POLL)
            tasks = _changed(plan(), seen)
            for task in tasks:
                outcomes.pop(task.name, None)
            yield from _finish(tasks, outcomes, state, crew, on_outcome)

    statuses = [outcome.status for outcome in outcomes.values()]
    done, kept, failed = (statuses.count(status) for status in ("done", "kept", "failed"))

    return BatchResult(done=done, kept=kept, failed=failed, outcomes=list(outcomes.values()))


def _changed(tasks: Sequence[Task], seen: dict[str, object]) -> list[Task]:
    """The tasks that are new, whose inputs have changed, or that depend on such ones; they are `seen` then."""
    changed: list[Task] = []
    for task in tasks:  # those that others depend on come first
        again = {other.name for other in changed}
        if seen.get(task.name) != (stamp := _stamp(task)) or again.intersection(task.after):
            seen[task.name] = stamp
            changed.append(task)
    return changed


def _stamp(task: Task) -> object:
    """Something that is another when an input is."""
    job = task.job
    footage = () if isinstance(job, TrainJob) else (job.video,) if isinstance(job, SwapJob) else job.inputs
    return task, [(path.stat().st_size, path.stat().st_mtime_ns) for path in footage if path.exists()]


def _finish(
    tasks: Sequence[Task],
    outcomes: dict[str, Outcome],
    state: State,
    crew: _Crew,
    on_outcome: Callable[[Outcome], object],
) -> Run[None]:
    """Run `tasks` and add to `outcomes` what becomes of each."""
    waiting, total, heard = list(tasks), len(outcomes) + len(tasks), set(outcomes)

    while waiting or crew.busy:
        for task in list(waiting):
            if needed := next((name for name in task.after if _has_failed(name, outcomes)), None):
                outcomes[task.name] = Outcome(task.name, "failed", f"it needs another job, which failed: {needed}")
                waiting.remove(task)
            elif crew.free and all(name in outcomes for name in task.after):
                waiting.remove(task)
                _begin(task, outcomes, state, crew)

        for task, answer, seconds in crew.answers():
            outcomes[task.name] = _note(task, answer, seconds, state)

        for name in outcomes.keys() - heard:
            heard.add(name)
            if outcomes[name].reason:
                on_outcome(outcomes[name])

        yield Progress(title="Jobs", done=len(outcomes), total=total, unit="jobs", note=crew.note())


def _begin(task: Task, outcomes: dict[str, Outcome], state: State, crew: _Crew) -> None:
    """Hand a task to a free worker, unless it is done already."""
    before = state.entry(task) or Entry(status="queued", key="")
    try:
        key = key_of(task.job)
    except (FaceswapError, OSError):
        key = ""  # its inputs cannot be read: the job itself will say why

    outputs = outputs_of(task.job)
    if before.status == "done" and before.key == key and all(path.exists() for path in outputs):
        outcomes[task.name] = Outcome(task.name, "kept")
        return

    if isinstance(task.job, SwapJob):
        # What this batch has made may be replaced, what somebody else has made may not.
        there = next((path for path in outputs if path.exists()), None)
        if there is not None and not before.ours:
            why = f"{there} exists already, and this batch has not made it. Move it away, or name another output"
            outcomes[task.name] = Outcome(task.name, "failed", why)
            return
        task = replace(task, job=replace(task.job, overwrite=True))

    try:
        for path in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"the folder {path.parent} cannot be made ({error.strerror}). Choose another place"
        outcomes[task.name] = Outcome(task.name, "failed", why)
        return

    state.note(task, Entry(status="running", key=key, ours=True))
    crew.give(task)


def _note(task: Task, answer: Done | Failed, seconds: float, state: State) -> Outcome:
    before = state.entry(task)
    key = before.key if before else ""
    if isinstance(answer, Done):
        state.note(task, Entry(status="done", key=key, seconds=seconds, result=answer.result, ours=True))
        passed_over = json.loads(answer.result).get("failed", {})  # inputs of an extraction that could not be read
        return Outcome(task.name, "done", "; ".join(f"left out: {why}" for why in passed_over.values()), seconds)
    made = any(path.exists() for path in outputs_of(task.job))  # if nothing, what may come there later is not ours
    state.note(task, Entry(status="failed", key=key, reason=answer.reason, seconds=seconds, ours=made))
    return Outcome(task.name, "failed", answer.reason, seconds)


def _has_failed(name: str, outcomes: dict[str, Outcome]) -> bool:
    return name in outcomes and outcomes[name].status == "failed"


def _places(device: str, workers: int | None) -> list[tuple[str, int]]:
    """Device and threads of each worker: one for each GPU, or as many as the processor has cores for."""
    cores = os.cpu_count() or 1
    if device == "auto" and torch.cuda.is_available():
        names = [f"cuda:{number}" for number in range(torch.cuda.device_count())][:workers]
    else:
        names = ["cpu" if device == "auto" else device] * (workers or max(1, cores // _CORES))
    return [(name, max(1, cores // len(names))) for name in names]


class _Worker:
    """A process, and the task that it has."""

    def __init__(self, device: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # a forked CUDA or OpenMP does not work
        self.orders, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, device, threads), daemon=False)
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.started = 0.0
        self.progress: Progress | None = None


class _Crew:
    """The workers, to be used in a `with` block; one that dies is replaced when there is work for it."""

    def __init__(self, places: Sequence[tuple[str, int]]) -> None:
        self._places = list(places)
        self._workers: list[_Worker | None] = [None] * len(places)

    @property
    def _active(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker is not None and worker.task is not None]

    @property
    def busy(self) -> bool:
        """Whether any task is being done."""
        return bool(self._active)

    @property
    def free(self) -> bool:
        """Whether a further one can be given."""
        return len(self._active) < len(self._workers)

    def give(self, task: Task) -> None:
        """Have a free worker do it."""
        at = next(i for i, worker in enumerate(self._workers) if worker is None or worker.task is None)
        worker = self._workers[at]
        if worker is None or not worker.process.is_alive():  # one that has nothing to do can die, too
            worker = _Worker(*self._places[at])
        self._workers[at] = worker
        worker.task, worker.started, worker.progress = task, time.monotonic(), None
        worker.orders.send(task)

    def answers(self) -> list[tuple[Task, Done | Failed, float]]:
        """The tasks that have ended by now, and how; waits a moment for news."""
        ended: list[tuple[Task, Done | Failed, float]] = []
        by_pipe: dict[Connection, _Worker] = {worker.orders: worker for worker in self._active}

        for pipe in wait(list(by_pipe), _POLL) if by_pipe else []:
            worker = by_pipe[pipe]  # type: ignore[index]  # wait gives back what it was given
            answer = self._next(worker)
            if isinstance(answer, Progress):
                worker.progress = answer
            else:
                assert worker.task is not None  # only active workers are asked
                ended.append((worker.task, answer, time.monotonic() - worker.started))
                worker.task = None

        return ended

    def _next(self, worker: _Worker) -> Progress | Done | Failed:
        """The worker's latest word."""
        try:
            answer: Progress | Done | Failed = worker.orders.recv()
            while isinstance(answer, Progress) and worker.orders.poll():
                answer = worker.orders.recv()
            return answer
        except (EOFError, ConnectionResetError):
            self._workers[self._workers.index(worker)] = None
            worker.process.join()
            why = f"its process was ended by the system (exit code {worker.process.exitcode})"
            return Failed(f"{why}. Perhaps the memory was full: see how it does alone")

    def note(self) -> str:
        """What is being done, in a line."""
        return "; ".join(_short(worker) for worker in self._active)

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        """Stops what is being done; it keeps what it has."""
        workers = [worker for worker in self._workers if worker is not None]
        for worker in workers:
            if worker.task is not None:
                worker.process.terminate()
            worker.orders.close()
        for worker in workers:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _short(worker: _Worker) -> str:
    progress = worker.progress
    if progress is None:
        return "starting"
    share = f" {progress.done / progress.total:.0%}" if progress.total else ""
    return f"{progress.title}{share} {progress.note}".strip()
