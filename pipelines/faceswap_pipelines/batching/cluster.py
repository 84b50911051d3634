"""The tasks of a batch on many machines: each is a task of a Ray cluster (Moritz et al., "Ray: a distributed framework
for emerging AI applications", OSDI 2018).

Ray finds a machine that has the cores or the GPU, and another one when that dies. What the batch knows, and what is
done, stays where it is without a cluster: in its state and in the files, which all machines have to see under the same
paths.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from urllib.parse import urlsplit

import cv2
import torch

from faceswap import __version__
from faceswap.errors import ClusterError, DependencyError
from faceswap_pipelines.batching.crew import Ended, in_short
from faceswap_pipelines.batching.plan import AnyJob, Task
from faceswap_pipelines.batching.processes import CORES, PATIENCE, POLL
from faceswap_pipelines.batching.worker import Done, Failed, answer_to
from faceswap_pipelines.common.models import Models
from faceswap_pipelines.common.progress import Progress

try:
    import ray
    from ray.exceptions import GetTimeoutError, RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ModuleNotFoundError as error:
    raise DependencyError(
        "batches on a cluster need Ray, which is not installed", "Run `uv sync --extra cluster`, on all machines"
    ) from error

_TRIES = 4  # machines that may die under a task
_PATIENCE_WITH_NODES = 120.0  # seconds in which every machine has to answer
_PATIENCE_WITH_DOOR = 5.0  # seconds in which somebody has to open
_LEAST_DISK = 2 * 2**30  # bytes that a machine has to have for temporary files
_TELL_EVERY = 0.5  # seconds between two words of a task about itself

Node = Mapping[str, Any]
"""What Ray says of a machine."""
Resources = Mapping[str, float]
"""What a machine has: CPU, GPU."""


@contextmanager
def connected(address: str, state_file: Path, device: str, workers: int | None) -> Iterator[Cluster]:
    """The cluster at `address`: "auto" is the one that this machine belongs to, "local" one of this machine alone,
    others are HOST:PORT or ray://HOST:PORT. `workers` tasks at a time, or as many as its machines have room for.

    Raises ClusterError if it cannot be reached, or if one of its machines does not have this version of the program,
    the batch's folder, or room on its disk.
    """
    # Nothing is told to anybody, and a driver that `uv run` has started does not have others run `uv`.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"no Ray cluster answers at '{address}' ({str(error).splitlines()[0]})",
            "Start one with `ray start --head`, and `ray start --address HOST:PORT` on the other machines",
        ) from error

    try:
        _check_nodes(state_file.absolute())
        with Cluster(device, workers) as cluster:
            yield cluster
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises OSError or ValueError if nobody listens at an address with a port: Ray itself tries for minutes."""
    place = urlsplit(address if "//" in address else f"//{address}")
    if place.port is not None:
        socket.create_connection((place.hostname or "", place.port), _PATIENCE_WITH_DOOR).close()


class Cluster:
    """A `Crew` of machines, to be used in a `with` block."""

    def __init__(self, device: str, workers: int | None) -> None:
        self._device = device
        self._workers = workers
        self._tasks: dict[ray.ObjectRef[Done | Failed], tuple[Task, float]] = {}
        self._board: Any = ray.remote(_Board).options(num_cpus=0, max_restarts=-1).remote()
        self._told: dict[str, Progress] = {}

    @property
    def busy(self) -> bool:
        """Whether any task is being done."""
        return bool(self._tasks)

    @property
    def free(self) -> bool:
        """Whether a further one can be given: whether the machines that are there now have room for it."""
        nodes = [node["Resources"] for node in _nodes()]
        needs = self._needs(nodes)
        room = sum(min(int(resources.get(kind, 0)) // needed for kind, needed in needs.items()) for resources in nodes)
        return len(self._tasks) < max(1, room if self._workers is None else min(self._workers, room))

    def give(self, task: Task) -> None:
        """Have a machine do it."""
        needs = self._needs([node["Resources"] for node in _nodes()])
        there = replace(task, job=replace(_absolute(task.job), device=self._device))
        remote = ray.remote(_do).options(
            num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), max_retries=_TRIES - 1, name=task.name
        )
        self._tasks[remote.remote(there, self._board, needs["CPU"])] = task, time.monotonic()

    def answers(self) -> list[Ended]:
        """The tasks that have ended by now; waits a moment for news."""
        if not self._tasks:
            return []
        over, _ = ray.wait(list(self._tasks), timeout=POLL)
        return [self._ended(reference) for reference in over]

    def _ended(self, reference: ray.ObjectRef[Done | Failed]) -> Ended:
        task, started = self._tasks.pop(reference)
        try:
            answer = ray.get(reference)
        except RayError as error:
            answer = Failed(f"{_TRIES} machines or processes ended under it ({type(error).__name__}). See their memory")
        self._told.pop(task.name, None)
        return Ended(task, answer, time.monotonic() - started)

    def note(self) -> str:
        """What is being done, in a line."""
        with suppress(RayError):  # whoever keeps it has died, and begins anew on another machine
            self._told |= ray.get(self._board.all.remote(), timeout=POLL)
        return "; ".join(in_short(self._told.get(task.name)) for task, _ in self._tasks.values())

    def _needs(self, nodes: Sequence[Resources]) -> dict[str, int]:
        """What a task takes of a machine: a GPU where there are any, else the cores that one keeps busy, or fewer if no
        machine has so many, or so many are wanted at a time."""
        if self._device in ("auto", "cuda") and any(resources.get("GPU", 0) >= 1 for resources in nodes):
            return {"CPU": 1, "GPU": 1}

        cores = [int(resources.get("CPU", 0)) for resources in nodes]
        share = sum(cores) // self._workers if self._workers else CORES
        return {"CPU": max(1, min(CORES, share, max(cores)))}

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        """Stops what is being done; it keeps what it has."""
        for reference in self._tasks:
            ray.cancel(reference)
        if self._tasks:
            ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=PATIENCE)
        for reference in self._tasks:
            ray.cancel(reference, force=True)


class _Board:
    """Where the tasks write how far they are: an actor of Ray."""

    def __init__(self) -> None:
        self._told: dict[str, Progress] = {}

    def tell(self, name: str, progress: Progress) -> None:
        self._told[name] = progress

    def all(self) -> dict[str, Progress]:
        return self._told


def _do(task: Task, board: Any, cores: int) -> Done | Failed:
    """On a machine of the cluster: do the task."""
    torch.set_num_threads(cores)
    cv2.setNumThreads(cores)
    last = 0.0

    def tell(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= _TELL_EVERY:
            last = time.monotonic()
            board.tell.remote(task.name, progress)

    return answer_to(task, _models(), tell)


@cache
def _models() -> Models:
    """Those that this process has loaded: Ray gives it one task after the other."""
    return Models()


def _absolute(job: AnyJob) -> AnyJob:
    """The same job for a process that works in another folder."""
    return replace(job, **{field.name: _absolute_value(getattr(job, field.name)) for field in fields(job)})


def _absolute_value(value: Any) -> Any:
    if isinstance(value, Path):
        return value.absolute()
    if isinstance(value, tuple):
        return tuple(_absolute_value(one) for one in value)
    if isinstance(value, dict):
        return {key: _absolute_value(one) for key, one in value.items()}
    return value


@dataclass(frozen=True)
class _NodeReport:
    """What a machine has."""

    version: str
    sees_batch: bool
    free: int
    """Bytes for temporary files."""


def _check_nodes(state_file: Path) -> None:
    """Raises ClusterError with a line for each machine that cannot take part."""
    reports = {}
    for node in (nodes := _nodes()):
        where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        remote = ray.remote(_node_report).options(
            num_cpus=0, scheduling_strategy=where, max_retries=_TRIES - 1, retry_exceptions=True
        )
        reports[node["NodeID"]] = remote.remote(state_file)

    ray.wait(list(reports.values()), num_returns=len(reports), timeout=_PATIENCE_WITH_NODES)
    troubles = [
        f"{_name(node)}: {why}" for node in nodes if (why := _trouble(_answer(reports[node["NodeID"]]), state_file))
    ]
    if troubles:
        raise ClusterError("; ".join(troubles), "Mend it there, or take those machines out of the cluster")


def _nodes() -> list[Node]:
    """The machines that are alive."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray's own lack


def _name(node: Node) -> str:
    return str(node["NodeManagerHostname"])


def _node_report(state_file: Path) -> _NodeReport:
    """On a machine of the cluster."""
    return _NodeReport(__version__, state_file.is_file(), shutil.disk_usage(gettempdir()).free)


def _answer(reference: ray.ObjectRef[_NodeReport]) -> _NodeReport | str:
    """What a machine reports, or why it does not."""
    try:
        return ray.get(reference, timeout=0)
    except GetTimeoutError:
        return f"it has not answered in {_PATIENCE_WITH_NODES:.0f} seconds"
    except Exception as error:  # what an import that fails there comes back as is Ray's affair
        return f"the program does not start there ({str(error).strip().splitlines()[-1]})"


def _trouble(report: _NodeReport | str, state_file: Path) -> str | None:
    """Why a machine cannot take part; None if it can."""
    if isinstance(report, str):
        return report
    if report.version != __version__:
        return f"it has version {report.version} of the program, {socket.gethostname()} has {__version__}"
    if not report.sees_batch:
        return f"it does not see {state_file}: a batch has to lie in a folder that all machines share"
    if report.free < _LEAST_DISK:
        return f"only {report.free / 2**30:.1f} GB are free for temporary files"
    return None
