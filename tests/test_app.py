"""The page, driven as a browser drives it: over HTTP, by gradio's own client."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from conftest import Studio
from faceswap.errors import ConfigError, OutputError
from faceswap.media.video import probe, read_frames
from faceswap.media.video_write import write_clip
from faceswap_app import page
from faceswap_app.work import Workshop

FRAMES = 24
LONG = 300

START = "import sys; from faceswap_app.page import main; sys.argv = ['faceswap-app', *sys.argv[1:]]; main()"


@dataclass(frozen=True)
class Server:
    """The program, running."""

    url: str
    log: Path
    """What it says on stderr."""


@pytest.fixture(scope="module")
def projects(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A projects folder with a model, a clip, a long one, one without a face, and a text that is called a video."""
    folder = tmp_path_factory.mktemp("site") / "projects"
    shutil.copytree(studio.model, folder / "demo" / "model")
    drawn = [frame.image for frame in read_frames(studio.clips["a"], 0, FRAMES)]
    write_clip(folder / "demo" / "ada.mp4", drawn, Fraction(25))
    shutil.copy(folder / "demo" / "ada.mp4", folder.parent / "outside.mp4")
    write_clip(folder / "long.mp4", (drawn[i % FRAMES] for i in range(LONG)), Fraction(25))
    write_clip(folder / "empty.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 8, Fraction(25))
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def server(projects: Path) -> Iterator[Server]:
    """The program itself, in a process of its own; in the end SIGTERM must end it without a word."""
    port = free_port()
    server = Server(f"http://127.0.0.1:{port}", projects.parent / "log.txt")
    options = ["--projects", str(projects), "--port", str(port), "--auth", "me:secret"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO_")}
    with (
        server.log.open("w") as log,
        subprocess.Popen([sys.executable, "-c", START, *options], stderr=log, env=environment) as process,
    ):
        try:
            wait_for(lambda: "Ctrl-C" in server.log.read_text() or process.poll() is not None, seconds=60)
            assert process.poll() is None, server.log.read_text()
            yield server
        finally:
            process.terminate()
        assert process.wait(20) == 0
    assert server.log.read_text() == f"Open {server.url} in a browser. Ctrl-C ends the page.\n"


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server.url, auth=("me", "secret"), verbose=False)
    yield client
    client.close()
    assert "Traceback" not in server.log.read_text()


def wait_for(done: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def swap(client: Client, clip: str | None = "demo/ada.mp4", **changed: Any) -> list[Any]:
    values = {"model": "demo/model", "source": "a", "target": "b", "clip": clip, "upload": None, "crf": 23, **changed}
    return list(client.predict(*values.values(), api_name="/swap"))


def test_swaps_shows_and_never_overwrites(client: Client, projects: Path) -> None:
    _, note, file, sheet = swap(client)
    made = projects / "results" / "ada_a_to_b.mp4"
    assert probe(made).frame_count == FRAMES
    assert f"of {FRAMES} frames swapped" in note
    assert "projects/results/ada_a_to_b.mp4" in note.replace(os.sep, "/")
    assert Path(file["value"] if isinstance(file, dict) else file).read_bytes() == made.read_bytes()
    assert sheet
    before = made.read_bytes()
    swap(client)
    assert probe(projects / "results" / "ada_a_to_b_2.mp4").frame_count == FRAMES
    assert made.read_bytes() == before


def test_swaps_an_uploaded_clip(client: Client, projects: Path) -> None:
    upload = {"video": handle_file(str(projects.parent / "outside.mp4"))}
    swap(client, None, source="b", target="a", upload=upload["video"])
    assert probe(projects / "results" / "outside_b_to_a.mp4").frame_count == FRAMES


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"clip": "../outside.mp4"}, "outside the projects folder"),
        ({"clip": "/etc/passwd"}, "outside the projects folder"),
        ({"clip": "demo/\0.mp4"}, "outside the projects folder"),
        ({"clip": "gone.mp4"}, "not there any more"),
        ({"clip": None}, "no clip is chosen"),
        ({"clip": ["demo/ada.mp4"]}, "no clip is chosen"),
        ({"clip": "demo/model/config.toml"}, "is not a video"),
        ({"clip": "text.mp4"}, "text.mp4"),
        ({"clip": "empty.mp4"}, "no face was found"),
        ({"model": "../projects/../../x"}, "outside the projects folder"),
        ({"model": "gone"}, "not there any more"),
        ({"model": "demo"}, "is not a model"),
        ({"model": None}, "no model is chosen"),
        ({"target": "../../x"}, "knows no person"),
        ({"target": "a"}, "two different persons"),
    ],
)
def test_says_what_is_wrong(client: Client, projects: Path, changed: dict[str, Any], said: str) -> None:
    before = set(projects.parent.rglob("*.mp4"))
    with pytest.raises(AppError, match=r"(?i)" + said.replace(".", r"\.")):
        swap(client, **changed)
    assert set(projects.parent.rglob("*.mp4")) == before


def test_a_model_that_was_removed(client: Client, projects: Path, tmp_path: Path) -> None:
    shutil.copytree(projects / "demo" / "model", projects / "second")
    assert Workshop(projects, tmp_path).models() == ["demo/model", "second"]
    shutil.rmtree(projects / "second" / "checkpoint")
    assert Workshop(projects, tmp_path).models() == ["demo/model"]
    with pytest.raises(AppError, match="no checkpoint yet"):
        swap(client, model="second")
    shutil.rmtree(projects / "second")
    with pytest.raises(AppError, match="not there any more"):
        swap(client, model="second")


def test_clips_are_not_fetched_from_the_network(client: Client, server: Server) -> None:
    address = {"path": f"{server.url}/nothing.mp4", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="not fetched from the network"):
        swap(client, None, upload=address)


def test_stop_closes_the_job_and_the_next_one_works(client: Client, projects: Path) -> None:
    job = client.submit("demo/model", "a", "b", "long.mp4", None, 23, api_name="/swap")
    partial = projects / "results" / ".long_a_to_b.mp4.partial"
    wait_for(lambda: list(partial.glob("*.part")))
    assert client.predict(api_name="/stop") == "Stopping…"
    assert "Stopped" in job.result(timeout=20)[1]
    assert not (projects / "results" / "long_a_to_b.mp4").exists()
    assert not list(partial.glob("*.part"))  # the writer was closed
    assert client.predict(api_name="/stop") == "Nothing is running."


def test_offers_what_is_there_and_nothing_else(projects: Path, tmp_path: Path) -> None:
    (projects / "link.mp4").symlink_to(projects.parent / "outside.mp4")
    (projects / ".hidden.mp4").write_text("")
    shop = Workshop(projects, tmp_path)
    assert shop.clips() == ["demo/ada.mp4", "empty.mp4", "long.mp4", "text.mp4"]
    assert shop.persons("demo/model") == ("a", "b")
    (projects / "link.mp4").unlink()


def test_gives_nothing_away(server: Server, projects: Path) -> None:
    with httpx.Client(base_url=server.url) as visitor:
        assert visitor.get("/config").status_code == 401
        assert visitor.post("/login", data={"username": "me", "password": "wrong"}).status_code == 400
        assert visitor.post("/login", data={"username": "me", "password": "secret"}).status_code == 200
        config = visitor.get("/config").json()
        assert not config["run_history"]
        assert not config["analytics_enabled"]
        for path in (projects / "demo" / "model" / "config.toml", projects.parent / "outside.mp4", "/etc/passwd"):
            assert visitor.get(f"/gradio_api/file={path}").status_code == 403
        assert visitor.get("/monitoring").status_code in (403, 404)


@pytest.mark.parametrize("auth", ["", "user", "user:", ":password"])
def test_refuses_half_a_login(auth: str) -> None:
    with pytest.raises(ConfigError, match="USER:PASSWORD"):
        page.check_auth("127.0.0.1", auth)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org", ""])
def test_others_need_a_password(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--auth USER:PASSWORD"):
        page.launch(tmp_path / "new", host, free_port(), None)
    assert not (tmp_path / "new").exists()
    assert page.check_auth(host, "me:with:colons") == ("me", "with:colons")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1", "[::1]"])
def test_this_computer_needs_none(host: str) -> None:
    assert page.check_auth(host, None) is None


def test_addresses_that_cannot_be(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigError, match=r"in use.*--port"):
        page.launch(tmp_path, "127.0.0.1", other.getsockname()[1], None)
    with pytest.raises(ConfigError, match="--port"):
        page.check_address("127.0.0.1", 70_000)
    with pytest.raises(ConfigError, match="--host"):
        page.check_address("no such host", 7860)


def test_a_projects_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="--projects"):
        page.build(tmp_path / "file" / "projects")
