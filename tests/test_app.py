"""The page, driven as a browser drives it: over HTTP, by gradio's own client."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from faceswap.errors import ConfigError, OutputError
from faceswap.media.video import probe
from faceswap.media.video_write import write_clip
from faceswap_app import page
from faceswap_app.work import Workshop
from faceswap_pipelines.actors import LEADS, frames
from faceswap_pipelines.extract import ExtractJob, extract
from faceswap_pipelines.job import run
from faceswap_pipelines.train import TrainJob, train_model

FRAMES = 24
LONG = 600

# gradio sets this pandas option for its own statistics after each failed event.
pytestmark = pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A projects folder with a model, a clip, a long one, one without a face, and a text that is called a video."""
    root = tmp_path_factory.mktemp("site")
    folder = root / "projects"
    (folder / "demo").mkdir(parents=True)
    for number, (person, clip) in enumerate({"a": folder / "demo" / "ada.mp4", "b": root / "outside.mp4"}.items()):
        drawn = [rendering.image for rendering in frames(LEADS[number], FRAMES, 256, seed=number)]
        write_clip(clip, drawn, Fraction(25))
        run(extract(ExtractJob((clip,), root / person, device="cpu")))
    facesets = {person: root / person for person in "ab"}
    run(train_model(TrainJob(facesets, folder / "demo" / "model", steps=6, device="cpu")))
    write_clip(folder / "long.mp4", (drawn[i % FRAMES] for i in range(LONG)), Fraction(25))
    write_clip(folder / "empty.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 8, Fraction(25))
    (folder / "text.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def url(projects: Path) -> Iterator[str]:
    """A running server."""
    loop = asyncio.new_event_loop()  # gradio asks for one in this thread; it would make its own and leave it open
    asyncio.set_event_loop(loop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(projects / ".uploads"))
        site = page.build(projects)
        port = free_port()
        page.serve(site, projects, "127.0.0.1", port, None)
        yield f"http://127.0.0.1:{port}"
        site.close(verbose=False)
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    client = Client(url, verbose=False)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def no_traceback(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    said = capfd.readouterr().err
    assert "Traceback" not in said, said


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


def test_clips_are_not_fetched_from_the_network(client: Client, url: str) -> None:
    address = {"path": f"{url}/nothing.mp4", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="not fetched from the network"):
        swap(client, None, upload=address)


def test_stop_closes_the_job_and_the_next_one_works(client: Client, projects: Path) -> None:
    job = client.submit("demo/model", "a", "b", "long.mp4", None, 23, api_name="/swap")
    partial = projects / "results" / ".long_a_to_b.mp4.partial"
    deadline = time.monotonic() + 20
    while not list(partial.glob("*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
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


def test_gives_nothing_away(url: str, projects: Path) -> None:
    for path in (projects / "demo" / "model" / "config.toml", projects.parent / "outside.mp4", "/etc/passwd"):
        assert httpx.get(f"{url}/gradio_api/file={path}").status_code in (403, 404)
    config = httpx.get(f"{url}/config").json()
    assert not config.get("run_history")
    assert not config.get("analytics_enabled")
    assert not config.get("is_space")


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


def test_the_command_serves_asks_for_the_password_and_ends_on_sigterm(tmp_path: Path) -> None:
    port = free_port()
    start = "import sys; from faceswap_app.page import main; sys.argv = ['faceswap-app', *sys.argv[1:]]; main()"
    options = ["--projects", str(tmp_path / "new"), "--port", str(port), "--auth", "me:secret"]
    with subprocess.Popen(
        [sys.executable, "-c", start, *options], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        said: list[str] = []
        assert process.stderr
        reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
        reader.start()
        deadline = time.monotonic() + 60
        while not any("Ctrl-C" in line for line in said) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert httpx.get(f"http://127.0.0.1:{port}/config").status_code == 401
        process.terminate()
        assert process.wait(20) == 0
        reader.join(5)
    assert [f"Open http://127.0.0.1:{port} in a browser. Ctrl-C ends the page.\n"] == said
