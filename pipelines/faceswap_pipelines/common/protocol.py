"""What a running command tells a program that watches it, such as the page: how far it is, how it ended, and why."""

from __future__ import annotations

import atexit
import faulthandler
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from faceswap.config import from_dict
from faceswap.documents import parse_json
from faceswap.errors import ConfigError
from faceswap.files import replaced

EXIT_USAGE = 2
EXIT_ERROR = 3
EXIT_STOPPED = 130
EXIT_UNHEARD = 120
"""Python's own, where what was printed could not be written."""
ERROR, STOPPED = "Error: ", "Stopped; "
"""How the one line on stderr begins when a command could not do its work, or was stopped and has saved it."""
ERROR_KEY = "error"
"""Under which a command says as JSON, in place of its result, what was wrong."""
PROGRESS_FILE = "FACESWAP_PROGRESS"
"""Names, in the environment, a file to hold the latest report as JSON."""


@dataclass(frozen=True, kw_only=True)
class ProgressReport:
    """The latest that a running command has said: a `Progress`, and since when there has been work of its title."""

    title: str
    done: float
    total: float | None
    unit: str
    note: str
    seconds: float
    """For which there has been work of this title."""
    first: float
    """What `done` was then."""

    @property
    def share(self) -> float | None:
        """Of this part of the work that is done, 0..1, if that is known."""
        return None if not self.total else min(1.0, self.done / self.total)

    @property
    def seconds_left(self) -> float | None:
        """Until this part of the work is done, if that can be said yet."""
        gained = self.done - self.first
        if not self.total or self.seconds < 1 or gained <= 0:
            return None
        return max(0.0, self.total - self.done) * self.seconds / gained


def write_report(path: Path, report: ProgressReport) -> None:
    """Keep it in the file, whole at every moment."""
    with replaced(path) as fresh:
        fresh.write_text(json.dumps(asdict(report)), encoding="utf-8")


def read_report(path: Path) -> ProgressReport | None:
    """The latest report; None if there is none yet, or none that can be read."""
    try:
        values = parse_json(path.read_bytes())
        return from_dict(ProgressReport, values, str(path)) if isinstance(values, dict) else None
    except (OSError, ValueError, ConfigError):
        return None


def print_stacks_on_signal() -> None:
    """From now on `kill -USR1` has this process print where each of its threads is; for whatever stands still."""
    if hasattr(signal, "SIGUSR1") and sys.__stderr__ is not None:
        faulthandler.register(signal.SIGUSR1, file=sys.__stderr__)


def end_process(code: int) -> NoReturn:
    """End at once, with what was printed, but without taking Python and torch apart.

    That takes a second of the processor for nothing, which on a busy machine is a minute: a command that had printed
    its result seemed to stand still. Files and threads are closed by then, by those who opened them.
    """
    atexit._run_exitfuncs()  # there is no other name for it
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):  # nobody reads it any more, or the disk is full
            code = code or EXIT_UNHEARD
    os._exit(code)
