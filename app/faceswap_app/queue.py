"""The queue of jobs: one at a time, or one on each GPU. Each is a process of its own that outlives the page which asked
for it.

Its state is on disk: a page that is started anew goes on with it. On the page's own clean end the running job is
stopped, saves, and can be continued; those that wait begin when the page is opened again. A job that reads what another
one makes begins when that is done, and not when it was merely stopped or failed. Users take turns (`turns.py`).
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from faceswap.database import lock
from faceswap.documents import is_text
from faceswap.errors import ConfigError, OutputError
from faceswap_app import turns
from faceswap_app.jobs import (
    DONE,
    FAILED,
    HALTED,
    RUNNING,
    STOPPING,
    WAITING,
    QueuedJob,
    outcome,
    read_job,
    read_result,
    write_job,
)
from faceswap_app.processes import Processes, environment_of
from faceswap_pipelines.common.protocol import PROGRESS_FILE, ProgressReport, read_report

_PROGRESS = "progress.json"
_POLL_EVERY = 0.25  # seconds
_NO_START = "It could not be started ({error}). Remove it, and ask for it again with other names."
_HELD = "waits for '{title}', which {status}. Start that again, or this one without it: on the Queue tab."
_GRACE = 30.0  # seconds for a job to save when the page ends


class Queue:
    """All jobs of a folder of projects. Raises OutputError if another page has it."""

    def __init__(self, projects: Path, *, working: bool = True) -> None:
        """`working`: whether jobs are started; a command that tidies up only looks at them."""
        self._folder = projects / ".jobs"
        self._folder.mkdir(parents=True, exist_ok=True)

        taken = OutputError(f"another page has the projects in {projects} open", "Use that one, or end it first")
        self._owned = lock(self._folder / "lock", taken)

        found = (read_job(folder) for folder in sorted(self._folder.iterdir()) if folder.is_dir())
        self._jobs = {job.id: job for job in found if job is not None}

        self._processes = Processes()
        self._devices = 1
        self._served: dict[str, float] = {}  # by owner, when a job of theirs was begun last
        for job in self._jobs.values():
            self._served[job.owner] = max(job.begun, self._served.get(job.owner, 0.0))
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._note_end: Callable[[QueuedJob], object] = lambda _job: None

        self._working = working
        self._worker = threading.Thread(target=self._work, name="queue", daemon=True)
        if working:
            self._worker.start()

    @property
    def works(self) -> bool:
        """Whether jobs are being started."""
        return self._worker.is_alive()

    def jobs(self) -> list[QueuedJob]:
        """All of them, in the order in which they were asked for."""
        with self._lock:
            return list(self._jobs.values())

    def latest(self, project: str, kinds: tuple[str, ...]) -> QueuedJob | None:
        """The job of this project and of one of these kinds that runs, else one that waits, else the last one."""
        found = [job for job in self.jobs() if job.project == project and job.kind in kinds]
        order = (RUNNING, STOPPING, WAITING)
        pending = sorted((job for job in found if not job.over), key=lambda job: order.index(job.status))
        return next(iter(pending), None) or max(found, key=lambda job: job.ended, default=None)

    def use_devices(self, count: int) -> None:
        """Have a job run on each of so many GPUs at once; one job at a time where there is none."""
        self._devices = max(1, count)

    def tell_ends(self, note: Callable[[QueuedJob], object]) -> None:
        """Have `note` called with each job whose process has ended from now on, or could not be started."""
        self._note_end = note

    def add(self, project: str, title: str, arguments: list[str], out: str = "", *, owner: str = "") -> QueuedJob:
        """Have a command run when its turn comes. Raises ConfigError if the same waits or runs already, or if it cannot
        be a command line."""
        if not all(map(is_text, (title, out, *arguments))):
            raise ConfigError("a name in this job is no text", "Rename what it is about")

        with self._lock:
            # Not twice.
            for job in self._jobs.values():
                if not job.over and job.arguments == tuple(arguments):
                    raise ConfigError(f"this job is in the queue already: {job.title}", "Look at the Queue tab")

            # Behind all that its owner has in the queue, and behind what makes what it needs.
            number = max((int(key) for key in self._jobs), default=0) + 1
            last = max((other.place for other in self._jobs.values() if other.owner == owner), default=0)
            job = QueuedJob(
                id=f"{number:04d}",
                project=project,
                title=title,
                arguments=tuple(arguments),
                out=out,
                owner=owner,
                place=last + 1,
            )
            job = replace(job, after=tuple(other.id for other in self._jobs.values() if other.feeds(job)))

            self._keep(job)
            self._take_over(job)
            return job

    def _take_over(self, job: QueuedJob) -> None:
        """What waits for a job that did not get done waits for this one, if it does the same."""
        undone = {
            other.id
            for other in self._jobs.values()
            if other.over and other.status != DONE and (other.kind, other.makes) == (job.kind, job.makes)
        }

        for waiting in list(self._jobs.values()):
            if waiting.status == WAITING and undone & set(waiting.after):
                after = dict.fromkeys(job.id if key in undone else key for key in waiting.after)
                self._keep(replace(waiting, after=tuple(after)))

    def start_anyway(self, key: str) -> None:
        """Have a job wait for no other one any more, only for its turn. Raises ConfigError."""
        with self._lock:
            job = self.known(key)
            if job.status != WAITING:
                raise ConfigError(f"this job does not wait: {job.title}", "Look at the Queue tab")
            self._keep(replace(job, after=(), reason=""))

    def again(self, key: str, *, owner: str = "") -> QueuedJob:
        """Have a job that is over run once more: it goes on where it was. Raises ConfigError."""
        job = self.known(key)
        return self.add(job.project, job.title, list(job.arguments), job.out, owner=owner)

    def move(self, key: str, how: str) -> None:
        """Have a job that waits run sooner or later than its owner's others: UP, DOWN or NEXT. Raises ConfigError."""
        with self._lock:
            owner = self.known(key).owner
            waiting = [job for job in self._jobs.values() if job.status == WAITING and job.owner == owner]
            for other, place in turns.moved(waiting, key, how).items():
                if self._jobs[other].place != place:
                    self._keep(replace(self._jobs[other], place=place))

    def stop(self, key: str) -> None:
        """Have a job save and end, or not begin at all. Raises ConfigError."""
        with self._lock:
            job = self.known(key)
            if job.status == WAITING:
                self._keep(replace(job, status=HALTED, reason="", ended=time.time()))
            elif job.status == RUNNING:  # asked twice, it would not save
                self._processes.stop(job)
                self._keep(replace(job, status=STOPPING))  # last: it fails where the disk is full

    def remove(self, key: str) -> None:
        """Forget a job that is over; what it made stays. Raises ConfigError."""
        with self._lock:
            job = self.known(key)
            if not job.over:
                raise ConfigError(f"this job is not over: {job.title}", "Stop it first")

            for waiting in self._jobs.values():
                if waiting.status == WAITING and key in waiting.after and job.status != DONE:
                    raise ConfigError(f"'{waiting.title}' waits for this job", "Stop that first, or start this again")
            self._drop(job)

    @contextmanager
    def unused(self, places: Iterable[Path]) -> Iterator[None]:
        """For changes to these files and folders: no job begins meanwhile. Raises ConfigError if one that is not over
        uses them."""
        with self._lock:
            for place in places:
                for job in self._jobs.values():
                    if not job.over and job.touches(place):
                        raise ConfigError(f"a job uses this: {job.title}", "Stop it first, or wait until it is done")
            yield

    def moved(self, before: Path, after: Path) -> None:
        """Have all jobs speak of a file or folder, which may be a project, by its new name."""
        with self._lock:
            for job in list(self._jobs.values()):
                project = after.name if before == self._folder.parent / job.project else job.project
                changed = replace(job.renamed(before, after), project=project)
                if changed != job:
                    self._keep(changed)

    def forget(self, places: Iterable[Path]) -> None:
        """Drop the jobs, all over, that speak of these files and folders, or of something in them."""
        with self._lock:
            for place in places:
                for job in list(self._jobs.values()):
                    if job.over and any(place == path or place in path.parents for path in job.paths):
                        self._drop(job)

    def _drop(self, job: QueuedJob) -> None:
        shutil.rmtree(self._folder / job.id, ignore_errors=True)
        del self._jobs[job.id]

    def report(self, job: QueuedJob) -> ProgressReport | None:
        """The latest that it has said."""
        return read_report(self._folder / job.id / _PROGRESS)

    def result(self, job: QueuedJob) -> dict[str, Any]:
        """What came of it, if it is done."""
        return read_result(self._folder / job.id)

    def close(self) -> None:
        """Stop the running job, wait until it has saved, and start no other."""
        self._ended.set()
        if not self._working:  # what runs is another one's
            self._owned.close()
            return

        self._worker.join()
        running = self._running()
        for job in running:
            self.stop(job.id)

        deadline = time.monotonic() + _GRACE
        while any(self._processes.alive(job) for job in running) and time.monotonic() < deadline:
            time.sleep(0.05)

        for job in running:
            self._reap(self._jobs[job.id])
        self._owned.close()

    def _work(self) -> None:
        while not self._ended.wait(_POLL_EVERY):
            with self._lock, suppress(OSError):  # a full disk: there may be room the next time
                for job in self._running():
                    self._reap(job)

                ready = [job for job in self._jobs.values() if job.status == WAITING and not self._is_held(job)]
                free = self._free_devices()
                chosen = turns.choose(ready, self._running(), self._served) if free else None
                if chosen:
                    self._start(replace(chosen, device=free[0]))

    def _running(self) -> list[QueuedJob]:
        return [job for job in self._jobs.values() if job.status in (RUNNING, STOPPING)]

    def _free_devices(self) -> list[int]:
        """Those that no job has; none while as many jobs run as may."""
        taken = {job.device for job in self._running()}
        return [device for device in range(self._devices) if device not in taken]

    def _is_held(self, job: QueuedJob) -> bool:
        """Whether a job has to wait for others; it says so itself where these will not go on by themselves."""
        undone = [other for key in job.after if (other := self._jobs.get(key)) and other.status != DONE]
        stuck = next((other for other in undone if other.over), None)
        status = "failed" if stuck and stuck.status == FAILED else "was stopped"
        reason = _HELD.format(title=stuck.title, status=status) if stuck else ""
        if reason != job.reason:
            self._keep(replace(job, reason=reason))
        return bool(undone)

    def _start(self, job: QueuedJob) -> None:
        folder = self._folder / job.id
        environment = environment_of(job.device, self._devices) | {PROGRESS_FILE: str(folder / _PROGRESS)}

        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
            try:
                pid = self._processes.start(job, environment, out=out, err=err)
            except (OSError, ValueError) as error:  # too long, no text, or no memory: the others get their turn
                self._end(job, FAILED, _NO_START.format(error=error))
                return

        begun = time.time()
        self._served[job.owner] = begun
        with suppress(psutil.NoSuchProcess):
            born = psutil.Process(pid).create_time()
            self._keep(replace(job, status=RUNNING, pid=pid, born=born, begun=begun))

    def _reap(self, job: QueuedJob) -> None:
        """See what has become of a job whose process is gone."""
        if self._processes.alive(job) is None:
            status, reason = outcome(self._folder / job.id)
            if job.status == STOPPING and status == FAILED:  # stopped before it could answer
                status, reason = HALTED, ""
            self._processes.reap(job)
            self._end(job, status, reason)

    def _end(self, job: QueuedJob, status: str, reason: str) -> None:
        ended = replace(job, status=status, reason=reason, ended=time.time())
        self._keep(ended)
        self._note_end(ended)

    def known(self, key: str) -> QueuedJob:
        """The job of this id. Raises ConfigError."""
        job = self._jobs.get(key)
        if job is None:
            raise ConfigError("this job is not in the list any more", "Choose another")
        return job

    def _keep(self, job: QueuedJob) -> None:
        self._jobs[job.id] = job
        write_job(self._folder / job.id, job)
