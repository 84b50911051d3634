"""What the commands share: progress bars, clean stopping, errors with exit codes, results as text or JSON."""

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from faceswap.documents import one_line, parse_toml
from faceswap.errors import ConfigError, FaceswapError
from faceswap.provenance.consent import NOBODY, read_consent

if TYPE_CHECKING:  # it loads torch; only its types are needed here
    from faceswap_pipelines.job import Job
    from faceswap_pipelines.job import Progress as Report

Result = TypeVar("Result")

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print one machine-readable result on stdout.")]

EXIT_ERROR = 3
EXIT_STOPPED = 130
ERROR, STOPPED = "Error: ", "Stopped; "
"""How the one line on stderr begins when a command could not do its work, or was stopped and has saved it."""
_FIRST_RANK = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts only one speaks
PROGRESS_FILE = "FACESWAP_PROGRESS"
"""Names, in the environment, a file to hold the latest report as JSON, for a program that watches this one."""
_REPORT_EVERY = 0.3  # seconds between two of them
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.ENAMETOOLONG}


class StoppedError(Exception):
    """The user asked to stop, and the job has saved what it had."""


@contextmanager
def job_errors() -> Iterator[None]:
    """Errors that a user can mend become one line on stderr and exit code 3; a stop becomes 130."""
    try:
        yield
    except FaceswapError as error:
        print(f"{ERROR}{one_line(error)}", file=sys.stderr)
        raise typer.Exit(EXIT_ERROR) from None
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        print(
            f"{ERROR}{one_line(error)}. Check the disk's space and permissions, then run the same again.",
            file=sys.stderr,
        )
        raise typer.Exit(EXIT_ERROR) from None
    except MemoryError:
        print(f"{ERROR}the memory is full. Close other programs, or choose smaller settings.", file=sys.stderr)
        raise typer.Exit(EXIT_ERROR) from None
    except (StoppedError, KeyboardInterrupt) as stop:
        saved = "what was done is saved" if isinstance(stop, StoppedError) else "what was saved before is kept"
        print(f"{STOPPED}{saved}. Run the same command again to go on.", file=sys.stderr)
        raise typer.Exit(EXIT_STOPPED) from None


def show(job: Job[Result], quiet: bool) -> Result:
    """Run a job with a progress bar on stderr (none if `quiet` or not on a terminal).

    Ctrl-C and SIGTERM stop it cleanly: it saves, then StoppedError is raised.
    """
    from faceswap_pipelines.job import run

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=quiet or not console.is_terminal or not _FIRST_RANK,
    )
    tasks: dict[str, int] = {}
    report_file = _ReportFile()
    with _stop_requested() as stop:

        def watch(report: Report) -> None:
            report_file.keep(report)
            bar.start()
            if report.title not in tasks:
                tasks[report.title] = bar.add_task(report.title, count="", note="")
            total = "" if report.total is None else f"/{report.total:.0f}"
            bar.update(
                tasks[report.title],  # type: ignore[arg-type]  # rich's TaskID is an int
                completed=report.done,
                total=report.total,
                count=f"{report.done:.0f}{total} {report.unit}",
                note=report.note,
            )
            if stop.is_set():
                raise StoppedError

        try:
            return run(job, watch)
        finally:
            bar.stop()


class _ReportFile:
    """The file that PROGRESS_FILE names, if it does."""

    def __init__(self) -> None:
        name = os.environ.get(PROGRESS_FILE) if _FIRST_RANK else None
        self._path = Path(name) if name else None
        self._kept = self._begun = -math.inf
        self._title, self._first = "", 0.0

    def keep(self, report: Report) -> None:
        """Writes the report and since when, and from which figure, there is work of this title; not too often."""
        now = time.monotonic()
        if self._path is None or (report.title == self._title and now - self._kept < _REPORT_EVERY):
            return
        if report.title != self._title:
            self._title, self._begun, self._first = report.title, now, report.done
        self._kept = now
        values = dataclasses.asdict(report) | {"seconds": now - self._begun, "first": self._first}
        fresh = self._path.with_suffix(".part")
        fresh.write_text(json.dumps(values), encoding="utf-8")
        fresh.replace(self._path)


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
    answer = handle if _FIRST_RANK else signal.SIG_IGN
    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finish(result: object, as_json: bool, text: str) -> None:
    """Print a command's result on stdout."""
    if _FIRST_RANK:
        print(json.dumps(_plain(result), indent=1) if as_json else text)


def _plain(value: object) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE by name, the values as TOML has them, bare words as text. Raises ConfigError."""
    given: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"'{text}' is not a setting", "Write it as NAME=VALUE, for example beta=4")
        try:
            given[name] = parse_toml(f"value = {value}")["value"]
        except ValueError:
            given[name] = value
    return given


def persons(a: Path, b: Path, more: Sequence[str]) -> dict[str, Path]:
    """Facesets by person: a, b, and those given as NAME=FACESET. Raises ConfigError."""
    facesets = {"a": a, "b": b}
    for text in more:
        name, equals, folder = text.partition("=")
        if not equals or not folder or name in facesets:
            raise ConfigError(f"'{text}' does not name a further person", "Write it as NAME=FACESET, each name once")
        facesets[name] = Path(folder)
    return facesets


def consented(texts: Sequence[str], model: Path, facesets: Mapping[str, Path], ask: bool) -> dict[str, str]:
    """Who the persons are that agreed, of those given as NAME=WHO; at a terminal the others are asked for, unless the
    model knows them. Raises ConfigError."""
    given: dict[str, str] = {}
    for text in texts:
        name, equals, who = text.partition("=")
        if not equals or not who.strip():
            raise ConfigError(f"'{text}' does not say who agreed", 'Write it as NAME=WHO, for example a="Jane Doe"')
        given[name] = who.strip()
    there = all(faceset.is_dir() for faceset in facesets.values())  # otherwise training will say what is wrong
    if ask and there and _FIRST_RANK and sys.stdin.isatty():
        known = read_consent(model)
        said = {*given, *(known.persons if known else ())}
        given |= {person: _ask_consent(person, faceset) for person, faceset in facesets.items() if person not in said}
    return given


def _ask_consent(person: str, faceset: Path) -> str:
    try:
        asked = f"Who is person {person} ({faceset})? A name; or '{NOBODY}', if drawn or generated"
        who = ""
        while not who:
            who = str(typer.prompt(asked, err=True)).strip()
        if who.casefold() != NOBODY and not typer.confirm(f"Did {who} agree to have their face swapped?", err=True):
            raise ConfigError(f"{who} has not agreed", "Ask first, or use the footage of somebody else")
    except typer.Abort:
        raise StoppedError from None
    return who


def mapping(texts: Sequence[str], source: str | None, target: str | None, face: str | None) -> list[str] | None:
    """Who becomes whom, of those given as A=B and by --from and --to; none if faces are chosen in another way, and None
    if nothing is said of that. Raises ConfigError."""
    if texts and (source or target):
        raise ConfigError("--map says already who becomes whom", "Leave out --from and --to")
    if face and (texts or source):
        raise ConfigError("--face and --map or --from are two ways to choose", "Leave one of them out")
    if source and not target:
        raise ConfigError(f"it is not said whom '{source}' becomes", "Add --to PERSON")
    if source:
        return [f"{source}={target}"]
    return list(texts) or ([] if face or target else None)
