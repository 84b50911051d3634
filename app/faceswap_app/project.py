"""A project: a folder with the footage, faces, models and results of one pair (or more) of persons.

    clips/          footage
    faces/a, b...   a faceset for each person
    model, ...      models, each a folder with a config.toml
    results/        swapped videos and pictures
    project.toml    what the persons are called, whether they agree, and in which clips they are seen; where visitors
                    have names: whose the project is, and whether it is shared

`faceswap demo` puts its clips at the top of its folder: clips and results are looked for there, too. Whatever comes
from a visitor is text until this module has made a path of it, inside the folder it may use.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path

import tomli_w

from faceswap.config import from_dict, read_toml
from faceswap.errors import ConfigError, MediaError, OutputError
from faceswap.media.kinds import is_picture, is_video
from faceswap.provenance.consent import NOBODY
from faceswap_app.access import Standing
from faceswap_app.files import files, free, is_result, shortened, write

KEYS = ("a", "b", "c", "d")
"""Of the persons of a project, as its facesets are called and its models know them."""
SETTINGS = "project.toml"
"""The file of a project that says what is known of it."""
AGREES, INVENTED = "agrees", "invented"
"""What can be said of a person: agrees to this use, or does not exist."""

NAME = re.compile(r"\w[\w .-]{0,58}\w|\w")
"""Of a project or a model."""
_RESERVED = ("clips", "faces", "results", "reports")  # folders of a project
_LONGEST_NAME = 60  # of a person, characters


@dataclass(frozen=True)
class Person:
    """Somebody whose face is learnt."""

    name: str
    consent: str = ""
    """AGREES, INVENTED, or nothing as long as that has not been said."""
    clips: tuple[str, ...] = ()
    """In which this person is seen, by name."""


@dataclass(frozen=True)
class _Settings:
    """The content of project.toml."""

    persons: dict[str, Person] = field(default_factory=dict)
    owner: str = ""
    shared: bool = False


class Project:
    """One project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.results = folder / "results"
        self._clips = folder / "clips"
        self._persons: dict[str, Person] | None = None  # read once for each look at the project

    def persons(self) -> dict[str, Person]:
        """By key: at least a and b. Raises ConfigError if project.toml is broken."""
        if self._persons is None:
            self._persons = self._read_persons()
        return self._persons

    @property
    def standing(self) -> Standing:
        """Whose it is. Raises ConfigError if project.toml is broken."""
        settings = _read_settings(self.folder)
        return Standing(settings.owner, settings.shared)

    def give(self, standing: Standing) -> None:
        """Have it belong to somebody, and be shared or not. Raises ConfigError or OutputError."""
        with _WRITING:
            settings = _read_settings(self.folder)
            self._write_settings(replace(settings, owner=standing.owner, shared=standing.shared))

    def _read_persons(self) -> dict[str, Person]:
        known = _read_settings(self.folder).persons
        extracted = [key for key in KEYS if self.faceset(key).is_dir()]
        wanted = [key for key in KEYS if key in ("a", "b") or key in known or key in extracted]
        return {key: known.get(key) or _nobody_yet(key) for key in wanted}

    def change(self, key: str, **values: object) -> None:
        """Change what is known of a person, who is added if need be. Raises ConfigError or OutputError."""
        with _WRITING:
            persons = self._read_persons()
            if key not in {*persons, _next_key(persons)}:
                raise ConfigError(f"there cannot be a person '{key}'", f"A project has up to {len(KEYS)}")
            before = persons.get(key) or _nobody_yet(key)
            persons[key] = _checked(replace(before, **values))  # type: ignore[arg-type]  # checked behind
            self._write_persons(persons)

    def add_person(self) -> str:
        """A person more; their key. Raises ConfigError if there are as many as there can be, or OutputError."""
        key = _next_key(self.persons())
        if key is None:
            raise ConfigError(f"a project has up to {len(KEYS)} persons", "Remove one first, or make another project")
        self.change(key)
        return key

    def put_persons(self, changed: Mapping[str, Person | None]) -> None:
        """Replace what is known of persons by key; None forgets one. Raises ConfigError or OutputError."""
        with _WRITING:
            persons = {**self._read_persons(), **changed}
            self._write_persons({key: _checked(person) for key in KEYS if (person := persons.get(key))})

    def _write_persons(self, persons: dict[str, Person]) -> None:
        self._write_settings(replace(_read_settings(self.folder), persons=persons))

    def _write_settings(self, settings: _Settings) -> None:
        write(self.folder / SETTINGS, tomli_w.dumps(asdict(settings)))
        self._persons = None

    def consent(self) -> dict[str, str]:
        """By key, what training is told of those who agree, or do not exist: the person's name, or NOBODY."""
        persons = {key: person for key, person in self.persons().items() if person.consent}
        return {key: NOBODY if person.consent == INVENTED else person.name for key, person in persons.items()}

    def check_consent(self, keys: Iterable[str]) -> None:
        """Raises ConfigError unless it is said of all of these that they agree, or do not exist."""
        persons, said = self.persons(), self.consent()
        unsaid = [persons[key].name for key in keys if key not in said]
        if unsaid:
            agree = "agrees" if len(unsaid) == 1 else "agree"
            raise ConfigError(f"it is not said whether {' and '.join(unsaid)} {agree}", "Say so on the Project tab")

    def clips(self) -> list[str]:
        """Videos and pictures of the project, by name: `clips/ada.mp4`, in the order of their names."""
        return [self._relative(path) for path in self._media(self._clips) + self._media(self.folder)]

    def finished(self) -> list[Path]:
        """Swapped videos and pictures, the newest first."""
        found = [path for folder in (self.results, self.folder) for path in files(folder) if is_result(path)]
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def faceset(self, key: str) -> Path:
        """Where a person's faces lie, or will lie."""
        return self.folder / "faces" / key

    def models(self) -> list[str]:
        """Names of models that training has begun, the newest last."""
        found = [path for path in self.folder.glob("*/config.toml") if can_be_model(path.parent.name)]
        own = [path.parent for path in found if not path.parent.is_symlink()]
        return [path.name for path in sorted(own, key=lambda path: path.stat().st_mtime)]

    def known_to(self, model: str) -> tuple[str, ...]:
        """The persons, by key, that a model has learnt; none of what is no model here, or cannot be read."""
        try:
            self.model(model)
            persons = read_toml(self.folder / model / "config.toml")["model"]["persons"]
        except (ConfigError, KeyError, TypeError):
            return ()
        return tuple(map(str, persons)) if isinstance(persons, list) else ()

    def new_model(self) -> str:
        """A name that no model has yet."""
        names = ("model" if number == 1 else f"model_{number}" for number in count(1))
        return next(name for name in names if not (self.folder / name).exists())

    def clip(self, name: object) -> Path:
        """The clip of this name. Raises ConfigError."""
        return self._inside(name, "clip", self.clips)

    def model(self, name: object) -> Path:
        """The model of this name. Raises ConfigError."""
        return self._inside(name, "model", self.models)

    def add_clip(self, upload: Path, called: str = "") -> str:
        """Move an uploaded file, which the visitor has called so, among the clips; its name there.

        Raises MediaError if it is no video or picture.
        """
        from faceswap.media.pictures import read_picture
        from faceswap.media.video import probe

        called = Path(called or upload).name
        name = f"{shortened(Path(called).stem)}{upload.suffix.lower()}"
        if not is_video(upload) and not is_picture(upload):
            raise MediaError(f"{called} is neither a video nor a picture", "Choose an .mp4, .mov, .mkv or .jpg")

        try:
            read_picture(upload) if is_picture(upload) else probe(upload)
        except MediaError as error:
            raise MediaError(error.problem.replace(str(upload), called), error.remedy) from None

        place = free(self._clips, name, taken=lambda path: path.exists())
        try:
            self._clips.mkdir(parents=True, exist_ok=True)
            shutil.move(upload, place)
        except OSError as error:
            raise OutputError(f"{place} cannot be written ({error})", "Check the folder and its space") from error

        return self._relative(place)

    def free_result(self, clip: Path, to: str, suffix: str, reserved: Iterable[str]) -> Path:
        """Where the swap of a clip can be written: a name that neither a result nor one of `reserved` has.

        Whatever their suffixes: its sheet and its settings are called after it, without that.
        """
        taken = {path.stem for path in (*files(self.results), *map(Path, reserved))}
        person = re.sub(r"[^\w-]+", "_", to)
        name = f"{shortened(clip.stem)}_as_{shortened(person)}{suffix}"
        return free(self.results, name, lambda path: path.stem in taken)

    def _media(self, folder: Path) -> list[Path]:
        found = [path for path in files(folder) if is_video(path) or (is_picture(path) and folder == self._clips)]
        return [path for path in found if not is_result(path)]

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _inside(self, name: object, what: str, known: Callable[[], list[str]]) -> Path:
        if not name or not isinstance(name, str):
            raise ConfigError(f"no {what} is chosen", f"Choose a {what} first")
        if name not in known():  # also whatever lies outside
            raise ConfigError(f"this project has no {what} '{name}'", f"Choose a {what} from the list")
        return self.folder / name


def _read_settings(folder: Path) -> _Settings:
    """Raises ConfigError if they are broken."""
    path = folder / SETTINGS
    return from_dict(_Settings, read_toml(path), str(path)) if path.is_file() else _Settings()


def can_be_model(name: str) -> bool:
    """Whether a model can be called so, beside the other folders of its project."""
    return NAME.fullmatch(name) is not None and name not in _RESERVED


def _nobody_yet(key: str) -> Person:
    return Person(f"Person {key.upper()}")


def is_unnamed(key: str, person: Person) -> bool:
    """Whether a person is still called as everybody is who was not named yet."""
    return person.name == _nobody_yet(key).name


def _next_key(persons: Iterable[str]) -> str | None:
    """Of the person who would be added next, if there is room."""
    return next((key for key in KEYS if key not in persons), None)


_WRITING = threading.Lock()
"""Held while a project.toml is read, changed and written: visitors may do so at once."""


def _checked(person: Person) -> Person:
    name = " ".join(person.name.split())
    if not name or len(name) > _LONGEST_NAME or name.casefold() == NOBODY:
        raise ConfigError(f"'{name}' cannot be a person's name", f"Use 1 to {_LONGEST_NAME} characters")
    if person.consent not in ("", AGREES, INVENTED):
        raise ConfigError(f"'{person.consent}' does not say whether {name} agrees", "Choose one of the two")
    return replace(person, name=name)
