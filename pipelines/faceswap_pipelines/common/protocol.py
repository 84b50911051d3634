"""What a running command tells a program that watches it, such as the page: how far it is, how it ended, and why."""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from faceswap.config import from_dict
from faceswap.documents import parse_json
from faceswap.errors import ConfigError
from faceswap.files import replaced

EXIT_USAGE = 2
EXIT_ERROR = 3
EXIT_STOPPED = 130
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
