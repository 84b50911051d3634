"""What the project's SQLite files have in common."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from faceswap.errors import FaceswapError, OutputError


def create_database(path: Path, schema: str, version: int, *first: tuple[str, tuple[object, ...]]) -> None:
    """Make a database with no rows but those that the statements `first` (SQL and its values) insert.

    It is made under another name first: a killed process never leaves half of one.
    """
    fresh = path.with_name(f"{path.name}.fresh")
    for suffix in (".fresh", "-wal", "-shm"):  # left by a kill, or by a database that was there before
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    database = sqlite3.connect(fresh)
    try:
        database.executescript(f"{schema}; PRAGMA user_version = {version:d}; PRAGMA journal_mode = WAL;")
        with database:
            for statement, values in first:
                database.execute(statement, values)
    finally:
        database.close()
    fresh.replace(path)


def open_database(path: Path) -> tuple[sqlite3.Connection, int]:
    """An existing database and its version. Raises sqlite3.Error if it is none."""
    # One thread opens it and another one may read it: never both at once.
    database = sqlite3.connect(path, timeout=30, check_same_thread=False)
    try:
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last commits, never the file
    except sqlite3.Error:
        database.close()
        raise
    return database, version


def lock(path: Path, taken: FaceswapError) -> sqlite3.Connection:
    """Take the lock file `path`, which is held until the result is closed or this process ends, in whatever way.

    Raises `taken` if another one holds it, OutputError if it cannot be written.
    """
    with ExitStack() as stack:
        try:
            connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            stack.callback(connection.close)
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise taken from None
            raise OutputError(f"{path} cannot be written ({error})", "Check the folder and the disk's space") from error
        stack.pop_all()
    return connection


@contextmanager
def transaction(database: sqlite3.Connection, name: str) -> Iterator[None]:
    """All that is written inside, or nothing of it. Raises OutputError where the disk does not let us.

    `name` says in the error which file it is.
    """
    try:
        with database:
            yield
    except sqlite3.Error as error:
        raise OutputError(
            f"{name} cannot be written ({error})",
            "Check the disk's space and that no other program has the file open, then run the same again",
        ) from error
