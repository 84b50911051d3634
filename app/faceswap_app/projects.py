"""The folder of all projects, and who may see which of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from faceswap.errors import ConfigError, OutputError
from faceswap_app.access import NOBODYS, Standing, everybody, may_see, owns
from faceswap_app.project import NAME, SETTINGS, Project

UPLOADS = ".uploads"
"""The folder, beside the projects, of what visitors have sent and were shown, under names that nobody can guess."""


class Projects:
    """The folder that holds all projects, as far as somebody may see them.

    `who` says for whom it is asked: somebody's name, or None where visitors have no names and everything is
    everybody's. Whoever may not see a project is told that there is none.
    """

    def __init__(self, folder: Path, who: Callable[[], str | None] = everybody) -> None:
        self.folder = folder.resolve()
        self.who = who
        self.served: list[str] = []
        """Results that were shown: all that the page gives to a browser as it is."""

    def names(self) -> list[str]:
        """Of all projects that may be seen: folders that hold anything a project has."""
        found = (path.name for path in self.folder.iterdir() if self._is_project(path.name))
        who = self.who()
        return sorted(name for name in found if may_see(who, self.standing(name)))

    def last(self) -> str | None:
        """The project that was changed last."""
        return max(self.names(), key=lambda name: (self.folder / name).stat().st_mtime, default=None)

    def open(self, name: object) -> Project:
        """The project of this name. Raises ConfigError."""
        if not name or not isinstance(name, str):
            raise ConfigError("no project is open", "Make one on the Project tab")
        if not self.sees(name, self.who()):
            raise ConfigError(f"there is no project '{name}'", "Choose one from the list at the top")
        return Project(self.folder / name)

    def sees(self, name: str, who: str | None) -> bool:
        """Whether there is such a project, and somebody may see it."""
        return self._is_project(name) and may_see(who, self.standing(name))

    def may_fetch(self, path: str, who: str | None) -> bool:
        """Whether a file, if it lies in the projects' folder, lies in a project that somebody may see."""
        place = Path(path).resolve()
        if self.folder not in place.parents:
            return True  # that it is none of the page's at all is said elsewhere
        name = place.relative_to(self.folder).parts[0]
        return name == UPLOADS or self.sees(name, who)

    def check_owner(self, project: Project) -> None:
        """Raises ConfigError for what only the project's owner may do."""
        standing = self.standing(project.name)
        if not owns(self.who(), standing):
            raise ConfigError(
                f"the project {project.name} belongs to {standing.owner or 'nobody'}", "Only its owner may do that"
            )

    def standing(self, name: str) -> Standing:
        """Whose a project is; nobody's where that cannot be read."""
        try:
            status = (self.folder / name / SETTINGS).stat()
        except (OSError, ValueError):  # none yet; or no name of a file
            return NOBODYS
        return _standing(self.folder / name, status.st_mtime_ns, status.st_ino)

    def _is_project(self, name: str) -> bool:
        """Whether a folder is called so: a name, no path, and no link to elsewhere."""
        place = self.folder / name
        return can_be_project(name) and place.is_dir() and place.resolve().parent == self.folder

    def create(self, name: str) -> Project:
        """A new project. Raises ConfigError or OutputError."""
        project = Project(self.free(name))

        owner = self.who()

        try:
            for folder in (project.folder / "clips", project.results):
                folder.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"{project.folder} cannot be made ({error.strerror})", "Check the folder") from error

        if owner is not None:
            project.give(Standing(owner))
        return project

    def free(self, name: str) -> Path:
        """Where a project of this name would lie. Raises ConfigError if it cannot be called so, or one is."""
        name = name.strip()

        if not can_be_project(name):
            raise ConfigError(f"'{name}' cannot be a project's name", "Use up to 60 letters, digits, spaces, - and _")
        if (self.folder / name).exists():
            raise ConfigError(f"there is a project '{name}' already", "Choose another name, or open it at the top")
        return self.folder / name

    def serve(self, result: Path) -> None:
        """Let browsers read a result."""
        if str(result) not in self.served:
            self.served.append(str(result))


@functools.lru_cache(maxsize=4096)
def _standing(folder: Path, _changed: int, _file: int) -> Standing:
    """As the file says that was written then."""
    try:
        return Project(folder).standing
    except ConfigError:
        return NOBODYS


def can_be_project(name: str) -> bool:
    """Whether a project can be called so."""
    return NAME.fullmatch(name) is not None and name != "results"
