"""How much each user may have: of the disk, and of the queue."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from faceswap.errors import ConfigError
from faceswap_app.bin import Bin
from faceswap_app.holdings import in_words, size_of
from faceswap_app.jobs import QueuedJob
from faceswap_app.projects import Projects

_FRESH = 10.0  # seconds for which a sum is good: adding up a large project takes a moment
_DAY = 86_400.0  # seconds that uploads which nobody uses are kept


@dataclass(frozen=True)
class Quotas:
    """None: as much as there is."""

    disk: int | None = None
    """Bytes of all projects of a user, with what of them lies in the bin."""
    jobs: int | None = None
    """Jobs of a user that wait or run."""


@dataclass(frozen=True)
class _Upload:
    """What somebody has sent."""

    owner: str
    size: int
    when: float


class Quota:
    """What users have already, and whether there is room for more."""

    def __init__(self, folder: Path, quotas: Quotas) -> None:
        self._projects, self._quotas = Projects(folder), quotas
        self._sums: dict[str, tuple[float, int]] = {}
        self._uploads: list[_Upload] = []
        self._lock = threading.Lock()

    def check_jobs(self, owner: str, jobs: Iterable[QueuedJob]) -> None:
        """Raises ConfigError if a user has as many jobs in the queue as they may."""
        most, pending = self._quotas.jobs, sum(job.owner == owner and not job.over for job in jobs)
        if owner and most is not None and pending >= most:
            jobs_ = "job" if pending == 1 else "jobs"
            raise ConfigError(
                f"you have {pending} {jobs_} waiting or running, which is all that you may have at once",
                "Wait until one is done, or stop one on the Queue tab",
            )

    def check_disk(self, owner: str, more: int = 0) -> None:
        """Raises ConfigError if a user has no room for so many bytes more, or none at all."""
        most = self._quotas.disk
        if not owner or most is None:
            return

        used = self.used(owner)
        if used + more > most or used >= most:
            wanted = f", and this needs {in_words(more)} more" if more else ""
            raise ConfigError(
                f"of the {in_words(most)} of disk that you may have, {in_words(used)} are used{wanted}",
                "Delete something for good: Tidy up, on the Project tab",
            )

    def take_upload(self, owner: str, size: int) -> None:
        """Somebody is about to send so much. Raises ConfigError if they have no room for it, and for what they have
        sent within a day."""
        with self._lock:
            now = time.monotonic()
            self._uploads = [upload for upload in self._uploads if now - upload.when < _DAY]
            sent = sum(upload.size for upload in self._uploads if upload.owner == owner)
            self.check_disk(owner, size + sent)
            self._uploads.append(_Upload(owner, size, now))

    def forget_upload(self, owner: str) -> None:
        """What somebody has sent has become part of a project, or was thrown away."""
        with self._lock:
            self._uploads = [upload for upload in self._uploads if upload.owner != owner]
            self._sums.pop(owner, None)

    def used(self, owner: str) -> int:
        """Bytes of all that is a user's, as of some seconds ago."""
        when, known = self._sums.get(owner, (0.0, 0))
        if time.monotonic() - when < _FRESH and when:
            return known

        folder = self._projects.folder
        own = (name for name in self._projects.names() if self._projects.standing(name).owner == owner)
        bin_ = Bin(folder)
        thrown = (bin_.size(entry) for entry in bin_.entries() if entry.owner == owner)
        size = sum(size_of(folder / name) for name in own) + sum(thrown)

        self._sums[owner] = time.monotonic(), size
        return size
