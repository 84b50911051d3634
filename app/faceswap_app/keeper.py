"""Renaming, throwing away, taking back and deleting what projects hold, for page and command line alike.

Nothing happens to what lies outside the projects' folder, to what a link leads to, or to what a job is using; nor to
what whoever asks may not see or is another one's (`access.py`).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from faceswap.database import lock
from faceswap.errors import ConfigError, OutputError
from faceswap_app.access import Standing, owns
from faceswap_app.bin import Bin, Entry
from faceswap_app.excerpts import Excerpts
from faceswap_app.files import shortened
from faceswap_app.holdings import (
    CLIP,
    FACES,
    MODEL,
    PERSON,
    PROJECT,
    Holding,
    files_of_clip,
    files_of_result,
    holding,
    settings_of,
    showing,
)
from faceswap_app.project import Project, can_be_model, is_unnamed
from faceswap_app.projects import UPLOADS, Projects
from faceswap_app.queue import Queue
from faceswap_pipelines.swapping.origin import origin_of, rename_origin


@dataclass(frozen=True)
class Keeper:
    """What may change the projects of a folder besides jobs."""

    projects: Projects
    queue: Queue

    def thrown(self) -> list[Entry]:
        """What lies in the bin and may be seen, the latest first."""
        who = self.projects.who()
        return [entry for entry in self._bin.entries() if self._sees(entry, who)]

    def entry(self, key: object) -> Entry:
        """Something in the bin. Raises ConfigError if it is not there, or may not be seen."""
        entry = next((entry for entry in self.thrown() if entry.id == key), None)
        if entry is None:
            problem = f"the bin holds no '{key}'" if key else "nothing in the bin is chosen"
            raise ConfigError(problem, "Look at what it holds")
        return entry

    def size(self, entry: Entry) -> int:
        """Bytes on the disk."""
        return self._bin.size(entry)

    def empty(self) -> None:
        """Delete for good what has been in the bin for long enough, whosever it is. Raises OutputError."""
        self._delete(self._bin.expired())

    @property
    def _bin(self) -> Bin:
        return Bin(self.projects.folder)

    def _sees(self, entry: Entry, who: str | None) -> bool:
        """Whether it was somebody's, or of a project that they see. A project itself is its owner's alone by then."""
        own = owns(who, Standing(entry.owner))
        return own or (entry.kind != PROJECT and self.projects.sees(entry.project, who))

    def create(self, name: str) -> Project:
        """A new project. Raises ConfigError or OutputError."""
        self._check_unused(name)
        return self.projects.create(name)

    def is_free(self, name: str) -> bool:
        """Whether a new project can be called so."""
        try:
            self._check_unused(name)
            self.projects.free(name)
        except ConfigError:
            return False
        return True

    def give(self, project: Project, standing: Standing) -> None:
        """Have a project belong to somebody, and be shared or not. Raises ConfigError if it is another one's, or
        OutputError."""
        self.projects.check_owner(project)
        project.give(standing)

    def _check_unused(self, name: str) -> None:
        """Where visitors have names, a new project may not have a name by which the bin or a job still knows another
        one: these would be taken for the new owner's. Raises ConfigError."""
        if self.projects.who() is None:
            return
        thrown = {text for entry in self._bin.entries() for text in (entry.project, entry.name)}
        if name.strip() in thrown | {job.project for job in self.queue.jobs()}:
            raise ConfigError(f"the name '{name.strip()}' is taken", "Choose another name")

    def rename(self, project: Project, kind: str, name: str, new: str) -> str:
        """Give something another name; the name by which it is known then.

        Raises ConfigError if it is not there, cannot be called so, lies elsewhere or is in use, or OutputError.
        """
        one = holding(project, kind, name)
        if kind == PROJECT:
            self.projects.check_owner(project)
            self._check_unused(new)

        if kind == FACES:
            raise ConfigError("faces are called after their person", "Rename the person")
        if kind == PERSON:
            project.change(name, name=new)
            return name

        with self._unused([one]):
            try:
                if kind == PROJECT:
                    place = self._move(project.folder, self.projects.free(new))
                    self._bin.rename_project(name, place.name)
                    return place.name
                if kind == MODEL:
                    return self._rename_model(project, name, new)
                return self._rename_clip(project, name, new) if kind == CLIP else self._rename_result(one, new)
            except OSError as error:
                raise OutputError(f"{one.title} cannot be renamed ({error.strerror})", "Check the folder") from error

    def _rename_model(self, project: Project, name: str, new: str) -> str:
        new = new.strip()
        if not can_be_model(new):
            raise ConfigError(f"'{new}' cannot be a model's name", "Use up to 60 letters, digits, spaces, - and _")
        self._move(project.folder / name, project.folder / new)
        for result in project.finished():
            _rename_in_origin(result, "model", name, new)
        return new

    def _rename_clip(self, project: Project, name: str, new: str) -> str:
        from faceswap.faces.faceset import Faceset

        before = project.folder / name
        after = before.with_name(f"{_stem(new, before.suffix)}{before.suffix}")
        for found_in in files_of_clip(project, name)[1:]:  # where its faces are: made anew when wanted
            found_in.unlink(missing_ok=True)

        facesets = [project.faceset(key) for key in project.persons() if project.faceset(key).is_dir()]
        content = Faceset.content_of(before)
        self._move(before, after)

        called = after.relative_to(project.folder).as_posix()
        for key, person in project.persons().items():
            if name in person.clips:
                project.change(key, clips=tuple(called if clip == name else clip for clip in person.clips))
        for result in project.finished():
            _rename_in_origin(result, "video", before.name, after.name)

        for folder in facesets:
            with Faceset.open(folder) as faceset:
                faceset.rename_source(content, after)
        return called

    def _rename_result(self, one: Holding, new: str) -> str:
        before = one.paths[0]
        after = before.with_name(f"{_stem(new, before.suffix)}{before.suffix}")
        pairs = list(zip(files_of_result(before), files_of_result(after), strict=True))

        for _, place in pairs:
            _check_free(place)
        for source, place in reversed(pairs):  # last what is seen
            if os.path.lexists(source):
                self._move(source, place)

        return after.name

    def _move(self, before: Path, after: Path) -> Path:
        _check_free(after)
        Path(before).rename(after)
        self.queue.moved(before, after)
        return after

    def throw_away(self, project: Project, kind: str, name: str, *, everything: bool = False) -> list[Entry]:
        """Move something into the bin; `everything`: with a person all that shows them or has learnt from them, too.

        Raises ConfigError if it is not there, lies elsewhere or is in use, or OutputError; nothing is moved then.
        """
        if kind == PROJECT:
            self.projects.check_owner(project)
        wanted = [holding(project, kind, name)]
        if kind == PERSON and everything:
            wanted = [*showing(project, name), *wanted]
        with self._unused(wanted):
            return [self._take(project, one) for one in wanted]

    def _take(self, project: Project, one: Holding) -> Entry:
        persons = project.persons() if one.kind in (PERSON, CLIP) else {}

        entry = Entry(
            id="",
            project=project.name,
            kind=one.kind,
            name=one.name,
            title=one.title,
            thrown=time.time(),
            owner=self.projects.standing(project.name).owner,
            persons={one.name: persons[one.name]} if one.kind == PERSON else {},
            seen=tuple(key for key, person in persons.items() if one.kind == CLIP and one.name in person.clips),
        )
        entry = self._bin.take(entry, one.paths)

        if one.kind == PERSON:
            project.put_persons({one.name: None})
        for key in entry.seen:
            project.change(key, clips=tuple(clip for clip in persons[key].clips if clip != one.name))

        return entry

    def take_back(self, entry: Entry) -> None:
        """Put something from the bin to where it was. Raises ConfigError if that is not possible, or OutputError."""
        if entry.kind == PROJECT:
            self._bin.give_back(entry)
            return

        project = self.projects.open(entry.project)
        persons = project.persons()
        taken = [persons[key].name for key in entry.persons if key in persons and _is_somebody(project, key)]
        if taken:
            raise ConfigError(f"{taken[0]} is in that place now", "Throw that person away first")

        self._bin.give_back(entry)
        if entry.persons:
            project.put_persons(entry.persons)
        for key in entry.seen:
            if key in project.persons():
                project.change(key, clips=(*project.persons()[key].clips, entry.name))

    def delete(self, entries: Iterable[Entry]) -> None:
        """Delete things from the bin for good, with the jobs and the page's own copies of them.

        Raises ConfigError, before anything is deleted, if one of them is not theirs who ask, or OutputError.
        """
        going = list(entries)
        who = self.projects.who()
        for entry in going:
            if not owns(who, Standing(entry.owner)):
                raise ConfigError(f"{entry.title} is of a project of {entry.owner or 'nobody'}", "Ask them")
        self._delete(going)

    def _delete(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._bin.delete(entry)
            self.queue.forget(self.projects.folder / place for place in entry.places)
            # Pictures that browsers were shown, perhaps of this: gradio keeps them for a day.
            for shown in self.projects.folder.glob(f"{UPLOADS}/*/image.*"):
                shutil.rmtree(shown.parent, ignore_errors=True)
            Excerpts(self.projects.folder).sweep()

    def _unused(self, wanted: Iterable[Holding]) -> ExitStack:
        """While it is open no job begins. Raises ConfigError for what lies elsewhere, or what somebody is using."""
        with ExitStack() as stack:
            paths = [path for one in wanted for path in one.paths]
            for path in paths:
                if path.resolve() != path:
                    raise ConfigError(f"{path} is a link, or lies in a linked folder", "Change it where it lies")

            stack.enter_context(self.queue.unused(paths))
            for path in paths:
                for place in _locks_of(path):
                    lock(place, ConfigError(f"a command uses {path}", "Stop it first")).close()

            return stack.pop_all()


def _locks_of(path: Path) -> list[Path]:
    """The files by which commands, of whatever origin, keep others from what they are writing."""
    if not path.is_dir():
        beside = path.with_name(f".{path.stem}.lock")
        return [beside] if beside.is_file() else []
    patterns = (".lock", "*/.lock", "*/*/.lock", "results/.*.lock")
    return [place for pattern in patterns for place in path.glob(pattern) if place.resolve() == place]


def _check_free(place: Path) -> None:
    """Raises ConfigError if something is called so."""
    if os.path.lexists(place):
        raise ConfigError(f"there is a {place.name} already", "Choose another name")


def _stem(new: str, suffix: str) -> str:
    """A name for a file, without the suffix that it keeps. Raises ConfigError for what is no plain name."""
    stem = new.strip().removesuffix(suffix)
    if not stem or "/" in stem or "\\" in stem or shortened(stem) != stem:
        raise ConfigError(f"'{new}' cannot be a file's name", "Use letters, digits, spaces, - and _")
    return stem


def _rename_in_origin(result: Path, what: str, before: str, after: str) -> None:
    """Have a result say by its new name what it was made from."""
    origin = origin_of(settings_of(result))
    if origin is not None and getattr(origin, what) == before:
        rename_origin(settings_of(result), type(origin)(**{**vars(origin), what: after}))


def _is_somebody(project: Project, key: str) -> bool:
    """Whether more is known of a person than that there has to be one."""
    person = project.persons()[key]
    return bool(person.clips or person.consent or project.faceset(key).exists() or not is_unnamed(key, person))
