"""The page under load and attack: does it answer, does it say no, and how much memory does it take?

    uv run python tests/benchmarks/page_load.py [--requests 200]

A page with two users is served as a program of its own, with a job in its queue whose name no process can have. Then
come so many requests at once, before the login and after it; a login with 600 MB of body; the same from somebody whose
request says another length than it has; the page of another site; and, at a page without a password, another name for
this computer. In the end it must answer as quickly as before.
"""

from __future__ import annotations

import argparse
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from record import Table, add_record_option, record

from faceswap_app.access import Standing
from faceswap_app.jobs import FAILED, QueuedJob, read_job, write_job
from faceswap_app.projects import Projects
from faceswap_app.users import put_user

sys.path.append(str(Path(__file__).parents[1]))  # for support/, as pytest has it
from support.visit import START, free_port, wait_for

LARGE = 600 * 10**6
MOST_MEMORY = 1.5e9
_PASSWORD = "correct horse"  # of users who live for a minute
_STRANGE = {"host": "evil.example.org"}


@dataclass
class Page:
    """A page that runs, and the most memory that it was seen to take."""

    url: str
    process: psutil.Process
    peak: float = 0.0
    faults: list[str] = field(default_factory=list)
    rows: list[list[str | float]] = field(default_factory=list)

    def check(self, what: str, right: bool, said: object) -> None:
        """Say how something ended, and keep it if it was wrong."""
        memory = self.process.memory_info().rss
        self.peak = max(self.peak, memory)
        self.rows.append([what, str(said), memory / 1e6])
        print(f"{'ok   ' if right else 'WRONG'}  {what}: {said}  ({memory / 1e6:.0f} MB)")
        if not right:
            self.faults.append(what)


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Page]:
    """A page over FOLDER/projects, until it has loaded everything."""
    port = free_port()
    words = ["--projects", str(folder / "projects"), "--port", str(port), *options]
    log = folder / f"log{port}.txt"
    with log.open("w") as said, subprocess.Popen([sys.executable, "-c", START, *words], stderr=said) as process:
        try:
            wait_for(lambda: "Ctrl-C" in log.read_text() or process.poll() is not None, seconds=180)
            yield Page(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        finally:
            process.terminate()
    if "Traceback" in log.read_text():
        print(log.read_text()[-3000:])


def main() -> None:
    """Print what each attack came to; exit code 1 if one got further than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=200)
    add_record_option(parser)
    arguments = parser.parse_args()
    count = arguments.requests

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder)
        with served(folder, "--users", str(folder / "users")) as page:
            before = _answer_time(page)
            _poisoned_queue(page, folder)
            _strangers(page, count)
            _large_bodies(page)
            _users(page, count)
            after = _answer_time(page)
            page.check("answers as before", after < 5 * before + 1, f"{1000 * before:.0f} ms, {1000 * after:.0f} ms")
        with served(folder) as alone:
            _rebound(alone)

        peak = max(page.peak, alone.peak)
        print(f"{'ok   ' if peak < MOST_MEMORY else 'WRONG'}  memory: {peak / 1e6:.0f} MB at most")
        record(arguments.record, [Table({"what": "", "came to": "", "MB": ",.0f"}, [*page.rows, *alone.rows])])
        sys.exit(1 if page.faults or alone.faults or peak >= MOST_MEMORY else 0)


def _prepare(folder: Path) -> None:
    """Two users, a project, and a queue with a poisoned name before a sound job."""
    (folder / "projects").mkdir()
    for name in ("ada", "bruno"):
        put_user(folder / "users", name, _PASSWORD)
    projects = Projects(folder / "projects")
    projects.create("pair").give(Standing("ada", shared=True))

    jobs = projects.folder / ".jobs"
    poisoned = QueuedJob(id="0001", project="pair", title="Poisoned", arguments=("swap", "x" * 5_000_000))
    write_job(jobs / "0001", poisoned)
    sound = QueuedJob(id="0002", project="pair", title="Sound", arguments=("user", "list", "--users", "/none"))
    write_job(jobs / "0002", sound)


def _answer_time(page: Page) -> float:
    """Seconds until the page has answered somebody who has logged in: the middle of nine."""
    with _logged_in(page, "ada") as visitor:
        times = []
        for _ in range(9):
            begun = time.monotonic()
            visitor.get("/config").raise_for_status()
            times.append(time.monotonic() - begun)
    return sorted(times)[4]


def _poisoned_queue(page: Page, folder: Path) -> None:
    jobs = folder / "projects" / ".jobs"
    wait_for(lambda: all(job is not None and job.over for job in map(read_job, (jobs / "0001", jobs / "0002"))), 120)
    ends = [job.status for job in map(read_job, (jobs / "0001", jobs / "0002")) if job is not None]
    told = httpx.get(f"{page.url}/health", timeout=30).json()
    page.check("a name that no process can have", ends == [FAILED, FAILED] and told["status"] == "ok", told["status"])


def _strangers(page: Page, count: int) -> None:
    """Many at once who have not logged in."""
    asked: list[tuple[str, Callable[[httpx.Client], httpx.Response]]] = [
        ("the page", lambda visitor: visitor.get("/")),
        ("streams", lambda visitor: visitor.get(f"/gradio_api/heartbeat/{secrets.token_hex(4)}")),
        ("clicks", lambda visitor: visitor.post("/gradio_api/queue/join", json={"fn_index": 0, "data": []})),
        ("wrong logins", lambda visitor: visitor.post("/login", data={"username": "ada", "password": "x"})),
    ]
    for what, ask in asked:
        statuses = _at_once(page, count, ask)
        allowed = {200, 429} if what == "the page" else {400, 401, 429}
        page.check(f"{count} strangers ask for {what}", set(statuses) <= allowed, dict(statuses))
    time.sleep(1)
    page.check("health", httpx.get(f"{page.url}/health", timeout=60).status_code == 200, "answers")


def _at_once(
    page: Page, count: int, ask: Callable[[httpx.Client], httpx.Response], cookies: httpx.Cookies | None = None
) -> Counter[int | str]:
    """What so many requests at once came to: their statuses, or how they failed."""

    def one(_number: int) -> int | str:
        try:
            with httpx.Client(base_url=page.url, timeout=120, cookies=cookies) as visitor:
                return ask(visitor).status_code
        except httpx.HTTPError as error:
            return type(error).__name__

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(one, range(count)))


def _large_bodies(page: Page) -> None:
    """600 MB before a login, said so, said otherwise, and not said."""
    said = {"content-length": str(LARGE)}
    small, none = {"content-length": "100"}, {"transfer-encoding": "chunked"}
    for what, headers in (("said so", said), ("said to be small", small), ("not said how large", none)):
        for path in ("/login", "/gradio_api/upload"):
            status, sent = _send(page, path, headers)
            page.check(f"600 MB to {path}, {what}", 400 <= status < 500, f"{status} after {sent:.0f} MB")


def _send(page: Page, path: str, headers: dict[str, str]) -> tuple[int, float]:
    """Send until an answer comes; the answer, and how many MB were taken."""
    host, port = page.url.removeprefix("http://").split(":")
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}:{port}", "Content-Type: application/x-www-form-urlencoded"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    block, sent = b"x" * 65_536, 0
    chunk = f"{len(block):x}\r\n".encode() + block + b"\r\n" if "transfer-encoding" in headers else block

    with closing(socket.create_connection((host, int(port)), timeout=60)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        try:
            while sent < LARGE and not _readable(connection):
                connection.sendall(chunk)
                sent += len(block)
        except OSError:  # it has hung up; what it has said can be read all the same
            pass
        try:
            answer = connection.recv(4096).decode("latin-1")
        except OSError:
            answer = ""
    words = answer.split(" ", 2)
    return (int(words[1]) if len(words) > 1 else 400), sent / 1e6


def _readable(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return connection.recv(1, socket.MSG_PEEK) is not None
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(60)


@contextmanager
def _logged_in(page: Page, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.url, timeout=120) as visitor:
        deadline = time.monotonic() + 60  # others have tried this name from here
        while visitor.post("/login", data={"username": name, "password": _PASSWORD}).status_code == 429:
            assert time.monotonic() < deadline
            time.sleep(1)
        yield visitor


def _users(page: Page, count: int) -> None:
    """Many at once of one who has logged in; another one is answered all the same."""
    with _logged_in(page, "ada") as ada, _logged_in(page, "bruno") as bruno:
        statuses = _at_once(page, count, lambda visitor: visitor.get("/config"), ada.cookies)
        page.check(f"{count} requests of one user", set(statuses) <= {200, 429}, dict(statuses))

        body = {"fn_index": 0, "data": ["x" * 5_000_000], "session_hash": "x"}
        status = ada.post("/gradio_api/queue/join", content=json.dumps(body)).status_code
        page.check("a click of 5 MB", status == 413, status)
        page.check("another user", bruno.get("/config").status_code == 200, "is answered")
        foreign = ada.get("/config", headers={"origin": "http://evil.example.org"}).status_code
        page.check("the page of another site", foreign == 403, foreign)


def _rebound(page: Page) -> None:
    """A page without a password knows only this computer's own names."""
    statuses = {path: httpx.get(page.url + path, headers=_STRANGE).status_code for path in ("/", "/config", "/health")}
    page.check("a rebound name", set(statuses.values()) == {403}, statuses)


if __name__ == "__main__":
    main()
