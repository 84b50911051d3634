"""The server: who may visit, what it gives away, and that bad input leaves no traceback in its log."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from faceswap.errors import ConfigError, OutputError
from faceswap_app import page
from faceswap_app.projects import Projects
from faceswap_app.quotas import Quotas
from faceswap_app.server import Server, check, check_address
from faceswap_app.swap_choices import LOOKS
from faceswap_cli.page import size
from support.commands import command, misused
from support.visit import Site, free_port, open_site, press

# Model, face, giver, smallest face, colours and seam, mapping, looks, and what the file is to be.
HOW, FILE = [None, "linear", "pyramid", *[""] * 4, *[1] * len(LOOKS)], [0, 0, "h264", 18, False, False]
SWAP = ["model", "main", "b", *HOW, *FILE]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "projects").mkdir()
    Projects(folder / "projects").create("pair")
    (folder / "outside.mp4").write_text("no video")
    with open_site(folder, "--auth", "me:secret") as site:
        yield site


@pytest.fixture
def visitor(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, timeout=30) as visitor:
        assert visitor.get("/config").status_code == 401
        assert visitor.post("/login", data={"username": "me", "password": "wrong"}).status_code == 400
        assert visitor.post("/login", data={"username": "me", "password": "secret"}).status_code == 200
        yield visitor
    assert "Traceback" not in site.log.read_text()


def test_gives_nothing_away(visitor: httpx.Client, site: Site) -> None:
    config = visitor.get("/config").json()
    assert not config["run_history"]
    assert not config["analytics_enabled"]
    (site.projects / "pair" / "results" / "x.mp4").touch()  # not shown to anybody yet
    inside = [site.projects / "pair" / name for name in ("project.toml", "results/x.mp4")]
    for path in (*inside, site.projects / ".jobs" / "lock", site.projects.parent / "outside.mp4", "/etc/passwd"):
        assert visitor.get(f"/gradio_api/file={path}").status_code == 403
    assert visitor.get("/monitoring").status_code in (403, 404)


@pytest.mark.parametrize(
    ("part", "data", "said"),
    [
        ("create", ["../x"], "cannot be a project's name"),
        ("create", [{"a": 1}], "cannot be a project's name"),
        ("create", ["a\0b"], "no text"),
        ("create", ["a\ud800"], "no text"),
        ("create", ["a\nb"], "no text"),
        ("create", ["x" * 5000], "too long"),
        ("find", ["<img src=x>", 0, None], "&lt;img src=x&gt;"),
        ("find", ["pair", 0, None], "no footage yet"),
        ("find", ["../pair", 0, None], "no project"),
        ("find", [None, "x", []], "no project is open"),
        ("train", ["pair", None, "nano", "plain", "separate", False, 10, False], "whether person a and person b agree"),
        ("train", ["pair", None, "nano", "plain", "separate", False, 0, False], "whether person a and person b agree"),
        ("train", ["pair", None, "huge", "plain", "separate", False, 10, False], "no preset 'huge'"),
        ("train", ["pair", "../x", "nano", "plain", "separate", False, 10, False], "no model '../x'"),
        ("pause", ["pair"], "nothing is being trained"),
        ("swap", ["pair", "../outside.mp4", *SWAP], "no clip"),
        ("swap", ["pair", None, *SWAP], "no clip"),
        ("tidy-delete", ["pair", "model:../outside", "now", False], "no model '../outside'"),
        ("tidy-delete", ["pair", "file:/etc/passwd", "now", False], "no kind 'file'"),
        ("tidy-delete", ["pair", None, "now", False], "nothing is chosen"),
        ("tidy-rename", ["pair", "project:pair", "../x"], "cannot be a project's name"),
        ("take-back", ["pair", "../../x"], "the bin holds no"),
        ("gone", ["../../x"], "the bin holds no"),
    ],
)
def test_says_what_is_wrong(visitor: httpx.Client, site: Site, part: str, data: list[Any], said: str) -> None:
    answer = press(visitor, part, *data)
    assert said in answer.lower(), answer[:1500]
    assert list((site.projects / "pair" / "clips").iterdir()) == []


def test_is_closed_to_others(visitor: httpx.Client, site: Site) -> None:
    assert visitor.get("/config", headers={"origin": "http://evil.example.org"}).status_code == 403
    with httpx.Client(base_url=site.url) as stranger:
        assert stranger.post("/gradio_api/upload", content=bytes(1 << 20)).status_code == 401
        assert stranger.post("/login", content=bytes(1 << 20)).status_code == 413


def test_clips_are_not_fetched_from_the_network(visitor: httpx.Client, site: Site) -> None:
    address = {"path": f"{site.url}/nothing.mp4", "meta": {"_type": "gradio.FileData"}}
    assert "not fetched from the network" in press(visitor, "upload-a", "pair", [address])


@pytest.mark.parametrize("auth", ["", "user", "user:", ":password"])
def test_refuses_half_a_login(auth: str) -> None:
    with pytest.raises(ConfigError, match="USER:PASSWORD"):
        check(Server(projects=Path("x"), port=free_port(), auth=auth))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])
def test_others_need_a_password(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--auth USER:PASSWORD"):
        page.launch(Server(projects=tmp_path / "new", host=host, port=free_port()))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
def test_this_computer_needs_none(host: str) -> None:
    if host.strip("[]") != "::1" or socket.has_ipv6:
        assert check(Server(projects=Path("x"), host=host, port=free_port())) is None


def test_a_password_may_have_colons() -> None:
    users = check(Server(projects=Path("x"), port=free_port(), auth="me:with:colons"))
    assert users is not None
    assert asyncio.run(users.is_right("me", "with:colons"))
    assert not asyncio.run(users.is_right("me", "with"))


def test_addresses_that_cannot_be(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigError, match=r"in use.*--port"):
        page.launch(Server(projects=tmp_path, port=other.getsockname()[1]))
    with pytest.raises(ConfigError, match="--port"):
        check_address("127.0.0.1", 70_000)
    with pytest.raises(ConfigError, match="--host"):
        check_address("no such host", 7860)


def test_a_projects_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--projects"):
        page.open_folder(tmp_path / "file" / "projects")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quotas": Quotas(jobs=1)}, "quotas are for users who have names"),
        ({"root_path": "faces"}, "--root-path /faces"),
        ({"root_path": "/faces/../x y"}, "--root-path /faces"),
        ({"auth": "me:secret", "users": Path("users")}, "both who may log in"),
        ({"users": Path("none")}, "faceswap user add"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check(Server(projects=Path("x"), port=free_port(), **options))


def test_sizes_are_said_as_people_say_them() -> None:
    assert [size(text) for text in ("500MB", "50 gb", "1.5T")] == [500_000_000, 50_000_000_000, 1_500_000_000_000]
    for text in ("", "50", "GB", "-1GB", "1e9GB", "9" * 40 + "TB"):
        misused(command("app", "--projects", "x", "--quota-disk", text or " "), "Write it as 500MB")
