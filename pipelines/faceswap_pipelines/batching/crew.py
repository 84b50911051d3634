"""Who does the tasks of a batch: what processes of this machine and machines of a cluster have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from faceswap_pipelines.batching.plan import Task
from faceswap_pipelines.batching.worker import Done, Failed
from faceswap_pipelines.common.progress import Progress


@dataclass(frozen=True)
class Ended:
    """A task that is over."""

    task: Task
    answer: Done | Failed
    seconds: float


class Crew(Protocol):
    """Does tasks, some at a time."""

    @property
    def busy(self) -> bool:
        """Whether any task is being done."""

    @property
    def free(self) -> bool:
        """Whether a further one can be given."""

    def give(self, task: Task) -> None:
        """Have somebody who is free do it."""

    def answers(self) -> list[Ended]:
        """The tasks that have ended by now; waits a moment for news."""

    def note(self) -> str:
        """What is being done, in a line."""


def in_short(progress: Progress | None) -> str:
    """What one task is at, for a line that tells of several."""
    if progress is None:
        return "starting"
    share = f" {progress.done / progress.total:.0%}" if progress.total else ""
    return f"{progress.title}{share} {progress.note}".strip()
