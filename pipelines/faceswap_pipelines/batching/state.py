"""What has become of each task: SQLite beside the plan, so that a batch goes on where it was."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from faceswap.database import create_database, lock, of_kind, open_database, reading, transaction
from faceswap.documents import storable
from faceswap.errors import FaceswapError, OutputError
from faceswap.faces.faceset import Faceset
from faceswap.media.fingerprint import fingerprint
from faceswap_pipelines.batching.plan import AnyJob, Task
from faceswap_pipelines.common.inputs import list_media
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.swapping.job import SwapJob
from faceswap_pipelines.swapping.prepare import read_by
from faceswap_pipelines.training.job import TrainJob

_VERSION = 1
_ANEW = "Remove it, and those outputs that are to be made anew"
_SCHEMA = """
CREATE TABLE task (
    name TEXT PRIMARY KEY,
    status TEXT NOT NULL,                 -- running, done or failed; those that are not here are queued
    key TEXT NOT NULL,                    -- hash of inputs, settings and model: see key_of
    reason TEXT NOT NULL DEFAULT '',      -- why it failed
    seconds REAL NOT NULL DEFAULT 0,
    result TEXT NOT NULL DEFAULT '',      -- JSON: what the job said when it was done
    ours INTEGER NOT NULL DEFAULT 0       -- 1: what lies at its output was made by this batch, and may be replaced
);
"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of a task."""

    status: str
    key: str
    reason: str = ""
    seconds: float = 0.0
    result: str = ""
    ours: bool = False
    """Whether what lies at its output, if anything, was made by this batch."""


class State(AbstractContextManager["State"]):
    """The open state of a batch. Only one process can have it: raises OutputError if another one does."""

    def __init__(self, path: Path) -> None:
        self._path = path

        taken = OutputError(f"the state of this batch ({path}) is in use", "Wait for the other one to end")
        self._lock = lock(path.with_name(f"{path.name}.lock"), taken)
        try:
            if not path.is_file():
                create_database(path, _SCHEMA, _VERSION)
            self._db, version = open_database(path)
        except (OSError, sqlite3.Error) as error:
            self._lock.close()
            raise self._damaged(str(error)) from error

        if version != _VERSION:
            self.__exit__(None, None, None)
            raise OutputError(f"{path} is of another version of this program", _ANEW)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._lock.close()

    def entry(self, task: Task) -> Entry | None:
        """What is known of `task`; None: nothing yet."""
        with reading(self._damaged, str(self._path)):
            row = self._db.execute(
                "SELECT status, key, reason, seconds, result, ours FROM task WHERE name = ?", (storable(task.name),)
            ).fetchone()

            if row is None:
                return None

            *texts, seconds, result, ours = row
            status, key, reason, result = (of_kind(str, text) for text in (*texts, result))
            return Entry(
                status=status, key=key, reason=reason, seconds=of_kind(float, seconds), result=result, ours=bool(ours)
            )

    def _damaged(self, why: str) -> OutputError:
        return OutputError(f"{self._path} cannot be used ({why})", _ANEW)

    def note(self, task: Task, entry: Entry) -> None:
        """Keep what has become of `task`."""
        with transaction(self._db, f"the state {self._path}"):
            self._db.execute("INSERT OR REPLACE INTO task VALUES (?, ?, ?, ?, ?, ?, ?)", _row(task.name, entry))


def _row(name: str, entry: Entry) -> tuple[object, ...]:
    return tuple(storable(value) if isinstance(value, str) else value for value in (name, *asdict(entry).values()))


def key_of(job: AnyJob) -> str:
    """A hash of all that decides what the job makes: the content of its inputs, its settings, its model's weights."""
    digest = hashlib.sha256(repr(job).encode())
    for part in _contents(job):
        digest.update(part.encode())
    return digest.hexdigest()


def _contents(job: AnyJob) -> list[str]:
    rate = [] if isinstance(job, TrainJob) or job.frame_rate is None else [str(job.frame_rate)]
    if isinstance(job, ExtractJob):
        shown = [job.person] if job.person else []
        inputs = list_media(job.inputs, as_frames=job.frame_rate is not None)
        return [*rate, *(fingerprint(path) for path in [*inputs, *shown] if path.exists())]

    if isinstance(job, SwapJob):
        return [*rate, *(fingerprint(path) for path in read_by(job) if path.exists())]

    kept = []
    for folder in job.facesets.values():
        try:
            with Faceset.open(folder) as faceset:
                kept.append(json.dumps([record.file for record in faceset.records(kept_only=True)]))
        except FaceswapError:  # the job itself will say what is wrong with it
            kept.append("")

    return kept
