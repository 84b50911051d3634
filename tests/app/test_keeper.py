"""Tidying up: what is renamed stays whole, what is thrown away can be taken back, what is deleted is gone, and nothing
else is touched."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from faceswap.config import to_toml
from faceswap.database import lock
from faceswap.errors import ConfigError, OutputError
from faceswap.faces.faceset import Faceset
from faceswap_app import bin as bin_module
from faceswap_app.holdings import holding, holdings
from faceswap_app.jobs import HALTED, QueuedJob, write_job
from faceswap_app.keeper import Keeper
from faceswap_app.project import AGREES, Project
from faceswap_app.projects import Projects
from faceswap_app.queue import Queue
from faceswap_pipelines.common.progress import run
from faceswap_pipelines.extraction.job import ExtractJob
from faceswap_pipelines.extraction.run import extract
from faceswap_pipelines.swapping.job import SwapSettings, settings_from
from faceswap_pipelines.swapping.origin import Origin, origin_of, with_origin
from support.commands import command, refused
from support.studio import Studio


@pytest.fixture
def projects(tmp_path: Path, studio: Studio) -> Projects:
    """One project with two persons, a clip and faces of a, a model, and a result."""
    (tmp_path / "projects").mkdir()
    projects = Projects(tmp_path / "projects")
    project = projects.create("pair")
    shutil.copy(studio.clips["a"], project.folder / "clips" / "bruno.mp4")
    shutil.copytree(studio.facesets["a"], project.faceset("a"))
    shutil.copytree(studio.model, project.folder / "model")
    project.change("a", name="Bruno", consent=AGREES, clips=("clips/bruno.mp4",))
    project.change("b", name="Ada")

    shutil.copy(studio.clips["a"], project.results / "bruno_as_Ada.mp4")
    origin = Origin(video="bruno.mp4", model="model", steps=30)
    text = with_origin(to_toml(SwapSettings()), origin)
    (project.results / "bruno_as_Ada.settings.toml").write_text(text)
    for name in ("bruno_as_Ada.sheet.png", "bruno.0123456789ab.tracks.db"):
        (project.results / name).write_bytes(bytes(1000))
    return projects


@pytest.fixture
def keeper(projects: Projects) -> Iterator[Keeper]:
    with closing(Queue(projects.folder, working=False)) as queue:
        yield Keeper(projects, queue)


@pytest.fixture
def project(keeper: Keeper) -> Project:
    return keeper.projects.open("pair")


def tree(folder: Path) -> dict[str, int]:
    """Every file of a project and its size; hidden ones of the queue and the bin left out."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(".") and path.name != "project.toml"
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("project", "pair"),
        ("person", "a"),
        ("faces", "a"),
        ("clip", "clips/bruno.mp4"),
        ("model", "model"),
        ("result", "bruno_as_Ada.mp4"),
    ],
)
def test_what_is_thrown_away_comes_back_as_it_was(keeper: Keeper, project: Project, kind: str, name: str) -> None:
    before, persons, used = tree(keeper.projects.folder), project.persons(), holding(project, kind, name).bytes
    assert used > 1000

    [entry] = keeper.throw_away(project, kind, name)
    assert keeper._bin.size(entry) > used
    gone = set(before) - set(tree(keeper.projects.folder))
    assert gone
    assert all(any(path == place or path.startswith(f"{place}/") for place in entry.places) for path in gone)
    names = [person.name for one in keeper.projects.names() for person in keeper.projects.open(one).persons().values()]
    assert ("Bruno" in names) == (kind not in ("project", "person"))

    keeper.take_back(entry)
    assert tree(keeper.projects.folder) == before
    assert keeper.projects.open("pair").persons() == persons
    assert keeper.thrown() == []


def test_really_gone_at_once(keeper: Keeper, project: Project) -> None:
    """Somebody withdraws consent: nothing that shows them or has learnt from them is left, and no job speaks of it."""
    project.change("c", name="Cem")
    (project.faceset("b")).mkdir()
    job = QueuedJob(
        id="0001",
        project="pair",
        title="Swap",
        arguments=("swap", str(project.clip("clips/bruno.mp4")), "--model", str(project.model("model"))),
        status=HALTED,
    )
    write_job(keeper.projects.folder / ".jobs" / "0001", job)
    keeper.queue._jobs["0001"] = job

    entries = keeper.throw_away(project, "person", "a", everything=True)
    assert [entry.kind for entry in entries] == ["clip", "model", "result", "person"]
    keeper.delete(entries)
    left = {path.name for path in keeper.projects.folder.rglob("*")}
    assert left - {"lock-journal"} == {
        "pair",
        "clips",
        "faces",
        "b",
        "results",
        "project.toml",
        ".jobs",
        "lock",
        ".bin",
    }
    assert "Bruno" not in (project.folder / "project.toml").read_text()
    assert [person.name for person in keeper.projects.open("pair").persons().values()] == ["Person A", "Ada", "Cem"]


def test_a_person_who_was_added_can_go_again(keeper: Keeper, project: Project) -> None:
    assert [project.add_person(), project.add_person()] == ["c", "d"]
    with pytest.raises(ConfigError, match="up to 4"):
        project.add_person()
    keeper.throw_away(project, "person", "c")
    project = keeper.projects.open("pair")
    assert list(project.persons()) == ["a", "b", "d"]
    assert project.add_person() == "c"


def test_the_bin_empties_after_a_week(keeper: Keeper, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper.throw_away(project, "model", "model")
    assert keeper._bin.expired() == []
    later = time.time() + 7 * 86_400
    monkeypatch.setattr(bin_module.time, "time", lambda: later)
    keeper.empty()
    assert keeper.thrown() == []
    assert not list(keeper.projects.folder.rglob("*.safetensors"))


def test_names_change_everywhere(keeper: Keeper, project: Project, studio: Studio) -> None:
    assert keeper.rename(project, "model", "model", "first try") == "first try"
    assert keeper.rename(project, "clip", "clips/bruno.mp4", "talk") == "clips/talk.mp4"
    assert keeper.rename(project, "result", "bruno_as_Ada.mp4", "final.mp4") == "final.mp4"
    assert keeper.rename(project, "person", "a", "Bruno B.") == "a"
    assert keeper.rename(project, "project", "pair", "duo") == "duo"

    duo = keeper.projects.open("duo")
    assert duo.models() == ["first try"]
    assert duo.clips() == list(duo.persons()["a"].clips) == ["clips/talk.mp4"]
    assert duo.persons()["a"].name == "Bruno B."
    assert {path.name for path in duo.results.iterdir()} == {"final.mp4", "final.settings.toml", "final.sheet.png"}
    assert origin_of(duo.results / "final.settings.toml") == Origin(video="talk.mp4", model="first try", steps=30)
    assert settings_from(duo.results / "final.settings.toml", {}) == SwapSettings()


def test_what_was_thrown_away_goes_back_to_a_project_by_its_new_name(keeper: Keeper, project: Project) -> None:
    [entry] = keeper.throw_away(project, "model", "model")
    keeper.rename(project, "project", "pair", "duo")
    keeper.take_back(keeper.entry(entry.id))
    assert keeper.projects.names() == ["duo"]
    assert keeper.projects.open("duo").models() == ["model"]


def test_a_clip_by_another_name_is_not_collected_twice(keeper: Keeper, project: Project) -> None:
    with Faceset.open(project.faceset("a")) as faceset:
        before = len(faceset.records())
    clip = project.folder / keeper.rename(project, "clip", "clips/bruno.mp4", "talk")
    result = run(extract(ExtractJob(inputs=(clip,), out=project.faceset("a"), device="cpu")))
    assert (result.frames, result.kept) == (0, before)


def test_nothing_outside_is_touched(keeper: Keeper, project: Project, tmp_path: Path) -> None:
    """Neither through links, nor by names, nor by what somebody has written into the bin."""
    outside = tmp_path / "outside"
    (outside / "model").mkdir(parents=True)
    shutil.copy(project.folder / "model" / "config.toml", outside / "model")
    shutil.move(project.folder / "clips" / "bruno.mp4", outside / "bruno.mp4")
    (project.folder / "clips").rmdir()
    (project.folder / "clips").symlink_to(outside)
    (project.folder / "linked").symlink_to(outside / "model")
    before = tree(outside)

    with pytest.raises(ConfigError, match="link"):
        keeper.throw_away(project, "clip", "clips/bruno.mp4")
    with pytest.raises(ConfigError, match="link"):
        keeper.rename(project, "clip", "clips/bruno.mp4", "talk")
    for name in ("linked", "../../outside/model", "..", "/etc"):
        with pytest.raises(ConfigError, match="has no model"):
            keeper.throw_away(project, "model", name)
    for name in ("../x", "a/b", "..", "", ".x", "clips", "results"):
        with pytest.raises(ConfigError, match="cannot be"):
            keeper.rename(project, "model", "model", name)

    (project.folder / "model" / "inside").symlink_to(outside)
    keeper.delete(keeper.throw_away(project, "model", "model"))
    [entry] = keeper.throw_away(project, "person", "a")
    for place in (
        "../outside/new",
        "/tmp/new",
        "pair/clips/new",
        ".jobs/new",
        "pair/../../new",
        "pair/../.jobs/new",
        "",
    ):
        forged = replace(entry, places=(place,))
        (keeper.projects.folder / ".bin" / entry.id / "entry.json").write_text(json.dumps(vars(forged), default=vars))
        with pytest.raises(ConfigError, match="no place in a project"):
            keeper._bin.give_back(keeper.entry(entry.id))
    assert tree(outside) == before


def test_what_is_in_use_is_refused(keeper: Keeper, project: Project) -> None:
    waiting = keeper.queue.add("pair", "Train", ["train", "--a", str(project.faceset("a")), "--model", "/elsewhere"])
    for kind, name in (("person", "a"), ("faces", "a"), ("project", "pair")):
        with pytest.raises(ConfigError, match="a job uses this: Train"):
            keeper.throw_away(project, kind, name)
    with pytest.raises(ConfigError, match="a job uses this"):
        keeper.rename(project, "project", "pair", "duo")
    keeper.queue.stop(waiting.id)

    with closing(lock(project.folder / "model" / ".lock", OutputError("", ""))):  # a command in a terminal
        for kind, name in (("model", "model"), ("project", "pair")):
            with pytest.raises(ConfigError, match="a command uses"):
                keeper.throw_away(project, kind, name)
    keeper.throw_away(project, "model", "model")


def test_all_or_nothing(keeper: Keeper, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses half-way leaves everything where it was."""
    before, rename = tree(project.folder), os.rename

    def refuse(source: Path, place: Path) -> None:
        if Path(source).suffix == ".png":
            raise PermissionError(13, "Permission denied")
        rename(source, place)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OutputError, match="Permission denied"):
        keeper.throw_away(project, "result", "bruno_as_Ada.mp4")
    assert tree(project.folder) == before


def test_a_place_that_is_taken_is_not_overwritten(keeper: Keeper, project: Project, studio: Studio) -> None:
    [entry] = keeper.throw_away(project, "clip", "clips/bruno.mp4")
    (project.folder / "clips" / "bruno.mp4").write_text("another")
    with pytest.raises(ConfigError, match=r"another bruno\.mp4"):
        keeper.take_back(entry)
    [person] = keeper.throw_away(project, "person", "a")
    keeper.projects.open("pair").change("a", name="Carla")
    with pytest.raises(ConfigError, match="Carla is in that place"):
        keeper.take_back(person)
    assert len(keeper.thrown()) == 2


def test_the_command(projects: Projects, studio: Studio) -> None:
    there = ("--projects", projects.folder)
    listed = json.loads(command("project", "list", "pair", *there, "--json").stdout)
    assert {one["kind"] for one in listed["holdings"]} == {"project", "person", "clip", "faces", "model", "result"}
    assert listed["bytes"] >= listed["holdings"][0]["bytes"] == holdings(projects.open("pair"))[0].bytes > 1000

    assert command("project", "rename", "pair", "--clip", "bruno.mp4", "--to", "talk", *there).exit_code == 0
    thrown = json.loads(command("project", "delete", "pair", "--person", "Ada", *there, "--json").stdout)
    assert "with all faces" in command("project", "list", *there).stdout
    assert command("project", "restore", thrown["ids"][0], *there).exit_code == 0
    assert projects.open("pair").persons()["b"].name == "Ada"

    gone = command("project", "delete", "pair", "--person", "a", "--everything", "--now", *there)
    assert "Deleted for good" in gone.stdout
    assert not projects.open("pair").models()
    command("project", "delete", "pair", *there)
    assert command("project", "purge", *there).exit_code == 0
    assert list((projects.folder / ".bin").iterdir()) == []

    refused(command("project", "delete", "pair", *there), "no project 'pair'")
    refused(command("project", "restore", "0099", *there), "bin holds no '0099'")
    with closing(Queue(projects.folder, working=False)):
        refused(command("project", "purge", *there), "another page has the projects")
