"""The server with users who have names: over HTTP, nobody gets to see or change what is another one's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

import faceswap
from faceswap_app.access import Standing
from faceswap_app.jobs import QueuedJob, write_job
from faceswap_app.projects import Projects
from faceswap_app.users import put_user, remove_user
from support.visit import Site, open_site, press, press_event

PASSWORD = "correct horse"
USERS = ("ada", "bruno", "cem")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Ada has a project with a result, a job and a thrown-away clip; one is shared; a proxy has the page at /faces."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "projects").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faceswap_app.users._COST", 2**10)
        for name in USERS:
            put_user(folder / "users", name, PASSWORD)

    projects = Projects(folder / "projects")
    for name, shared in (("hers", False), ("common", True)):
        project = projects.create(name)
        project.give(Standing("ada", shared))
        (project.results / "x.mp4").write_bytes(b"film")
        (project.results / "x.settings.toml").touch()

    words = ("swap", "/nowhere/secret.mp4", "--model", str(projects.folder / "hers" / "model"))
    job = QueuedJob(id="0001", project="hers", title="Secret", arguments=words, status="done", owner="ada")
    write_job(projects.folder / ".jobs" / "0001", job)
    options = ("--users", str(folder / "users"), "--quota-disk", "1MB", "--quota-jobs", "2", "--root-path", "/faces")
    with open_site(folder, *options) as site:
        yield site


@pytest.fixture(scope="module")
def visitors(site: Site) -> Iterator[dict[str, httpx.Client]]:
    with ExitStack() as stack:
        found = {name: stack.enter_context(httpx.Client(base_url=site.url, timeout=60)) for name in USERS}
        for name, visitor in found.items():
            assert visitor.post("/login", data={"username": name, "password": "wrong"}).status_code == 400
            assert visitor.post("/login", data={"username": name, "password": PASSWORD}).status_code == 200
        yield found


def all_that_is_shown(visitor: httpx.Client, project: str) -> str:
    """What a window is told that opens this project, in JSON."""
    config = visitor.get("/config").json()
    ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    events = [event for event in config["dependencies"] if event["targets"] == [[ids["project"], "change"]]]
    loads = [event for event in config["dependencies"] if event["targets"][0][1] == "load" and event["backend_fn"]]
    said = ""
    for event in [*events[:1], *loads]:
        data = [{} if number == 0 else project for number, _ in enumerate(event["inputs"])]
        body = {"fn_index": event["id"], "data": data, "session_hash": f"window{project}"}
        answer = visitor.post("/gradio_api/run/predict", json=body)
        assert answer.status_code == 200, answer.text
        said += answer.text
    return said


def test_a_page_shows_whoever_has_logged_in_what_is_theirs(visitors: dict[str, httpx.Client]) -> None:
    hers = all_that_is_shown(visitors["ada"], "hers")
    assert '"hers"' in hers
    assert "Secret" in hers
    assert "x.mp4" in hers

    asked = all_that_is_shown(visitors["bruno"], "hers").replace('["hers"', "")
    assert "There is no project 'hers'" in asked
    assert "Secret" not in asked
    assert "x.mp4" not in asked
    assert '"common"' in asked
    assert "x.mp4" in all_that_is_shown(visitors["bruno"], "common")


@pytest.mark.parametrize(
    ("part", "data"),
    [
        ("find", ["hers", 0, None]),
        ("train", ["hers", None, "nano", "plain", "separate", False, 10, False]),
        ("pause", ["hers"]),
        ("tidy-delete", ["hers", "project:hers", "now", False]),
        ("tidy-rename", ["hers", "project:hers", "his"]),
        ("add-person", ["hers"]),
        ("evaluate", ["hers", "x.mp4", "clips/x.mp4", "a"]),
        ("latent-map", ["hers", "model", "PCA"]),
    ],
)
def test_nothing_can_be_done_to_another_ones_project(
    visitors: dict[str, httpx.Client], part: str, data: list[Any]
) -> None:
    assert "there is no project" in press(visitors["bruno"], part, *data).lower()


def test_what_is_the_owners_alone(visitors: dict[str, httpx.Client], site: Site) -> None:
    for part, data in (
        ("tidy-delete", ["common", "project:common", "bin", False]),
        ("tidy-delete", ["common", "result:x.mp4", "now", False]),
        ("tidy-rename", ["common", "project:common", "his"]),
    ):
        assert "belongs to ada" in press(visitors["bruno"], part, *data)
    assert (site.projects / "common" / "results" / "x.mp4").is_file()


def test_files_are_for_whom_they_are(visitors: dict[str, httpx.Client], site: Site) -> None:
    """Also if their owner has been shown them: then the page gives them away."""
    for project in ("hers", "common"):
        said = play(visitors["ada"], project)
        assert "x.mp4" in said
    for name, seen in (("ada", {"hers": 200, "common": 200}), ("bruno", {"hers": 403, "common": 200})):
        for project, status in seen.items():
            path = site.projects / project / "results" / "x.mp4"
            for route in ("file=", "file/"):
                assert visitors[name].get(f"/gradio_api/{route}{path}").status_code == status
            round_about = f"{site.projects}/common/../{project}/results/x.mp4"
            assert visitors[name].get(f"/gradio_api/file={round_about}").status_code == status
    log = visitors["ada"].get(f"/gradio_api/file={site.projects}/.log/page.log")
    assert log.status_code == 403


def play(visitor: httpx.Client, project: str) -> str:
    config = visitor.get("/config").json()
    ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
    targets = [[ids["results"], "change"], [ids["beside"], "change"]]
    event = next(event for event in config["dependencies"] if event["targets"] == targets)
    return press_event(visitor, event["id"], project, "x.mp4", "/")


def test_whoever_has_no_room_is_told_before_they_send(visitors: dict[str, httpx.Client]) -> None:
    answer = visitors["bruno"].post("/gradio_api/upload", files={"files": ("x.mp4", bytes(2_000_000))})
    assert answer.status_code == 413
    assert "Of the 1 MB of disk that you may have" in answer.text


def test_health_is_for_everybody_and_says_nothing_secret(site: Site) -> None:
    for path in ("/health", "/faces/health"):
        answer = httpx.get(site.url + path)
        assert answer.status_code == 200
        told = answer.json()
        assert (told["status"], told["version"], told["jobs_waiting"]) == ("ok", faceswap.__version__, 0)
        assert told["disk_free_bytes"] > 0
        assert "hers" not in answer.text


def test_a_proxy_may_have_the_page_elsewhere(visitors: dict[str, httpx.Client]) -> None:
    assert visitors["ada"].get("/config").json()["root"].endswith("/faces")


def test_it_is_noted_who_did_what(visitors: dict[str, httpx.Client], site: Site) -> None:
    said = press(visitors["cem"], "create", "cems")
    assert "process_completed" in said
    lines = [json.loads(line) for line in (site.projects / ".log" / "page.log").read_text().splitlines()]
    assert {"who": "cem", "from": "127.0.0.1", "did": "project made", "project": "cems"}.items() <= lines[-1].items()
    assert any(line["did"] == "login" and line["who"] == "cem" for line in lines)
    [failed] = [line for line in lines if line["did"] == "login failed" and line["tried"] == "cem"]
    assert "correct horse" not in str(lines)
    assert failed["wait_seconds"] == 0
    assert Projects(site.projects).standing("cems") == Standing("cem")


def test_whoever_is_no_user_any_more_is_out_at_once(visitors: dict[str, httpx.Client], site: Site) -> None:
    assert visitors["cem"].get("/config").status_code == 200
    remove_user(site.projects.parent / "users", "cem")
    assert visitors["cem"].get("/config").status_code == 401
    assert visitors["ada"].get("/config").status_code == 200
