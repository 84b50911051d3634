"""The queue as a visitor has to do with it: only the jobs of projects that they see, and changes only to their own."""

from __future__ import annotations

import threading
from typing import Any

from faceswap.errors import ConfigError
from faceswap_app.access import owns
from faceswap_app.jobs import QueuedJob
from faceswap_app.projects import Projects
from faceswap_app.queue import Queue
from faceswap_app.quotas import Quota
from faceswap_app.scribe import Scribe
from faceswap_pipelines.common.protocol import ProgressReport


class Counter:
    """What the tabs ask of the queue."""

    def __init__(self, queue: Queue, projects: Projects, quota: Quota, scribe: Scribe) -> None:
        self._queue, self._projects, self._quota, self._scribe = queue, projects, quota, scribe
        self._asking = threading.Lock()  # nobody has more jobs than they may by asking for many at once

    def jobs(self) -> list[QueuedJob]:
        """Those that the visitor may see, in the order in which they were asked for."""
        jobs, who = self._queue.jobs(), self._projects.who()
        if who is None:
            return jobs
        seen = {name for name in {job.project for job in jobs} if self._projects.sees(name, who)}
        return [job for job in jobs if job.project in seen]

    def hidden(self) -> int:
        """How many jobs of others, which the visitor does not see, wait or run."""
        seen = {job.id for job in self.jobs()}
        return sum(not job.over and job.id not in seen for job in self._queue.jobs())

    def latest(self, project: str, kinds: tuple[str, ...]) -> QueuedJob | None:
        """As `Queue.latest`. Raises ConfigError for a project that the visitor does not see."""
        return self._queue.latest(self._projects.open(project).name, kinds)

    def report(self, job: QueuedJob) -> ProgressReport | None:
        """The latest that a job has said."""
        return self._queue.report(job)

    def result(self, job: QueuedJob) -> dict[str, Any]:
        """What came of it, if it is done."""
        return self._queue.result(job)

    def add(self, project: str, title: str, arguments: list[str], out: str = "") -> QueuedJob:
        """Have a command run when its turn comes. Raises ConfigError if the visitor may not have another job, or as
        `Queue.add`."""
        with self._asking:
            self._check_room(project)
            job = self._queue.add(project, title, arguments, out, owner=self._owner)
        self._note("job added", job)
        return job

    def again(self, key: str) -> QueuedJob:
        """Have a job that is over run once more. Raises ConfigError."""
        job = self._own(key)
        with self._asking:
            self._check_room(job.project)
            again = self._queue.again(key, owner=self._owner)
        self._note("job started again", again)
        return again

    def start_anyway(self, key: str) -> None:
        """Have a job wait for no other one any more, only for its turn. Raises ConfigError."""
        job = self._own(key)
        self._queue.start_anyway(key)
        self._note("job started without others", job)

    def stop(self, key: str) -> None:
        """Have a job save and end, or not begin at all. Raises ConfigError."""
        job = self._own(key)
        self._queue.stop(key)
        self._note("job stopped", job)

    def remove(self, key: str) -> None:
        """Forget a job that is over. Raises ConfigError."""
        job = self._own(key)
        self._queue.remove(key)
        self._note("job removed", job)

    def move(self, key: str, how: str) -> None:
        """Have a job run sooner or later than the visitor's others. Raises ConfigError."""
        job = self._own(key)
        if job.owner != self._owner:  # whose turn it is would be another one's business
            raise ConfigError(f"this job is {job.owner or 'nobody'}'s: {job.title}", "Move your own")
        self._queue.move(key, how)
        self._note(f"job moved {how}", job)

    def may_change(self, job: QueuedJob) -> bool:
        """Whether it is the visitor's own, or of a project of theirs."""
        who = self._projects.who()
        return who is None or job.owner == who or owns(who, self._projects.standing(job.project))

    @property
    def _owner(self) -> str:
        return self._projects.who() or ""

    def _own(self, key: str) -> QueuedJob:
        """A job that the visitor may change. Raises ConfigError."""
        job = self._queue.known(key)
        who = self._projects.who()
        if who is not None and not self._projects.sees(job.project, who):
            raise ConfigError("this job is not in the list any more", "Choose another")
        if not self.may_change(job):
            raise ConfigError(f"this job is {job.owner or 'nobody'}'s: {job.title}", "Ask them")
        return job

    def _check_room(self, name: str) -> None:
        """Raises ConfigError for a project that the visitor does not see, or where a quota is used up."""
        project = self._projects.open(name)
        self._quota.check_jobs(self._owner, self._queue.jobs())
        self._quota.check_disk(self._projects.standing(project.name).owner)

    def _note(self, did: str, job: QueuedJob) -> None:
        self._scribe.note(did, project=job.project, job=job.id, title=job.title)
