"""What notes in the log what a visitor does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from faceswap_app.access import everybody
from faceswap_app.journal import Journal


def nowhere() -> str:
    """From where somebody visits who is not known to."""
    return ""


@dataclass(frozen=True)
class Scribe:
    """Knows who is visiting, and from where."""

    journal: Journal
    who: Callable[[], str | None] = everybody
    address: Callable[[], str] = nowhere

    def note(self, did: str, **what: object) -> None:
        """The visitor did this."""
        self.journal.note(did, who=self.who() or "", address=self.address(), **what)
