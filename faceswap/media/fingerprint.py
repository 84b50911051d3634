"""Telling files apart by what is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from faceswap.errors import MediaError

_END, _END_OF_MANY = 1 << 20, 1 << 12  # bytes of either end that are read


def fingerprint(path: Path, *context: object) -> str:
    """64 hex digits that stay when the file is moved to another folder, and change when it is renamed or edited, or
    when `context` differs.

    Made of the file's name and size and the first and last MiB of its content: an edit between these that keeps the
    size is not seen. Of a folder of pictures it is made in the same way of each, with less of their content.
    Raises MediaError if it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            digest.update(repr((path.name, *context)).encode())
            for file in sorted(path.iterdir()):
                if file.is_file() and not file.name.startswith("."):
                    digest.update(_summary(file, _END_OF_MANY))
        else:
            digest.update(_summary(path, _END, *context))
    except OSError as error:
        raise MediaError(f"{path} cannot be read ({error.strerror})", "Check its name and permissions") from error

    return digest.hexdigest()


def _summary(path: Path, end: int, *context: object) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(end)
        file.seek(max(0, size - end))
        return repr((path.name, size, *context)).encode() + head + file.read()
