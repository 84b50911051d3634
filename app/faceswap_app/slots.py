"""Previews and other pictures that somebody waits for: one at a time for each visitor, a few at a time for all.

Whoever asks for many waits for themselves, not others for them.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from faceswap.errors import ConfigError

_AT_ONCE = 3  # of all visitors: each holds a picture and its networks in memory
_ASKED = 4  # that a visitor may have asked for, the one that is made among them


class Slots:
    """Who is having a picture made."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()
        self._busy: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, visitor: str) -> Iterator[None]:
        """While a picture is made for this visitor. Raises ConfigError if they have asked for too many already."""
        with self._changed:
            if self._asked[visitor] >= _ASKED:
                raise ConfigError("you have asked for several pictures already", "Wait until they are there")
            self._asked[visitor] += 1
            self._changed.wait_for(lambda: visitor not in self._busy and len(self._busy) < _AT_ONCE)
            self._busy.add(visitor)

        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(visitor)
                self._asked[visitor] -= 1
                self._asked += Counter()  # forgets those who wait for nothing
                self._changed.notify_all()
