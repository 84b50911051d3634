"""Whose job is next: users take turns, and among their own jobs each decides the order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from faceswap.errors import ConfigError
from faceswap_app.jobs import QueuedJob

UP, DOWN, NEXT = "up", "down", "next"
"""How a job is moved among those of its owner."""


def in_order(jobs: Iterable[QueuedJob]) -> list[QueuedJob]:
    """An owner's jobs as they are to run."""
    return sorted(jobs, key=lambda job: (job.place, job.id))


def choose(ready: Sequence[QueuedJob], running: Sequence[QueuedJob], served: Mapping[str, float]) -> QueuedJob | None:
    """The job to start now, if there is one.

    Args:
        ready: those that wait for nothing but their turn.
        running: those that run; what would disturb one of them waits until it is over.
        served: by owner, when one of their jobs was started last.

    It is of whoever has the fewest running, and of these of whoever was served the longest ago.
    """
    possible = [job for job in ready if not any(job.disturbs(other) for other in running)]
    busy = Counter(job.owner for job in running)
    return min(
        possible,
        key=lambda job: (busy[job.owner], served.get(job.owner, 0.0), job.place, job.id),
        default=None,
    )


def moved(waiting: Iterable[QueuedJob], key: str, how: str) -> dict[str, int]:
    """New places, by id, of an owner's jobs that wait, after one of them was moved.

    Raises ConfigError if there is no such way to move, or it does not wait.
    """
    order = [job.id for job in in_order(waiting)]
    if key not in order:
        raise ConfigError("this job does not wait", "Look at the Queue tab")

    place = order.index(key)
    goals = {UP: max(0, place - 1), DOWN: min(len(order) - 1, place + 1), NEXT: 0}
    if how not in goals:
        raise ConfigError(f"jobs are not moved '{how}'", f"Choose one of: {', '.join(goals)}")

    order.insert(goals[how], order.pop(place))
    return {other: number for number, other in enumerate(order)}
