"""Databases and locks where the drive is not a common one: without locks, without shared memory, deep down."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faceswap.database import create_database, lock
from faceswap.errors import OutputError

_DRIVE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int lacks(const char *what, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(getenv("LACKS"), what) && !strncmp(path, getenv("DRIVE"), strlen(getenv("DRIVE")));
}

static int lock_or(const char *name, int fd, int command, void *argument) {
    int is_lock = command == F_SETLK || command == F_SETLKW || command == F_GETLK;
    if (is_lock && lacks("locks", fd)) { errno = ENOLCK; return -1; }
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    return real(fd, command, argument);
}

#define LOCK(name) int name(int fd, int command, ...) { \
    va_list rest; va_start(rest, command); \
    return lock_or(#name, fd, command, va_arg(rest, void *)); }
LOCK(fcntl)
LOCK(fcntl64)

#define MAP(name) void *name(void *at, size_t size, int kind, int flags, int fd, off_t from) { \
    if ((flags & MAP_SHARED) && fd >= 0 && lacks("memory", fd)) { errno = ENODEV; return MAP_FAILED; } \
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, #name); \
    return real(at, size, kind, flags, fd, from); }
MAP(mmap)
MAP(mmap64)
"""
"""A library that stands before the system's: what lies in DRIVE behaves as on a network drive that LACKS something."""

_WORK = """
import sys
from pathlib import Path
from faceswap.database import create_database, lock, open_database, transaction
from faceswap.errors import OutputError

folder = Path(sys.argv[1])
with_lock = lock(folder / ".lock", OutputError("taken", "wait"))
try:
    lock(folder / ".lock", OutputError("taken", "wait"))
except OutputError as error:
    print(error.problem)
with_lock.close()
lock(folder / ".lock", OutputError("taken", "wait")).close()

create_database(folder / "a.db", "CREATE TABLE number (value INTEGER)", 3)
for number in range(3):
    database, version = open_database(folder / "a.db")
    with transaction(database, "a.db"):
        database.execute("INSERT INTO number VALUES (?)", (number,))
    print(version, len(database.execute("SELECT value FROM number").fetchall()))
    database.close()
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler")
@pytest.mark.parametrize("lacks", ["memory", "locks and memory"])
def test_network_drives_without_locks_or_shared_memory(tmp_path: Path, lacks: str) -> None:
    (tmp_path / "drive.c").write_text(_DRIVE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "drive.so", "drive.c", "-ldl"], cwd=tmp_path, check=True)
    (tmp_path / "drive").mkdir()
    about = {"LD_PRELOAD": str(tmp_path / "drive.so"), "LACKS": lacks, "DRIVE": str(tmp_path / "drive")}
    done = subprocess.run(
        [sys.executable, "-c", _WORK, str(tmp_path / "drive")],
        env=os.environ | about,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n") == ["taken", "3 1", "3 2", "3 3", ""], done.stderr


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 100] * 5)
    deep.mkdir(parents=True)
    with pytest.raises(OutputError, match="too long"):
        create_database(deep / "a.db", "CREATE TABLE number (value INTEGER)", 3)
    with pytest.raises(OutputError, match="too long"):
        lock(deep / ".lock", OutputError("taken", "wait"))
