"""How long somebody who has given wrong passwords has to wait before the next one is looked at.

Counted for the address that tries, and for the name that is tried: whoever has many addresses does not get on faster.
An address from which a name has logged in before is not slowed by what others do with that name.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

_FREE = 3  # wrong passwords that everybody may give at once
_LONGEST = 300.0  # seconds to wait
_MEMORY = 3600.0  # seconds after which wrong ones are forgotten
_KEYS = 10_000  # addresses and names that are remembered


@dataclass(frozen=True)
class _Tries:
    """What was wrong of late."""

    wrong: int
    last: float

    def wait(self, now: float) -> float:
        """Seconds until the next one is looked at."""
        if self.wrong < _FREE:
            return 0.0
        pause = min(2.0 ** min(self.wrong - _FREE, 16), _LONGEST)
        return max(0.0, self.last + pause - now)


class Logins:
    """What is remembered of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries: dict[str, _Tries] = {}
        self._trusted: dict[str, None] = {}  # in the order in which they last logged in

    def wait(self, address: str, name: str) -> float:
        """Seconds until this name may be tried from this address."""
        now = self._clock()
        return max((self._known(key, now).wait(now) for key in self._keys(address, name)), default=0.0)

    def begin(self, address: str, name: str) -> None:
        """A password is being tried: it counts as wrong until it is known to be right, since many can be tried at
        once."""
        now = self._clock()
        for key in self._keys(address, name):
            self._put(key, _Tries(self._known(key, now).wrong + 1, now))

    def right(self, address: str, name: str) -> None:
        """It was right: what was wrong before is forgotten."""
        for key in self._keys(address, name):
            self._tries.pop(key, None)
        pair = _pair(address, name)
        self._trusted.pop(pair, None)
        self._trusted[pair] = None
        for oldest in list(self._trusted)[:-_KEYS]:
            del self._trusted[oldest]

    def _keys(self, address: str, name: str) -> list[str]:
        """What a try counts for. Of a trusted address the name's own tries there: whoever shares it, and has a name of
        their own to log in by meanwhile, does not get on faster either."""
        keys = [f"address {network(address)}"]
        if not name:
            return keys
        pair = _pair(address, name)
        return [*keys, f"pair {pair}" if pair in self._trusted else f"name {name}"]

    def _known(self, key: str, now: float) -> _Tries:
        known = self._tries.get(key, _Tries(0, now))
        return known if now - known.last < _MEMORY else _Tries(0, now)

    def _put(self, key: str, tries: _Tries) -> None:
        """Put in last: who was wrong the longest ago is forgotten first."""
        self._tries.pop(key, None)
        self._tries[key] = tries
        while len(self._tries) > _KEYS:
            del self._tries[next(iter(self._tries))]


def network(address: str) -> str:
    """Of an IPv6 address what one subscriber has of them; others as they are."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 6:
        return str(ipaddress.ip_network((known, 64), strict=False).network_address)
    return address


def _pair(address: str, name: str) -> str:
    return f"{network(address)} {name}"
