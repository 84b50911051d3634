"""What projects hold, piece by piece: what each is called, which files it is made of, and how much disk they use."""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from faceswap.errors import ConfigError
from faceswap_app.files import shortened
from faceswap_app.project import Project
from faceswap_pipelines.swapping.origin import origin_of

PROJECT, PERSON, FACES, CLIP, MODEL, RESULT = "project", "person", "faces", "clip", "model", "result"
KINDS = (PROJECT, PERSON, CLIP, FACES, MODEL, RESULT)

_BESIDE_RESULTS = (".settings.toml", ".sheet.png", ".tracks.db", ".tracks.db-wal", ".tracks.db-shm")
_TRACKS = ".tracks.db"


@dataclass(frozen=True, kw_only=True)
class Holding:
    """A project, or something in one."""

    project: str
    kind: str
    """One of KINDS."""
    name: str
    """As commands know it: of a person and of their faces the key, of a clip `clips/ada.mp4`."""
    title: str
    """For people."""
    paths: tuple[Path, ...]
    """Its files and folders; none of somebody who is only named."""

    @property
    def bytes(self) -> int:
        """On the disk."""
        return sum(map(size_of, self.paths))


def holdings(project: Project) -> list[Holding]:
    """The project, and everything in it. Raises ConfigError if its project.toml is broken."""

    def one(kind: str, name: str, title: str, *paths: Path) -> Holding:
        there = tuple(path for path in paths if os.path.lexists(path))
        return Holding(project=project.name, kind=kind, name=name, title=title, paths=there)

    found = [one(PROJECT, project.name, f"the project {project.name}", project.folder)]
    for key, person in project.persons().items():
        found.append(one(PERSON, key, f"{person.name}, with all faces", project.faceset(key)))
        if project.faceset(key).is_dir():
            found.append(one(FACES, key, f"the faces of {person.name}", project.faceset(key)))

    found += [one(CLIP, name, f"the clip {name}", *files_of_clip(project, name)) for name in project.clips()]
    found += [one(MODEL, name, f"the model {name}", project.folder / name) for name in project.models()]
    found += [one(RESULT, path.name, f"the result {path.name}", *files_of_result(path)) for path in project.finished()]
    return found


def holding(project: Project, kind: str, name: str) -> Holding:
    """One of them. Raises ConfigError if there is none of this kind and name."""
    if kind not in KINDS:
        raise ConfigError(f"there is no kind '{kind}'", f"Choose one of: {', '.join(KINDS)}")

    there = [one for one in holdings(project) if one.kind == kind]
    found = next((one for one in there if one.name == name), None)
    if found is None:
        names = ", ".join(one.name for one in there) or "none"
        raise ConfigError(f"the project {project.name} has no {kind} '{name}'", f"There is: {names}")

    return found


def showing(project: Project, key: str) -> list[Holding]:
    """All that shows a person or has learnt from them, besides their faces: clips in which they are said to be seen,
    models, and what was swapped in these clips or with these models."""
    clips = {name for name in project.persons()[key].clips if name in project.clips()}
    models = {name for name in project.models() if key in project.known_to(name)}
    results = {path.name for path in project.finished() if _is_from(path, clips, models)}

    wanted = {CLIP: clips, MODEL: models, RESULT: results}
    return [one for one in holdings(project) if one.name in wanted.get(one.kind, ())]


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links are not followed, and what vanishes meanwhile is nothing."""
    try:
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as entries:
                return sum(size_of(Path(entry)) for entry in entries)
        return path.lstat().st_size
    except OSError:
        return 0


def in_words(size: int) -> str:
    """Bytes as people say them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def files_of_result(path: Path) -> list[Path]:
    """A result, and what lies beside it."""
    report = path.parent.parent / "reports" / f"{path.stem}.html"
    beside = [path.with_name(path.stem + suffix) for suffix in _BESIDE_RESULTS]
    return [path, mask_of(path), *beside, report]


def settings_of(result: Path) -> Path:
    """The file of a result's settings."""
    return result.with_name(f"{result.stem}.settings.toml")


def mask_of(result: Path) -> Path:
    """Where the masks of a result lie, if they were asked for."""
    return result.with_name(f"{result.stem}_mask{result.suffix}")


def files_of_clip(project: Project, name: str) -> list[Path]:
    """A clip, and what keeps where faces were found in it."""
    clip = project.folder / name
    tracks = project.results.glob(f"{escape(shortened(clip.stem))}.*{_TRACKS}*")
    return [clip, *sorted(path for path in tracks if not path.is_symlink())]


def _is_from(result: Path, clips: Set[str], models: Set[str]) -> bool:
    """Whether a result was made from one of these clips or models, as far as is known; else yes, to be sure."""
    origin = origin_of(settings_of(result))
    return origin is None or origin.model in models or any(Path(clip).name == origin.video for clip in clips)
