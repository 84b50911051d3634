"""The page's tab that evaluates: what it asks the queue for, and how it shows a report."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest

from faceswap.errors import ConfigError
from faceswap_app import tab_evaluate
from faceswap_app.desk import open_desk
from faceswap_app.jobs import QueuedJob
from faceswap_app.project import Project
from faceswap_app.projects import Projects
from faceswap_app.queue import Queue
from faceswap_app.tab_evaluate import EvaluateTab
from support.commands import command
from support.studio import Studio


class Asked:
    """In place of a queue: keeps what it was asked for."""

    def __init__(self) -> None:
        self.jobs_added: list[tuple[Any, ...]] = []

    def jobs(self) -> list[Any]:
        return []

    def add(self, *job: Any, owner: str) -> QueuedJob:
        assert not owner
        self.jobs_added.append(job)
        return QueuedJob(id="0001", project="pair", title="Evaluate", arguments=("evaluate",))


@pytest.fixture
def project(studio: Studio, tmp_path: Path) -> Project:
    """With a clip, the faces of a, and a swap of it."""
    (tmp_path / "projects").mkdir()
    project = Projects(tmp_path / "projects").create("pair")
    shutil.copy(studio.clips["a"], project.folder / "clips" / "bruno.mp4")
    shutil.copy(studio.clips["a"], project.results / "bruno_as_Ada.mp4")
    (project.results / "bruno_as_Ada.settings.toml").touch()
    shutil.copytree(studio.facesets["a"], project.faceset("a"))
    return project


def test_the_tab_queues_the_command_and_shows_its_report_safely(project: Project) -> None:
    asked = Asked()
    tab = EvaluateTab(open_desk(Projects(project.folder.parent), cast(Queue, asked)))

    tab._evaluate("pair", "bruno_as_Ada.mp4", "clips/bruno.mp4", "a")
    [(name, title, words, out)] = asked.jobs_added
    swapped, clip = project.results / "bruno_as_Ada.mp4", project.folder / "clips" / "bruno.mp4"
    assert (name, title) == ("pair", "Evaluate bruno_as_Ada.mp4: face of Person A")
    assert words[:5] == ["evaluate", "--swap", str(swapped), "--target", str(clip)]
    assert words[5:] == ["--identity", str(project.faceset("a"))]

    page = '<!doctype html><h1 title="x">"Good"</h1>'
    Path(out).write_text(page)
    shown = tab._read("pair", "bruno_as_Ada")
    assert f'srcdoc="{html.escape(page)}"' in shown
    assert "<iframe sandbox " in shown  # no scripts, no access to the page
    assert tab._read("pair", None) == tab_evaluate._EMPTY


def test_models_are_compared_on_the_faces_of_whom_they_know(project: Project, studio: Studio) -> None:
    for name in ("first", "second"):
        shutil.copytree(studio.model, project.folder / name)
    asked = Asked()
    tab = EvaluateTab(open_desk(Projects(project.folder.parent), cast(Queue, asked)))

    tab._evaluate_models("pair", ["first", "second", "first"])
    [(_, title, words, out)] = asked.jobs_added
    assert title == "Evaluate first, second"
    first, second = (str(project.folder / name) for name in ("first", "second"))
    assert words == ["evaluate", first, "--compare", second, "--clip", f"a={project.faceset('a')}"]
    result = command(*words, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["models"]) == 2

    for wrong in ([], None, ["../../secret"]):
        with pytest.raises(ConfigError):
            tab._evaluate_models("pair", wrong)


def test_the_clip_is_found_by_the_name_of_its_swap(project: Project) -> None:
    tab = EvaluateTab(open_desk(Projects(project.folder.parent), cast(Queue, Asked())))
    assert tab._source("pair", "bruno_as_Ada.mp4")["value"] == "clips/bruno.mp4"
    assert tab._source("pair", "other_as_Ada.mp4")["value"] is None


@pytest.mark.parametrize("result", ["../../secret.mp4", None, "none.mp4"])
def test_only_finished_videos_are_evaluated(project: Project, result: object) -> None:
    asked = Asked()
    tab = EvaluateTab(open_desk(Projects(project.folder.parent), cast(Queue, asked)))
    with pytest.raises(ConfigError, match="there is no finished video"):
        tab._evaluate("pair", result, "clips/bruno.mp4", "a")
    assert not asked.jobs_added
