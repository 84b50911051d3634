"""Telling files apart by what is in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

_END = 1 << 20  # bytes of either end that are read


def fingerprint(path: Path, *context: object) -> str:
    """64 hex digits that stay when the file is moved and change when it is edited, or when `context` differs.

    Made of the file's name and size and the first and last MiB of its content.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(repr((path.name, size, *context)).encode())
    with path.open("rb") as file:
        digest.update(file.read(_END))
        file.seek(max(0, size - _END))
        digest.update(file.read())
    return digest.hexdigest()
