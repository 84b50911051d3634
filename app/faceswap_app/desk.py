"""What the page works with, for whoever is visiting."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from faceswap_app.counter import Counter
from faceswap_app.excerpts import Excerpts
from faceswap_app.journal import Journal
from faceswap_app.keeper import Keeper
from faceswap_app.project import Project
from faceswap_app.projects import Projects
from faceswap_app.queue import Queue
from faceswap_app.quotas import Quota, Quotas
from faceswap_app.scribe import Scribe, nowhere
from faceswap_app.slots import Slots


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the page works with: each part knows who is visiting, and does nothing for whom it is not meant."""

    projects: Projects
    queue: Counter
    keeper: Keeper
    quota: Quota
    scribe: Scribe
    slots: Slots
    excerpts: Excerpts
    address: Callable[[], str] = nowhere

    def turn(self) -> AbstractContextManager[None]:
        """While a picture is made for the visitor. Raises ConfigError if they have asked for too many."""
        return self.slots.turn(self._visitor)

    def excerpt(self, render: Callable[[Path], None]) -> Path:
        """A film of some seconds, made by `render` for the visitor alone. Raises ConfigError as `turn`."""
        with self.turn():
            return self.excerpts.make(self._visitor, render)

    @property
    def _visitor(self) -> str:
        return self.projects.who() or self.address()

    def take_clip(self, project: Project, upload: Path, called: str) -> str:
        """As `Project.add_clip`. Raises ConfigError, too, if the project's owner has no room for it."""
        owner = self.projects.standing(project.name).owner
        self.quota.check_disk(owner, upload.stat().st_size)
        clip = project.add_clip(upload, called)
        self.quota.forget_upload(self.projects.who() or "")
        self.scribe.note("clip added", project=project.name, clip=clip)
        return clip


def open_desk(projects: Projects, queue: Queue, quotas: Quotas | None = None, scribe: Scribe | None = None) -> Desk:
    """A desk over these; nothing is limited or noted unless that is said."""
    quota = Quota(projects.folder, quotas or Quotas())
    scribe = scribe or Scribe(Journal(None))

    return Desk(
        projects=projects,
        queue=Counter(queue, projects, quota, scribe),
        keeper=Keeper(projects, queue),
        quota=quota,
        scribe=scribe,
        slots=Slots(),
        excerpts=Excerpts(projects.folder),
        address=scribe.address,
    )
