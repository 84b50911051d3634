"""How jobs run: each is a generator that works while it is iterated over, and says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a job is. A job may be closed whenever it has yielded one: what it did so far is on disk then."""

    title: str
    """What is being done, in a few words."""
    done: float
    total: float | None
    """None where nobody knows."""
    unit: str
    """Of `done` and `total`: "frames", "seconds", "%"..., or nothing where there is nothing to count."""
    note: str = ""
    """Figures that change while the job runs."""


Run = Generator[Progress, None, Result]
"""A job that runs: it yields how far it is wherever it may be closed, and returns what came of it."""


def run(job: Run[Result], watch: Callable[[Progress], object] = lambda _progress: None) -> Result:
    """Run a job to its end, showing each report to `watch`; its result.

    An exception in `watch` (a KeyboardInterrupt among them) closes the job, which saves what it has.
    """
    try:
        while True:
            watch(next(job))
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        job.close()
