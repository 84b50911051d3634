"""A process that does one task after the other and keeps its networks loaded."""

from __future__ import annotations

import json
import os
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import cv2
import torch

from faceswap.errors import FaceswapError, full_memory
from faceswap_pipelines.batching.plan import AnyJob, Task
from faceswap_pipelines.common.cpu import keep_freed_memory
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.progress import Progress, Run, run
from faceswap_pipelines.common.protocol import end_process, print_stacks_on_signal
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.extraction.run import extract
from faceswap_pipelines.swapping.job import FirstPassJob, SegmentJob, SwapJob
from faceswap_pipelines.swapping.run import swap
from faceswap_pipelines.swapping.segments import find_segments, swap_segment
from faceswap_pipelines.training.run import train


@dataclass(frozen=True)
class Done:
    """A task has come to its end."""

    result: str
    """JSON."""


@dataclass(frozen=True)
class Failed:
    """A task has not."""

    reason: str


class _StoppedError(Exception):
    """The parent wants to end."""


def work(orders: Connection, device: str, threads: int) -> NoReturn:
    """Take tasks from `orders` and answer with Progress, then Done or Failed, until there is no parent any more.

    SIGTERM stops the task at hand cleanly: it keeps what it has.
    """
    stopped = threading.Event()

    print_stacks_on_signal()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent says what to do
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    os.environ.setdefault("SVT_LOG", "1")

    keep_freed_memory()
    torch.set_num_threads(min(threads, torch.get_num_threads()))  # OMP_NUM_THREADS may ask for fewer
    cv2.setNumThreads(threads)

    models = Models()

    def watch(progress: Progress) -> None:
        orders.send(progress)
        if stopped.is_set():
            raise _StoppedError

    while True:
        try:
            task: Task = orders.recv()
            orders.send(answer_to(replace(task, job=replace(task.job, device=device)), models, watch))
        except (EOFError, ConnectionError, _StoppedError):  # there is no parent any more, or it has said so
            end_process(0)


def answer_to(task: Task, models: Models, watch: Callable[[Progress], object]) -> Done | Failed:
    """Do a task; what came of it. What `watch` raises closes the job, and goes on."""
    try:
        result: Any = run(job_of(task.job, models), watch)
        return Done(json.dumps(asdict(result)))
    except FaceswapError as error:
        return Failed(str(error))
    except (_StoppedError, ConnectionError):
        raise
    except Exception as error:  # a bug of ours, or of the machine: the other jobs must not suffer from it
        if told := full_memory(error):
            return Failed(str(told))
        traceback.print_exc()
        return Failed(f"{type(error).__name__}: {error}")


def job_of(job: AnyJob, models: Models) -> Run[Any]:
    """The running job that a plain value describes."""
    if isinstance(job, ExtractJob):
        return extract(job, models)
    if isinstance(job, FirstPassJob):
        return find_segments(job, models)
    if isinstance(job, SegmentJob):
        return swap_segment(job, models)
    return swap(job, models) if isinstance(job, SwapJob) else train(job)
