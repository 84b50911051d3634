"""Telling files apart by what is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from faceswap.errors import MediaError

_END = 1 << 20  # bytes of either end that are read


def fingerprint(path: Path, *context: object) -> str:
    """64 hex digits that stay when the file is moved to another folder, and change when it is renamed or edited, or
    when `context` differs.

    Made of the file's name and size and the first and last MiB of its content: an edit between these that keeps the
    size is not seen. Raises MediaError if it cannot be read.
    """
    try:
        size = path.stat().st_size
        digest = hashlib.sha256(repr((path.name, size, *context)).encode())
        with path.open("rb") as file:
            digest.update(file.read(_END))
            file.seek(max(0, size - _END))
            digest.update(file.read())
    except OSError as error:
        raise MediaError(f"{path} cannot be read ({error.strerror})", "Check its name and permissions") from error
    return digest.hexdigest()
