"""A job: one command line, and what is known of it, in a folder of its own.

    PROJECTS/.jobs/0007/job.json        what it runs, and what has become of it
                        progress.json   its latest report, written by the command itself
                        stdout          its result as JSON, once it is done
                        stderr          in one line what went wrong and the remedy, or that it was stopped

Nothing but these files says how a job ended: a page that was started after the one that started the job sees the same.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import psutil

from faceswap.config import from_dict
from faceswap.documents import parse_json
from faceswap.errors import ConfigError
from faceswap.files import replaced
from faceswap_pipelines.common.protocol import ERROR, ERROR_KEY, STOPPED

WAITING, RUNNING, STOPPING, DONE, FAILED, HALTED = "waiting", "running", "stopping", "done", "failed", "stopped"
OVER = (DONE, FAILED, HALTED)
STATES = (WAITING, RUNNING, STOPPING, *OVER)

Kind = TypeVar("Kind")

_PIDS = 2**31
_DEVICES = 1024
_LATEST = 1e11  # seconds since 1970 that a date can be made of
_UNEXPECTED = "The program ended unexpectedly. Look at {log}, and start the job again: it goes on where it was."
_KILLED = "The program was killed; perhaps the memory was full. Start the job again: it goes on where it was."


@dataclass(frozen=True, kw_only=True)
class QueuedJob:
    """What is known of a job."""

    id: str
    project: str
    title: str
    """For people."""
    arguments: tuple[str, ...]
    """Of the command line, behind the program's name, without `out`."""
    out: str = ""
    """Behind --out, where the page chose a free name; it is no part of what makes two jobs the same."""
    status: str = WAITING
    pid: int = 0
    born: float = 0.0
    """When the process began, as the system says: a process with this pid and another birth is another one."""
    begun: float = 0.0
    ended: float = 0.0
    """In seconds since 1970."""
    reason: str = ""
    """Why it failed, or why it cannot begin, and what to do about it."""
    after: tuple[str, ...] = ()
    """Jobs, by id, that make what this one reads: it begins when they are done."""
    owner: str = ""
    """Who asked for it, where visitors have names."""
    place: int = 0
    """In the order of its owner's jobs: the smaller, the sooner."""
    device: int = 0
    """Which of the server's GPUs it has, counted from 0, if there are several."""

    @property
    def words(self) -> list[str]:
        """All arguments."""
        return [*self.arguments, *(["--out", self.out] if self.out else [])]

    @property
    def command(self) -> str:
        """As it can be typed in a shell."""
        return shlex.join(["faceswap", *self.words])

    @property
    def kind(self) -> str:
        """extract, faces, train, swap, evaluate or demo."""
        return self.arguments[0]

    @property
    def paths(self) -> list[Path]:
        """Files and folders that it reads or writes."""
        named = (Path(word) for text in self.words for word in (text, text.partition("=")[2]))
        return [path for path in named if path.is_absolute()]

    @property
    def makes(self) -> Path | None:
        """The file or folder that it writes, if it says."""
        if self.kind == "faces":
            return Path(self.arguments[2]) if len(self.arguments) > 2 else None
        name = "--model" if self.kind == "train" else "--out"
        return next((Path(value) for option, value in pairwise(self.words) if option == name), None)

    def touches(self, place: Path) -> bool:
        """Whether it reads or writes this file or folder, something in it, or the folder that it is in."""
        return any(path == place or place in path.parents or path in place.parents for path in self.paths)

    def disturbs(self, other: QueuedJob) -> bool:
        """Whether one of the two makes what the other one reads or makes: they cannot run at once."""
        pairs = ((self, other.makes), (other, self.makes))
        return any(made is not None and job.touches(made) for job, made in pairs)

    def feeds(self, other: QueuedJob) -> bool:
        """Whether it is not over, and makes what the other one reads."""
        made = self.makes
        if self.over or made is None or made == other.makes:
            return False
        return any(made == path or made in path.parents for path in other.paths)

    def renamed(self, before: Path, after: Path) -> QueuedJob:
        """The same, after a file or folder has got another name."""
        arguments = tuple(_renamed(word, before, after) for word in self.arguments)
        return replace(self, arguments=arguments, out=_renamed(self.out, before, after))

    @property
    def over(self) -> bool:
        """Whether nothing will happen to it any more by itself."""
        return self.status in OVER


def _renamed(word: str, before: Path, after: Path) -> str:
    """An argument, PATH or NAME=PATH, with a path that has got another name."""
    name, equals, value = word.rpartition("=")
    for head, text in (("", word), (name + equals, value)):
        path = Path(text)
        if path == before or before in path.parents:
            return head + str(after / path.relative_to(before))
    return word


def read_job(folder: Path) -> QueuedJob | None:
    """The job that a folder holds; None if it holds none that can be read."""
    job = _read(QueuedJob, folder / "job.json")
    if job is None or job.id != folder.name or not job.id.isdecimal() or not job.arguments:
        return None
    if (
        job.status not in STATES
        or not 0 <= job.pid < _PIDS
        or not 0 <= job.device < _DEVICES
        or abs(job.place) >= _PIDS
        or not all(0 <= t < _LATEST for t in (job.begun, job.ended))
    ):
        return None
    return job


def write_job(folder: Path, job: QueuedJob) -> None:
    """Keep what is known of it, whole at every moment."""
    folder.mkdir(parents=True, exist_ok=True)
    with replaced(folder / "job.json") as fresh:
        fresh.write_text(json.dumps(asdict(job), indent=1), encoding="utf-8")


def read_result(folder: Path) -> dict[str, Any]:
    """What the command said when it was done; nothing before."""
    return _read_json(folder / "stdout") or {}


def process_of(job: QueuedJob) -> psutil.Process | None:
    """The job's process, whoever has started it, if it has not ended."""
    try:
        process = psutil.Process(job.pid)
        same = abs(process.create_time() - job.born) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:  # it is gone, or another user's
        return None
    return process if same else None


def outcome(folder: Path) -> tuple[str, str]:
    """How a job whose process is gone has ended: its status, and why it failed."""
    said_last = _read_json(folder / "stdout")
    if said_last is not None and ERROR_KEY not in said_last:
        return DONE, ""

    log = folder / "stderr"
    said = log.read_text(encoding="utf-8", errors="replace").strip() if log.is_file() else ""
    last = said.splitlines()[-1] if said else ""

    if last.startswith(STOPPED):
        return HALTED, ""
    if last.startswith(ERROR):
        return FAILED, last.removeprefix(ERROR)
    return FAILED, _UNEXPECTED.format(log=log) if said else _KILLED


def _read(kind: type[Kind], path: Path) -> Kind | None:
    """What a file says, if it is what was written there."""
    try:
        return from_dict(kind, _read_json(path) or {}, str(path))
    except ConfigError:
        return None


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        values = parse_json(path.read_bytes())
    except (OSError, ValueError):  # not there yet, cut short or damaged
        return None
    return values if isinstance(values, dict) else None
