"""Some seconds of a clip, swapped and played before the whole of it is made: one at a time for each visitor."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from faceswap_app.projects import UPLOADS

SECONDS = 2.0
"""How long it is: it is there within seconds."""

_PREFIX = "excerpt-"


class Excerpts:
    """Where they lie: under names that nobody can guess, until the visitor asks for the next, or the page ends."""

    def __init__(self, projects: Path) -> None:
        self._folder = projects / UPLOADS
        self._latest: dict[str, Path] = {}
        self._lock = threading.Lock()

    def make(self, visitor: str, render: Callable[[Path], None]) -> Path:
        """The film that `render` writes to the place that it is given; the visitor's one of before goes."""
        place = self._folder / f"{_PREFIX}{secrets.token_hex(16)}" / "excerpt.mp4"
        with self._lock:
            before = self._latest.pop(visitor, None)
            self._latest[visitor] = place

        if before is not None:
            shutil.rmtree(before.parent, ignore_errors=True)

        place.parent.mkdir(parents=True)
        try:
            render(place)
        except BaseException:
            shutil.rmtree(place.parent, ignore_errors=True)
            raise

        return place

    def sweep(self) -> None:
        """Remove all: those that an ended page has left, too, and what shows somebody who is to be forgotten."""
        for left in self._folder.glob(f"{_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
