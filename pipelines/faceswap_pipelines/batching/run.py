"""Run a plan: every task once, several at a time where the machine allows it, whatever happens to the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from faceswap.errors import FaceswapError
from faceswap_pipelines.batching.crew import Crew, Ended
from faceswap_pipelines.batching.plan import Task, outputs_of
from faceswap_pipelines.batching.processes import POLL, Processes
from faceswap_pipelines.batching.segments import SegmentingCrew
from faceswap_pipelines.batching.state import Entry, State, key_of
from faceswap_pipelines.batching.worker import Done
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.swapping.job import SwapJob, note_of_faded
from faceswap_pipelines.training.job import TrainJob

_WATCH_EVERY = 5.0  # seconds between two looks for new files

Plan = Callable[[], Sequence[Task]]


@dataclass(frozen=True)
class Outcome:
    """What became of a task in this run."""

    name: str
    status: str
    """done, failed, or kept: it was done before."""
    reason: str = ""
    """Why it failed, or what was left out or not done well."""
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
    *,
    watch: bool = False,
    ray: str | None = None,
    on_outcome: Callable[[Outcome], object] = lambda _outcome: None,
) -> Run[BatchResult]:
    """Do all tasks of the plan that are not done yet; one that fails does not stop the others.

    With `watch`, look for new tasks until stopped. With `ray` the machines of that cluster do them: see
    `cluster.connected`. `on_outcome` hears of each failure when it happens. Stopped or killed, it goes on where it was
    when it is started again, here or on a cluster.
    Raises OutputError if another process works on the same batch.
    """
    outcomes: dict[str, Outcome] = {}

    tasks = plan()
    seen = {task.name: _stamp(task) for task in tasks}
    with State(state_file) as state, SegmentingCrew(_crew(state_file, device, workers, ray)) as crew:
        yield from _finish(tasks, outcomes, state, crew, on_outcome)

        while watch:
            looked = time.monotonic()
            while time.monotonic() - looked < _WATCH_EVERY:
                yield Progress(title="Waiting for new files", done=len(outcomes), total=None, unit="jobs")
                time.sleep(POLL)
            tasks = _changed(plan(), seen)
            for task in tasks:
                outcomes.pop(task.name, None)
            yield from _finish(tasks, outcomes, state, crew, on_outcome)

    statuses = [outcome.status for outcome in outcomes.values()]
    done, kept, failed = (statuses.count(status) for status in ("done", "kept", "failed"))

    return BatchResult(done=done, kept=kept, failed=failed, outcomes=list(outcomes.values()))


def _crew(state_file: Path, device: str, workers: int | None, ray: str | None) -> AbstractContextManager[Crew]:
    if ray is None:
        return Processes(device, workers)

    from faceswap_pipelines.batching import cluster  # its packages are an extra

    return cluster.connected(ray, state_file, device, workers)


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
    crew: Crew,
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

        for ended in crew.answers():
            outcomes[ended.task.name] = _note(ended, state)

        for name in outcomes.keys() - heard:
            heard.add(name)
            if outcomes[name].reason:
                on_outcome(outcomes[name])

        yield Progress(title="Jobs", done=len(outcomes), total=total, unit="jobs", note=crew.note())


def _begin(task: Task, outcomes: dict[str, Outcome], state: State, crew: Crew) -> None:
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


def _note(ended: Ended, state: State) -> Outcome:
    task, answer, seconds = ended.task, ended.answer, ended.seconds
    before = state.entry(task)
    key = before.key if before else ""
    if isinstance(answer, Done):
        state.note(task, Entry(status="done", key=key, seconds=seconds, result=answer.result, ours=True))
        return Outcome(task.name, "done", _worth_knowing(json.loads(answer.result)), seconds)
    made = any(path.exists() for path in outputs_of(task.job))  # if nothing, what may come there later is not ours
    state.note(task, Entry(status="failed", key=key, reason=answer.reason, seconds=seconds, ours=made))
    return Outcome(task.name, "failed", answer.reason, seconds)


def _worth_knowing(result: Mapping[str, Any]) -> str:
    """Of a job that is done: inputs of an extraction that could not be read, frames that were not swapped well."""
    left_out = [f"left out: {why}" for why in result.get("failed", {}).values()]
    return "; ".join([*left_out, *note_of_faded(result.get("faded", 0), result.get("frames", 0))])


def _has_failed(name: str, outcomes: dict[str, Outcome]) -> bool:
    return name in outcomes and outcomes[name].status == "failed"
