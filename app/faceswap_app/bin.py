"""The bin: what was thrown away stays a week, to be taken back, unless it is to be gone at once.

    PROJECTS/.bin/0007/entry.json     what it is, and where it lay
                       0, 1, ...      its files and folders

Things are moved within one file system, so that throwing away takes no time and no space.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from faceswap.config import from_dict
from faceswap.documents import parse_json
from faceswap.errors import ConfigError, OutputError
from faceswap.files import replaced
from faceswap_app.holdings import PROJECT, size_of
from faceswap_app.project import Person

KEPT_FOR = 7 * 86_400.0
"""Seconds until what was thrown away is deleted."""

_ENTRY = "entry.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something that was thrown away."""

    id: str
    project: str
    kind: str
    """As of a `Holding`."""
    name: str
    title: str
    thrown: float
    """When, in seconds since 1970."""
    places: tuple[str, ...] = ()
    """Where its files and folders lay, from the projects' folder on."""
    persons: dict[str, Person] = field(default_factory=dict)
    """By key, those who were forgotten with it."""
    seen: tuple[str, ...] = ()
    """Of a clip: who is seen in it, by key."""
    owner: str = ""
    """Whose the project was, where visitors have names."""

    @property
    def days_left(self) -> float:
        """Until it is deleted."""
        return max(0.0, (self.thrown + KEPT_FOR - time.time()) / 86_400)


class Bin:
    """The bin of a folder of projects."""

    def __init__(self, projects: Path) -> None:
        self._projects = projects
        self._folder = projects / ".bin"

    def entries(self) -> list[Entry]:
        """What can be taken back, the latest first."""
        folders = sorted(self._folder.iterdir(), reverse=True) if self._folder.is_dir() else []
        return [entry for folder in folders if (entry := _read(folder)) is not None]

    def size(self, entry: Entry) -> int:
        """Bytes on the disk."""
        return size_of(self._folder / entry.id)

    def take(self, entry: Entry, paths: tuple[Path, ...]) -> Entry:
        """Move files and folders of the projects into the bin; `entry` gets its id and places here.

        Raises OutputError.
        """
        try:
            self._folder.mkdir(exist_ok=True)
            latest = max((int(path.name) for path in self._folder.iterdir() if path.name.isdecimal()), default=0)
            places = tuple(path.relative_to(self._projects).as_posix() for path in paths)
            taken = replace(entry, id=f"{latest + 1:04d}", places=places)

            folder = self._folder / taken.id
            folder.mkdir()
            self._write(taken)
            _move_all([(path, folder / str(number)) for number, path in enumerate(paths)])
        except OSError as error:
            raise OutputError(f"{entry.title} cannot be moved ({error.strerror})", "Check the folder") from error

        return taken

    def rename_project(self, before: str, after: str) -> None:
        """Have what was thrown away go back to a project by its new name. Raises OSError."""
        for entry in self.entries():
            if entry.project == before and entry.kind != PROJECT:
                places = tuple(f"{after}/{place.partition('/')[2]}" for place in entry.places)
                self._write(replace(entry, project=after, places=places))

    def _write(self, entry: Entry) -> None:
        with replaced(self._folder / entry.id / _ENTRY) as fresh:
            fresh.write_text(json.dumps(asdict(entry), indent=1), encoding="utf-8")

    def give_back(self, entry: Entry) -> None:
        """Move everything to where it lay. Raises ConfigError if something lies there now, or OutputError."""
        moves = [(self._folder / entry.id / str(number), self._place(text)) for number, text in enumerate(entry.places)]
        moves = [(source, place) for source, place in moves if os.path.lexists(source)]

        for _, place in moves:
            if os.path.lexists(place):
                raise ConfigError(f"there is another {place.name} now", "Rename that first")
            if not place.parent.is_dir() and entry.project not in _names(self._projects):
                raise ConfigError(f"there is no project '{entry.project}' any more", "Take that back first")

        try:
            for _, place in moves:
                place.parent.mkdir(parents=True, exist_ok=True)
            _move_all(moves)
        except OSError as error:
            raise OutputError(f"{entry.title} cannot be moved ({error.strerror})", "Check the folder") from error
        self.delete(entry)

    def delete(self, entry: Entry) -> None:
        """Delete it for good. Raises OutputError."""
        try:
            shutil.rmtree(self._folder / entry.id)
        except OSError as error:
            raise OutputError(f"{entry.title} cannot be deleted ({error.strerror})", "Check the folder") from error

    def expired(self) -> list[Entry]:
        """What has been here for long enough."""
        return [entry for entry in self.entries() if entry.days_left == 0]

    def _place(self, text: str) -> Path:
        """Where something lay. Raises ConfigError unless that is in a project: the file could have been written by
        anybody."""
        relative = Path(os.path.normpath(text))
        place = self._projects / relative
        inside = place.parent.resolve()
        hidden = relative.is_absolute() or str(relative).startswith(".")  # also: .., and nothing at all
        if hidden or (inside != self._projects and self._projects not in inside.parents):
            raise ConfigError(f"{text} is no place in a project", "Move it yourself, out of the folder .bin")
        return place


def _move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename all, or none. Raises OSError."""
    with ExitStack() as undo:
        for source, place in moves:
            Path(source).rename(place)
            undo.callback(os.rename, place, source)
        undo.pop_all()


def _names(projects: Path) -> list[str]:
    return [path.name for path in projects.iterdir() if path.is_dir()]


def _read(folder: Path) -> Entry | None:
    """What a folder of the bin says that it holds, if that can be read."""
    try:
        values = parse_json((folder / _ENTRY).read_bytes())
        entry = from_dict(Entry, values, str(folder)) if isinstance(values, dict) else None
    except (OSError, ValueError, ConfigError):
        return None
    return entry if entry and entry.id == folder.name and folder.name.isdecimal() else None
