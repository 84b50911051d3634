"""The page's log: who did what and when, a line of JSON each.

Nothing that a visitor says can forge a line: whatever is not plain ASCII is escaped, line breaks among it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from faceswap.errors import OutputError

_LARGEST = 5_000_000  # bytes of a file, before the next one is begun
_KEPT = 5  # files besides the latest
_LONGEST = 500  # characters of one thing that is noted
_PRIVATE = 0o600


class Journal:
    """The log. None as its path: nothing is noted. Raises OutputError if it cannot be written."""

    def __init__(self, path: Path | None) -> None:
        self._handler: _Handler | None = None
        if path is None:
            return

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handler = _Handler(path, maxBytes=_LARGEST, backupCount=_KEPT, encoding="ascii")
        except OSError as error:
            raise OutputError(
                f"the log {path} cannot be written ({error.strerror})", "Choose another with --log"
            ) from (error)

    def note(self, did: str, *, who: str, address: str = "", **what: object) -> None:
        """`who` did this, from this address; `what` says the rest."""
        if self._handler is None:
            return
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        values = {"time": when, "who": who, "from": address, "did": did, **what}
        line = json.dumps({name: _short(value) for name, value in values.items() if value not in ("", None)})
        self._handler.handle(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """No more is noted."""
        if self._handler is not None:
            self._handler.close()
            self._handler = None


class _Handler(RotatingFileHandler):
    """Files that only the server's user reads; a full disk is said once, and ends nothing."""

    _told = False

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, _PRIVATE)
        return os.fdopen(descriptor, "a", encoding="ascii")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  # as logging calls it
        if not self._told:
            print("The log cannot be written. Check the disk's space.", file=sys.stderr)
        self._told = True


def _short(value: object) -> object:
    return value[:_LONGEST] if isinstance(value, str) else value
