"""One long video by many hands: its swap is cut into segments, which a crew does side by side."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import asdict, replace
from typing import Any

from faceswap.config import from_dict
from faceswap.errors import FaceswapError
from faceswap_pipelines.batching.crew import Crew, Ended
from faceswap_pipelines.batching.plan import Task
from faceswap_pipelines.batching.processes import Processes
from faceswap_pipelines.batching.worker import Done, Failed, job_of
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.progress import Progress, Run
from faceswap_pipelines.swapping.job import (
    FirstPassJob,
    FirstPassResult,
    FrameCounts,
    SegmentJob,
    SwapJob,
    SwapResult,
    note_of_faded,
)
from faceswap_pipelines.swapping.outputs import locked_outputs

Stages = Generator[list[Task], list[str], SwapResult]
"""Yields tasks that can be done side by side, takes their results (JSON), and returns what came of all."""


def in_segments(task: Task) -> Stages:
    """A swap, stage by stage: the first pass, the segments, and the joining. No other process writes the same outputs
    meanwhile. Raises OutputError if one does so already."""
    job, began = task.job, time.monotonic()
    assert isinstance(job, SwapJob)  # others are not cut

    with locked_outputs(job):
        [text] = yield [replace(task, name=f"{task.name}, first pass", job=FirstPassJob(**vars(job)))]
        found = from_dict(FirstPassResult, json.loads(text), task.name)

        spans = [(first, stop) for first, stop in found.segments]
        segments = [SegmentJob(**vars(job), span=span, selections=found.selections) for span in spans]
        texts = yield [
            replace(task, name=f"{task.name}, segment {number} of {len(segments)}", job=segment)
            for number, segment in enumerate(segments, start=1)
        ]
        counts = [from_dict(FrameCounts, json.loads(text), task.name) for text in texts]

    [text] = yield [replace(task, job=replace(job, segments=1))]
    joined = from_dict(SwapResult, json.loads(text), task.name)
    return _with_counts(joined, sum(counts, FrameCounts()), time.monotonic() - began)


def _with_counts(joined: SwapResult, counts: FrameCounts, seconds: float) -> SwapResult:
    """What the joining says, with the frames that the segments have written."""
    total = counts + FrameCounts(written=joined.frames, swapped=joined.swapped, faded=joined.faded)
    return replace(
        joined,
        frames=total.written,
        swapped=total.swapped,
        faded=total.faded,
        frames_per_second=total.written / seconds,
        notes=(*joined.notes, *note_of_faded(counts.faded, counts.written)),
    )


def is_cut(job: object) -> bool:
    """Whether it is a swap that is to be done in segments."""
    return isinstance(job, SwapJob) and job.segments > 1 and not job.footage.is_picture


def swap_in_segments(job: SwapJob) -> Run[SwapResult]:
    """Make `job.out` with so many processes of this machine as `job.segments` says, or one for each GPU.

    Goes on where it was, as `swap` does, and raises what that raises.
    """
    models = Models()
    with closing(in_segments(Task(f"swap {job.video}", job))) as stages:
        tasks = next(stages)
        while True:
            if len(tasks) == 1:  # in this process, which has all cores for it
                results = [_as_json((yield from job_of(tasks[0].job, models)))]
            else:
                results = yield from _side_by_side(tasks, job)
            try:
                tasks = stages.send(results)
            except StopIteration as end:
                result: SwapResult = end.value
                return result


def _side_by_side(tasks: Sequence[Task], job: SwapJob) -> Run[list[str]]:
    """Their results in their order. One that fails stops the others, which keep what they have."""
    results: dict[str, str] = {}
    title = f"Swapping {job.video.name} in {len(tasks)} segments"

    waiting = deque(tasks)
    with Processes(job.device, len(tasks)) as crew:
        while len(results) < len(tasks):
            while waiting and crew.free:
                crew.give(waiting.popleft())

            for ended in crew.answers():
                if isinstance(ended.answer, Failed):
                    problem, _, remedy = ended.answer.reason.partition(". ")
                    raise FaceswapError(problem, remedy or "Run the same again")
                results[ended.task.name] = ended.answer.result

            yield Progress(title=title, done=len(results), total=len(tasks), unit="segments", note=crew.note())

    return [results[task.name] for task in tasks]


def _as_json(result: Any) -> str:
    return json.dumps(asdict(result))


class _Film:
    """A swap that a crew does in segments."""

    def __init__(self, task: Task) -> None:
        self.task, self.began = task, time.monotonic()
        self.answer: Done | Failed | None = None
        """What has come of it, when it is over."""
        self.waiting: deque[Task] = deque()
        """What can be done now, and nobody has begun."""
        self.running: set[str] = set()
        """The names of the tasks that are being done."""
        self._stages = in_segments(task)
        self._results: dict[str, str] = {}
        """Of the tasks at hand, by their names in their order; empty of those that are not done."""
        self._go_on(None)

    def take(self, ended: Ended) -> None:
        """One of its tasks is over."""
        self.running.remove(ended.task.name)
        if isinstance(ended.answer, Done):
            self._results[ended.task.name] = ended.answer.result
        else:  # those beside it may end, and keep what they have
            self.waiting.clear()
            self.answer = self.answer or ended.answer

        if not self.waiting and not self.running and self.answer is None:
            self._go_on(list(self._results.values()))

    def _go_on(self, results: list[str] | None) -> None:
        """Begin the next stage."""
        try:
            tasks = next(self._stages) if results is None else self._stages.send(results)
            self.waiting.extend(tasks)
            self._results = {task.name: "" for task in tasks}
        except StopIteration as end:
            self.answer = Done(_as_json(end.value))
        except FaceswapError as error:
            self.answer = Failed(str(error))

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is being done any more."""
        return self.answer is not None and not self.running

    def close(self) -> None:
        """Let others write what it was to write."""
        self._stages.close()


class SegmentingCrew(AbstractContextManager["SegmentingCrew"]):
    """A `Crew` that has another one do its tasks; of those that are to be cut, one segment beside the other."""

    def __init__(self, members: AbstractContextManager[Crew]) -> None:
        self._members = members
        self._stack = ExitStack()
        self._films: list[_Film] = []

    def __enter__(self) -> SegmentingCrew:
        self._crew = self._stack.enter_context(self._members)
        return self

    def __exit__(self, *error: Any) -> None:
        """Stops what is being done; it keeps what it has."""
        self._stack.__exit__(*error)
        for film in self._films:
            film.close()

    @property
    def busy(self) -> bool:
        """Whether any task is being done."""
        return bool(self._films) or self._crew.busy

    @property
    def free(self) -> bool:
        """Whether a further one can be given: segments come first."""
        return self._crew.free and not any(film.waiting for film in self._films)

    def give(self, task: Task) -> None:
        """Have somebody who is free do it, or begin it."""
        if is_cut(task.job):
            self._films.append(_Film(task))
            self._hand_out()
        else:
            self._crew.give(task)

    def answers(self) -> list[Ended]:
        """The tasks that have ended by now; waits a moment for news."""
        whole: list[Ended] = []
        for ended in self._crew.answers():
            film = next((film for film in self._films if ended.task.name in film.running), None)
            if film is None:
                whole.append(ended)
            else:
                film.take(ended)
        self._hand_out()

        over = [film for film in self._films if film.is_over]
        for film in over:
            assert film.answer is not None  # that is what being over means
            film.close()
            self._films.remove(film)
            whole.append(Ended(film.task, film.answer, time.monotonic() - film.began))
        return whole

    def _hand_out(self) -> None:
        """Give what is waiting to those who are free."""
        for film in self._films:
            while film.waiting and self._crew.free:
                task = film.waiting.popleft()
                film.running.add(task.name)
                self._crew.give(task)

    def note(self) -> str:
        """What is being done, in a line."""
        return self._crew.note()
