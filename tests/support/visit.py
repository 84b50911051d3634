"""The app as a program of its own, for tests that visit it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

START = "import sys; from faceswap_cli.start import main_of_page; main_of_page()"


@dataclass(frozen=True)
class Site:
    """The program, running."""

    url: str
    log: Path
    """What it says on stderr."""
    projects: Path


@contextmanager
def open_site(folder: Path, *options: str) -> Iterator[Site]:
    """Serve FOLDER/projects; in the end SIGTERM must end it without a word."""
    port = free_port()
    site = Site(f"http://127.0.0.1:{port}", folder / "log.txt", folder / "projects")
    words = ["--projects", str(site.projects), "--port", str(port), *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO_")}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # training shares the machine with a browser
    with (
        site.log.open("w") as log,
        subprocess.Popen([sys.executable, "-c", START, *words], stderr=log, env=environment) as process,
    ):
        try:
            wait_for(lambda: "Ctrl-C" in site.log.read_text() or process.poll() is not None, seconds=60)
            assert process.poll() is None, site.log.read_text()
            yield site
        finally:
            process.terminate()
        assert process.wait(40) == 0
    assert site.log.read_text() == f"Open {site.url} in a browser. Ctrl-C ends the page.\n"


def press(visitor: httpx.Client, elem_id: str, *data: Any) -> str:
    """All that a browser is told when this part is used with this input."""
    config = visitor.get("/config").json()
    [part] = [part["id"] for part in config["components"] if part["props"].get("elem_id") == elem_id]
    uses = [part, "click"], [part, "upload"]
    event = next(event for event in config["dependencies"] if any(use in event["targets"] for use in uses))
    return press_event(visitor, event["id"], *data)


def press_event(visitor: httpx.Client, event: int, *data: Any) -> str:
    """The same for an event that is known by its number."""
    session = secrets.token_hex(8)
    body = {"fn_index": event, "data": list(data), "session_hash": session}
    answer = visitor.post(
        "/gradio_api/queue/join", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 200
    said = ""
    with visitor.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        for line in stream.iter_lines():
            said += line
            if "process_completed" in line:
                break
    return said


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
