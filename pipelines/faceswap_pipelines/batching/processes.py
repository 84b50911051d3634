"""Processes of this machine that do the tasks of a batch: one for each GPU, or for some cores."""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection, wait

import torch

from faceswap_pipelines.batching.crew import Ended, in_short
from faceswap_pipelines.batching.plan import Task
from faceswap_pipelines.batching.worker import Done, Failed, work
from faceswap_pipelines.common.progress import Progress

CORES = 4
"""That one worker on the processor keeps busy."""
POLL = 0.5
"""Seconds between two looks at the workers, in which a stop may come."""
PATIENCE = 60.0
"""Seconds in which a stopped task may save what it has."""


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


class Processes:
    """A `Crew` of processes, to be used in a `with` block; one that dies is replaced when there is work for it."""

    def __init__(self, device: str, workers: int | None) -> None:
        """One for each GPU, or for every four cores, unless `workers` says how many."""
        self._places = _places(device, workers)
        self._workers: list[_Worker | None] = [None] * len(self._places)

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

    def answers(self) -> list[Ended]:
        """The tasks that have ended by now, and how; waits a moment for news."""
        ended: list[Ended] = []
        by_pipe: dict[Connection, _Worker] = {worker.orders: worker for worker in self._active}

        for pipe in wait(list(by_pipe), POLL) if by_pipe else []:
            worker = by_pipe[pipe]  # type: ignore[index]  # wait gives back what it was given
            answer = self._next(worker)
            if isinstance(answer, Progress):
                worker.progress = answer
            else:
                assert worker.task is not None  # only active workers are asked
                ended.append(Ended(worker.task, answer, time.monotonic() - worker.started))
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
        return "; ".join(in_short(worker.progress) for worker in self._active)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        """Stops what is being done; it keeps what it has."""
        workers = [worker for worker in self._workers if worker is not None]
        for worker in workers:
            if worker.task is not None:
                worker.process.terminate()
            worker.orders.close()
        for worker in workers:
            worker.process.join(PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _places(device: str, workers: int | None) -> list[tuple[str, int]]:
    """Device and threads of each worker: one for each GPU, or as many as the processor has cores for."""
    cores = os.cpu_count() or 1
    if device == "auto" and torch.cuda.is_available():
        names = [f"cuda:{number}" for number in range(torch.cuda.device_count())][:workers]
    else:
        names = ["cpu" if device == "auto" else device] * (workers or max(1, cores // CORES))
    return [(name, max(1, cores // len(names))) for name in names]
