"""Previews and other pictures that somebody waits for: one at a time for each visitor, a few at a time for all.

Whoever asks for many waits for themselves, not others for them; what was asked for last is what they see in the end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from faceswap.errors import ConfigError

_AT_ONCE = 3  # of all visitors: each holds a picture and its networks in memory
_WAITING = 3  # of a visitor: when there are more, the one that was asked for first is given up


class Slots:
    """Who is having a picture made."""

    def __init__(self) -> None:
        self._lines: dict[str, list[object]] = {}  # by visitor: what waits, in the order in which it was asked for
        self._busy: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, visitor: str) -> Iterator[None]:
        """While a picture is made for this visitor. Raises ConfigError if they have asked for too many others since."""
        ticket = object()

        with self._changed:
            line = self._lines.setdefault(visitor, [])
            line.append(ticket)
            if len(line) > _WAITING:
                del line[0]
                self._changed.notify_all()

            self._changed.wait_for(lambda: ticket not in line or self._is_next(visitor, ticket))
            if ticket not in line:
                raise ConfigError("other pictures were asked for meanwhile", "Wait for those")

            line.remove(ticket)
            if not line:
                del self._lines[visitor]
            self._busy.add(visitor)

        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(visitor)
                self._changed.notify_all()

    def _is_next(self, visitor: str, ticket: object) -> bool:
        first = self._lines[visitor][0] is ticket
        return first and visitor not in self._busy and len(self._busy) < _AT_ONCE
