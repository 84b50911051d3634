"""The commands `faceswap project ...`: what the page's projects hold, renamed, thrown away, taken back, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from faceswap.errors import OutputError
from faceswap_cli.options import Json
from faceswap_cli.terminal import UsageError, job_errors, print_result

if TYPE_CHECKING:  # they take a moment to load: not for --help
    from faceswap_app.keeper import Keeper
    from faceswap_app.project import Project
    from faceswap_app.projects import Projects

project_app = typer.Typer(
    no_args_is_help=True,
    help="The projects of the page: what they hold and how much disk that uses; rename, delete, take back.",
)

Name = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's name.")]
Place = Annotated[Path, typer.Option("--projects", help="Folder of the projects.")]
Person = Annotated[
    str | None, typer.Option("--person", metavar="WHO", help="Of the project, a person: a, b... or the name.")
]
Clip = Annotated[str | None, typer.Option("--clip", metavar="FILE", help="A clip, such as ada.mp4.")]
Faces = Annotated[str | None, typer.Option("--faces", metavar="WHO", help="The faces of a person.")]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="A model.")]
Result = Annotated[str | None, typer.Option("--result", metavar="FILE", help="A swapped video or picture.")]

_HERE = Path("projects")


@project_app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="PROJECT", help="One project, and all that is in it.")] = None,
    projects: Place = _HERE,
    json: Json = False,
) -> None:
    """Show what there is, what lies in the bin, and how much disk each uses."""
    with job_errors(json):
        from faceswap_app.bin import Bin
        from faceswap_app.holdings import holdings, in_words, size_of

        known = _projects(projects)
        names = [known.open(name).name] if name else known.names()
        held = [one for each in names for one in holdings(known.open(each)) if name or one.kind == "project"]
        bin_ = Bin(known.folder)
        thrown = [entry for entry in bin_.entries() if name in (None, entry.project)]
        total = size_of(known.folder)

    lines = [f"{one.kind:8} {in_words(one.bytes):>8}  {one.name}" for one in held]
    for entry in thrown:
        size = in_words(bin_.size(entry))
        lines.append(f"bin {entry.id} {size:>8}  {entry.title} ({entry.project}), for {entry.days_left:.0f} days more")
    lines.append(f"All projects: {in_words(total)} in {known.folder}")

    result = {
        "holdings": [{"project": one.project, "kind": one.kind, "name": one.name, "bytes": one.bytes} for one in held],
        "bin": [
            {"id": entry.id, "project": entry.project, "title": entry.title, "days_left": entry.days_left}
            for entry in thrown
        ],
        "bytes": total,
    }
    print_result(result, json, "\n".join(lines))


@project_app.command()
def rename(
    name: Name,
    new: Annotated[str, typer.Option("--to", metavar="NEW", help="What it is to be called.")],
    person: Person = None,
    clip: Clip = None,
    model: Model = None,
    result: Result = None,
    projects: Place = _HERE,
    json: Json = False,
) -> None:
    """Rename a project, or something in it."""
    with job_errors(json), _keeper(projects) as keeper:
        project = keeper.projects.open(name)
        kind, what = _chosen(project, person=person, clip=clip, model=model, result=result)
        called = keeper.rename(project, kind, what, new)
    print_result({"kind": kind, "name": called}, json, f"The {kind} is called {new} now.")


@project_app.command()
def delete(
    name: Name,
    person: Person = None,
    clip: Clip = None,
    faces: Faces = None,
    model: Model = None,
    result: Result = None,
    everything: Annotated[
        bool,
        typer.Option("--everything", help="With a person: the clips, models and results that show or know them, too."),
    ] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Really gone, at once: somebody has withdrawn consent, for example.")
    ] = False,
    projects: Place = _HERE,
    json: Json = False,
) -> None:
    """Throw a project, or something in it, into the bin, which empties after a week."""
    with job_errors(json), _keeper(projects) as keeper:
        project = keeper.projects.open(name)
        kind, what = _chosen(project, person=person, clip=clip, faces=faces, model=model, result=result)
        entries = keeper.throw_away(project, kind, what, everything=everything)
        if now:
            keeper.delete(entries)

    titles = [entry.title for entry in entries]
    said = "Deleted for good: " if now else "In the bin for a week: "
    ids = [] if now else [entry.id for entry in entries]
    print_result({"deleted": titles, "ids": ids}, json, said + "; ".join(titles))


@project_app.command()
def give(
    name: Name,
    to: Annotated[
        str | None, typer.Option("--to", metavar="USER", help="Whose it is: who logs in by this name.")
    ] = None,
    shared: Annotated[
        bool | None, typer.Option("--shared/--not-shared", help="Whether everybody who logs in sees it.")
    ] = None,
    projects: Place = _HERE,
    json: Json = False,
) -> None:
    """Say whose a project is, where the page has users, and whether the others see it."""
    with job_errors(json):
        if to is None and shared is None:
            raise UsageError("it is not said to whom the project is given", "Add --to USER, or --shared")

    with job_errors(json), _keeper(projects) as keeper:
        from dataclasses import replace

        from faceswap_app.users import check_name

        project = keeper.projects.open(name)
        standing = project.standing
        if to is not None:
            check_name(to)
            standing = replace(standing, owner=to)
        if shared is not None:
            standing = replace(standing, shared=shared)
        keeper.give(project, standing)

    seen = "everybody sees" if standing.shared else "nobody else sees"
    said = f"{name} belongs to {standing.owner or 'nobody'}, and {seen} it."
    print_result({"project": name, "owner": standing.owner, "shared": standing.shared}, json, said)


@project_app.command()
def restore(
    key: Annotated[str, typer.Argument(metavar="ID", help="Of what 'faceswap project list' shows in the bin.")],
    projects: Place = _HERE,
    json: Json = False,
) -> None:
    """Take something back from the bin."""
    with job_errors(json), _keeper(projects) as keeper:
        entry = keeper.entry(key)
        keeper.take_back(entry)
    print_result({"restored": entry.title, "project": entry.project}, json, f"Taken back: {entry.title}.")


@project_app.command()
def purge(
    keys: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Only these; otherwise all.")] = None,
    projects: Place = _HERE,
    json: Json = False,
) -> None:
    """Empty the bin for good."""
    with job_errors(json), _keeper(projects) as keeper:
        entries = [keeper.entry(key) for key in keys] if keys else keeper.thrown()
        keeper.delete(entries)
    titles = [entry.title for entry in entries]
    print_result({"deleted": titles}, json, f"Deleted for good: {'; '.join(titles) or 'nothing'}.")


def _projects(folder: Path) -> Projects:
    from faceswap_app.projects import Projects

    if not folder.is_dir():
        raise OutputError(f"there is no folder {folder}", "Name the folder of the projects with --projects")
    return Projects(folder)


@contextmanager
def _keeper(folder: Path) -> Iterator[Keeper]:
    """What may change the projects, while no page has them open. Raises OutputError if one has."""
    from faceswap_app.keeper import Keeper
    from faceswap_app.queue import Queue

    projects = _projects(folder)
    queue = Queue(projects.folder, working=False)
    try:
        keeper = Keeper(projects, queue)
        keeper.empty()
        yield keeper
    finally:
        queue.close()


def _chosen(project: Project, **options: str | None) -> tuple[str, str]:
    """Kind and name of what the options name: the project, if they name nothing. Raises UsageError."""
    named = {kind: name for kind, name in options.items() if name is not None}
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} are named, which are two things", "Name one")
    if not named:
        return "project", project.name

    [(kind, name)] = named.items()
    if kind in ("person", "faces"):
        keys = {person.name: key for key, person in project.persons().items()}
        return kind, keys.get(name, name)
    if kind == "clip" and f"clips/{name}" in project.clips():
        return kind, f"clips/{name}"
    return kind, name
