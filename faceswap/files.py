"""Files and folders that are whole at every moment: written aside, and put in their place at once."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

_SIGNATURE = "signature"
_LONGEST = 240  # bytes of a name: file systems take 255, and some files have others beside them
_DIGITS = 8


def beside(path: Path, suffix: str, prefix: str = "") -> Path:
    """A file beside `path`, called after it. Of a name that would be too long for it the end is exchanged for a hash,
    so that two such files still differ."""
    name = f"{prefix}{path.name}{suffix}"
    room = _LONGEST - len(os.fsencode(f"{prefix}{suffix}"))
    if len(os.fsencode(path.name)) > room:
        digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:_DIGITS]
        begin = os.fsencode(path.name)[: room - _DIGITS].decode(errors="ignore")
        name = f"{prefix}{begin}{digest}{suffix}"
    return path.with_name(name)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A place to write what is to be at `path`: it takes that name when the block ends, and none if it fails.

    A killed process leaves what was there before, or the whole new file. After a power cut only what was flushed in the
    block is sure to be whole.
    """
    fresh = beside(path, f".{os.getpid()}.part", prefix=".")
    try:
        yield fresh
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def sweep(folder: Path, stem: str = "") -> None:
    """Remove what killed processes have begun in `folder`, as far as it was to be called `stem`, a full stop, and
    something: what other machines are writing there is called otherwise."""
    import psutil  # not above: the command line has to answer --help at once

    for left in folder.glob(f".{escape(stem)}.*.part" if stem else ".*.part"):
        number = left.name.removesuffix(".part").rpartition(".")[2]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            left.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Have the system write the file (or the folder's list of names) to the disk now."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot flush a folder
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_work_folder(folder: Path, signature: str) -> list[Path]:
    """The folder of work that is going on, made, or emptied if it was begun under another signature; what is in it.

    The signature says what is being made: work that was begun for something else cannot be gone on with.
    """
    note, wanted = folder / _SIGNATURE, signature.encode(errors="surrogateescape")
    if folder.exists() and (not note.is_file() or note.read_bytes() != wanted):
        shutil.rmtree(folder)
    if not folder.exists():
        folder.mkdir()
        with replaced(note) as fresh:
            fresh.write_bytes(wanted)
    return [path for path in folder.iterdir() if path != note]
