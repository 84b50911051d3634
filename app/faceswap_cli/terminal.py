"""How every command runs: with a progress bar, stopped cleanly, errors as one line and an exit code, results as text or
JSON."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from faceswap.documents import one_line
from faceswap.errors import ConfigError, FaceswapError, OutputError, full_memory
from faceswap_pipelines.common.protocol import (
    ERROR,
    ERROR_KEY,
    EXIT_ERROR,
    EXIT_STOPPED,
    EXIT_USAGE,
    PROGRESS_FILE,
    STOPPED,
    ProgressReport,
    write_report,
)

if TYPE_CHECKING:  # it loads torch; only its types are needed here
    from faceswap_pipelines.common.progress import Progress, Run

Result = TypeVar("Result")

FIRST_RANK = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts only one speaks
_REPORT_EVERY = 0.3  # seconds between two of them
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.ENAMETOOLONG}


class StoppedError(Exception):
    """The user asked to stop, and the job has saved what it had."""


class UsageError(FaceswapError):
    """Words of a command line that cannot be read, or speak against each other."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """What is wrong with what is read from the command line is wrong usage."""
    try:
        yield
    except ConfigError as error:
        raise UsageError(error.problem, error.remedy) from error


@contextmanager
def job_errors(as_json: bool = False) -> Iterator[None]:
    """Errors that a user can mend become one line on stderr (and JSON on stdout, if results do) and exit code 3, or 2
    for wrong usage; a stop becomes 130."""
    try:
        yield
    except (StoppedError, KeyboardInterrupt) as stop:
        saved = "what was done is saved" if isinstance(stop, StoppedError) else "what was saved before is kept"
        print(f"{STOPPED}{saved}. Run the same command again to go on.", file=sys.stderr)
        raise typer.Exit(EXIT_STOPPED) from None

    except Exception as error:
        told = _mendable(error)
        if told is None:
            raise
        _tell(told, as_json)
        raise typer.Exit(EXIT_USAGE if isinstance(told, UsageError) else EXIT_ERROR) from None


def _mendable(error: Exception) -> FaceswapError | None:
    """An error in the program's own words, if a user can mend it."""
    if isinstance(error, FaceswapError):
        return error
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return OutputError(one_line(error), "Check the disk's space and permissions, then run the same again")
    return full_memory(error)


def _tell(error: FaceswapError, as_json: bool) -> None:
    print(f"{ERROR}{one_line(error)}", file=sys.stderr)
    if as_json and FIRST_RANK:
        told = {"kind": type(error).__name__, "problem": error.problem, "remedy": error.remedy}
        print(json.dumps({ERROR_KEY: told}, indent=1))


def tell_usage(message: str) -> None:
    """Say as JSON, too, what the parser of the command line says of it."""
    _tell(UsageError(message, "Look at --help"), as_json=True)


def run_with_progress(job: Run[Result], *, quiet: bool) -> Result:
    """Run a job with a progress bar on stderr (none if `quiet` or not on a terminal).

    Ctrl-C and SIGTERM stop it cleanly: it saves, then StoppedError is raised.
    """
    from faceswap_pipelines.common.progress import run

    bar = _Bar(quiet=quiet)
    report_file = _ReportFile()
    with _stop_requested() as stop:

        def watch(progress: Progress) -> None:
            report_file.keep(progress)
            bar.show(progress)
            if stop.is_set():
                raise StoppedError

        try:
            return run(job, watch)
        finally:
            bar.stop()


class _Bar:
    """A bar for each thing that a job does."""

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._bar = ProgressBar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=quiet or not console.is_terminal or not FIRST_RANK,
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, progress: Progress) -> None:
        """How far the job is."""
        self._bar.start()

        if progress.title not in self._tasks:
            self._tasks[progress.title] = self._bar.add_task(progress.title, count="", note="")

        total = "" if progress.total is None else f"/{progress.total:.0f}"
        self._bar.update(
            self._tasks[progress.title],
            completed=progress.done,
            total=progress.total,
            count=f"{progress.done:.0f}{total} {progress.unit}",
            note=progress.note,
        )

    def stop(self) -> None:
        """Leave the bars as they are."""
        self._bar.stop()


class _ReportFile:
    """The file that PROGRESS_FILE names, if it does."""

    def __init__(self) -> None:
        name = os.environ.get(PROGRESS_FILE) if FIRST_RANK else None
        self._path = Path(name) if name else None
        self._written = self._begun = -math.inf
        self._title, self._first = "", 0.0

    def keep(self, progress: Progress) -> None:
        """Writes the report and since when, and from which figure, there is work of this title; not too often."""
        now = time.monotonic()
        if self._path is None or (progress.title == self._title and now - self._written < _REPORT_EVERY):
            return

        if progress.title != self._title:
            self._title, self._begun, self._first = progress.title, now, progress.done
        self._written = now

        report = ProgressReport(**dataclasses.asdict(progress), seconds=now - self._begun, first=self._first)
        write_report(self._path, report)


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C interrupts at once."""
    event = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    # Of several ranks the first one stops and saves, and the others cannot go on without it.
    answer = handle if FIRST_RANK else signal.SIG_IGN
    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}

    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_result(result: object, as_json: bool, text: str) -> None:
    """Print a command's result on stdout."""
    if FIRST_RANK:
        print(json.dumps(_plain(result), indent=1) if as_json else text)


def _plain(value: object) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value
