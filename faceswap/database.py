"""What the project's SQLite files have in common, and the one way in which damage to them is told."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from faceswap.errors import FaceswapError, OutputError

Value = TypeVar("Value")

_NO_DAMAGE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
}
_FRACTION = re.compile(r"-?[0-9]{1,40}(/[0-9]{1,40})?")
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_LONGEST_PATH = 480  # bytes: SQLite takes 512, with what it puts behind it
_PATIENCE = 0.5  # seconds
_FARTHEST = 1e6  # pixels: no picture has as many in a row


def create_database(path: Path, schema: str, version: int, *first: tuple[str, tuple[object, ...]]) -> None:
    """Make a database with no rows but those that the statements `first` (SQL and its values) insert.

    It is made under another name first: a killed process never leaves half of one.
    """
    fresh = path.with_name(f"{path.name}.fresh")
    for suffix in (".fresh", "-wal", "-shm"):  # left by a kill, or by a database that was there before
        path.with_name(path.name + suffix).unlink(missing_ok=True)

    _check_length(path)
    database = _connected(fresh, "mode=rwc" if _has_locks(path.parent) else "mode=rwc&nolock=1", alone=True)
    try:
        database.executescript(f"{schema}; PRAGMA user_version = {version:d}; PRAGMA journal_mode = WAL;")
        with database:
            for statement, values in first:
                database.execute(statement, values)
    finally:
        database.close()

    fresh.replace(path)


def open_database(path: Path) -> tuple[sqlite3.Connection, int]:
    """An existing database and its version, looked through for damage, so that no row of it is lost without a word.

    Where nothing may be written, it can be read all the same; on drives without shared memory or locks only one
    connection can use it. Raises sqlite3.Error if it is none, or damaged, OutputError for a path that is too long.
    """
    _check_length(path)
    if not _has_locks(path.parent):
        return _opened(path, "nolock=1", alone=True)

    try:
        return _opened(path)
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_IOERR:  # most likely there is no shared memory, as on many network drives
            return _opened(path, alone=True)

        # SQLite wants to make a file beside the database before it reads. If one is there, somebody is writing.
        unwritable = code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not unwritable or path.with_name(f"{path.name}-wal").exists():
            raise
        return _opened(path, "immutable=1")


def open_unchanging(path: Path) -> tuple[sqlite3.Connection, int]:
    """`open_database` for one that nobody changes any more: for many readers at a time, on several machines and
    on drives without locks, too."""
    _check_length(path)
    return _opened(path, "immutable=1")


def _connected(path: Path, options: str = "", alone: bool = False) -> sqlite3.Connection:
    """`alone`: without memory that is shared with other connections, which then have to wait until it is closed."""
    # One thread opens it and another one may read it: never both at once.
    uri = f"{path.absolute().as_uri()}?{options}"
    database = sqlite3.connect(uri, timeout=30, check_same_thread=False, uri=True)
    if alone:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
    return database


def _check_length(path: Path) -> None:
    """Raises OutputError for a path that SQLite cannot open."""
    length = len(os.fsencode(path.absolute()))
    if length > _LONGEST_PATH:
        raise OutputError(
            f"the path {path} is too long ({length} bytes)",
            f"Use folders that are not so deep: at most {_LONGEST_PATH} bytes",
        )


def _has_locks(folder: Path) -> bool:
    """Whether files there can be locked: some network drives know no locks, and SQLite takes that for one that another
    program holds. A folder in which nothing may be written counts as one that knows them."""
    if sys.platform == "win32":
        return True
    import fcntl  # not above: Windows has none

    with suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _NO_LOCKS
    return True


def _opened(path: Path, options: str = "", alone: bool = False) -> tuple[sqlite3.Connection, int]:
    database = _connected(path, options, alone)
    try:
        database.execute("PRAGMA trusted_schema = OFF")  # what somebody else has put into the file calls nothing
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        database.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last commits, never the file
        _check_whole(database)
    except sqlite3.Error:
        database.close()
        raise
    except UnicodeDecodeError as error:  # in what SQLite itself says of the damage
        database.close()
        raise sqlite3.DatabaseError("a name in it is no text") from error

    return database, version


def _check_whole(database: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError for damaged pages or indices, and for more than tables: a view may never end."""
    if database.execute("SELECT 1 FROM sqlite_master WHERE type NOT IN ('table', 'index') LIMIT 1").fetchone():
        raise sqlite3.DatabaseError("it holds other things than tables")
    [answer] = database.execute("PRAGMA integrity_check(1)").fetchone()
    if answer != "ok":
        raise sqlite3.DatabaseError(str(answer).splitlines()[-1])


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error comes from what is in the file; otherwise from the disk, its permissions or another program."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # absent where Python itself finds fault
    return code & 0xFF not in _NO_DAMAGE


@contextmanager
def reading(damaged: Callable[[str], FaceswapError], name: str) -> Iterator[None]:
    """For all that reads rows and makes something of them: what is wrong with them becomes the error that `damaged`
    makes of the reason, and what the disk does not let us read an OutputError, in which `name` says which file."""
    try:
        yield
    except sqlite3.Error as error:
        if is_damage(error):
            raise damaged(str(error)) from error
        raise OutputError(
            f"{name} cannot be read ({error})",
            "Check that its folder may be written to, and that no other program has it open",
        ) from error
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise damaged(str(error) or type(error).__name__) from error


def of_kind(kind: type[Value], value: object) -> Value:
    """A column's value, which SQLite keeps of whatever type it is given. Raises ValueError if it is none of `kind`."""
    if not isinstance(value, kind):
        raise ValueError(f"a row holds {type(value).__name__} instead of {kind.__name__}")
    return value


def exact_time(text: object) -> Fraction:
    """Seconds, kept as a fraction. Raises ValueError; "1e999999999" would take for ever."""
    if not _FRACTION.fullmatch(of_kind(str, text)):
        raise ValueError("a row holds no time")
    return Fraction(str(text))


def array_of(blob: object, kind: str, *shape: int) -> npt.NDArray[Any]:
    """Numbers of the type `kind`, kept as bytes. Raises ValueError for others than fit, or beyond reason."""
    values = np.frombuffer(of_kind(bytes, blob), kind).reshape(shape)
    if not np.abs(values).max() < _FARTHEST:
        raise ValueError("a row holds numbers that cannot be")
    return values


def lock(path: Path, taken: FaceswapError) -> sqlite3.Connection:
    """Take the lock file `path`, which is held until the result is closed or this process ends, in whatever way.

    Of two that ask at the same instant one gets it. On a drive that knows no locks it keeps out this machine's
    processes only. Raises `taken` if another one holds it, OutputError if it cannot be written.
    """
    _check_length(path)
    if path.parent.is_dir() and not _has_locks(path.parent):
        digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
        path = Path(tempfile.gettempdir(), f"faceswap_{digest}.lock")

    while True:
        with ExitStack() as stack:
            try:
                path.touch()
                wanted = path.stat().st_ino

                # With no timeout, two that ask at the same instant would refuse each other.
                connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
                stack.callback(connection.close)
                connection.execute("BEGIN EXCLUSIVE")
                held = path.stat().st_ino
            except FileNotFoundError:  # whoever had it has just removed it; or there is no such folder
                if path.parent.is_dir():
                    continue
                raise OutputError(f"the folder {path.parent} does not exist", "Create it or choose another") from None

            except (OSError, sqlite3.Error) as error:
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                    raise taken from None
                problem = f"{path} cannot be written ({error})"
                raise OutputError(problem, "Check the folder and the disk's space") from error

            if wanted == held:  # otherwise ours was removed by the one who had it, and another one is there
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
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter is about what SQLite says of damage
        raise OutputError(
            f"{name} cannot be written ({error})",
            "Check the disk's space and that no other program has the file open, then run the same again",
        ) from error
