"""What every request passes before the page sees it: who may ask, from where, how much and how often.

A page of another site that the same browser has open can send requests here, too, and a name that somebody else owns
can be made to mean this computer; neither may do anything. Whoever has not logged in can send next to nothing. Nobody
can keep more than some requests open, nor fetch a file of a project that they may not see.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from faceswap.errors import ConfigError
from faceswap_app.journal import Journal
from faceswap_app.login_door import LOGIN_BODY, LoginDoor, is_login
from faceswap_app.logins import network
from faceswap_app.projects import Projects
from faceswap_app.queue import Queue
from faceswap_app.quotas import Quota
from faceswap_app.users import Users

HEALTH = "/health"
"""Where whoever watches over servers asks whether this one is well; nobody has to log in for it."""

_BODY = 1 << 22  # bytes of what a click sends; uploads have a limit of their own
_STREAMS = 32  # of a visitor that are open at once: each window of a browser has two
_REQUESTS = 128  # of a visitor that are answered at once
_READS = ("GET", "HEAD", "OPTIONS")
_STREAM = re.compile(r"/(heartbeat/|queue/data$|dev/reload$|upload_progress$|stream/|call/)")
_FILE = re.compile(r"/file[=/](.*)", re.DOTALL)

Refusal = tuple[int, str]


def is_loopback(host: str) -> bool:
    """Whether a name or an address means this computer, whoever asks."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class House:
    """What the door has to know of what is behind it."""

    local: bool
    """Nobody logs in, so only this computer's own names are answered."""
    named: bool = False
    """Visitors have names, and projects of their own."""
    users: Users | None = None
    projects: Projects | None = None
    queue: Queue | None = None
    quota: Quota | None = None
    journal: Journal = field(default_factory=lambda: Journal(None))


class Door:
    """The outermost part of the server."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app, self._house = app, house
        self._login = LoginDoor(app, house.journal)
        self._open: Counter[tuple[str, str]] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or lets the page answer."""
        if scope["type"] == "websocket":  # the page has none
            await send({"type": "websocket.close"})
            return

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        request = HTTPConnection(scope)
        visitor = self._visitor(request)
        refusal = self._foreign(request) or self._too_much(request, visitor) or self._another_ones(request, visitor)
        refusal = refusal or await self._no_room(request, visitor)

        if refusal:
            status, words = refusal
            await PlainTextResponse(words, status, {"connection": "close"})(scope, receive, send)
            return

        if self._house.queue is not None and _path(request) == HEALTH:
            await JSONResponse(await asyncio.to_thread(health, self._house))(scope, receive, send)
            return

        with self._counted(request, visitor):
            answer = self._login if is_login(request) else self._app
            try:
                await answer(scope, receive, send)
            except RuntimeError as error:
                # A stream whose visitor has left meanwhile: gradio has said so in it, and then raises.
                if not isinstance(error.__cause__, HTTPException):
                    raise
                await send({"type": "http.response.body", "body": b""})

    def _visitor(self, request: HTTPConnection) -> str | None:
        """Who has logged in; nobody, if nobody has to. Whoever is no user any more, or has another password now, has
        to log in again."""
        app: Any = request.scope["app"]
        changed = self._house.users.changed() if self._house.users else set()
        for token in [token for token, name in app.tokens.items() if name in changed]:
            del app.tokens[token]

        names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
        tokens = [request.cookies.get(name) for name in names]
        return next((str(app.tokens[token]) for token in tokens if token in app.tokens), None)

    def _foreign(self, request: HTTPConnection) -> Refusal | None:
        """Whether the request was made for another name, or by the page of another site."""
        headers = request.headers

        host = headers.get("host", "").lower()
        try:
            name, origin = urlsplit(f"//{host}").hostname or "", urlsplit(headers.get("origin", "")).netloc.lower()
        except ValueError:
            return 400, "This address is none."

        if self._house.local and not is_loopback(name):
            return 403, "This page is not known by that name. Open it by the address that it has printed."
        # A proxy may call the page by another name than visitors do; other sites cannot send its header.

        own = origin and origin in (host, headers.get("x-forwarded-host", "").lower())
        # A link may lead here; a frame, in which clicks could be stolen, may not.
        sent_elsewhere = headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-dest") != "document"

        if ("origin" in headers and not own) or sent_elsewhere:
            return 403, "Another site's page may not use this one."

        return None

    def _too_much(self, request: HTTPConnection, visitor: str | None) -> Refusal | None:
        """Whether more is sent, or kept open, than the visitor may, judged before any of it is read."""
        app: Any = request.scope["app"]
        stranger = app.auth is not None and visitor is None
        kinds = _kinds(request)

        if stranger and "stream" in kinds:
            return 401, "Log in first."
        if any(self._open[_key(request, visitor), kind] >= most for kind, most in kinds.items()):
            return 429, "Too much is asked for at once. Close some windows, and try again."

        if request.scope["method"] in _READS:
            return None
        if stranger and not is_login(request):
            return 401, "Log in first."
        if _is_upload(request):
            return None

        length = request.headers.get("content-length", "")
        if "transfer-encoding" in request.headers or not length.isdecimal():
            return 411, "The request does not say how long it is."
        if int(length[:20]) > (LOGIN_BODY if is_login(request) else _BODY):
            return 413, "The request is too large."

        return None

    def _another_ones(self, request: HTTPConnection, visitor: str | None) -> Refusal | None:
        """Whether a file is asked for that lies in a project which the visitor may not see."""
        file = _FILE.search(_path(request))
        if file is None or not self._house.named or self._house.projects is None:
            return None

        try:
            allowed = visitor is not None and self._house.projects.may_fetch(file[1], visitor)
        except (OSError, ValueError):  # no path at all
            allowed = False
        return None if allowed else (403, "There is no such file.")

    async def _no_room(self, request: HTTPConnection, visitor: str | None) -> Refusal | None:
        """Whether a file is about to be sent for which the visitor has no room."""
        quota = self._house.quota
        if quota is None or not self._house.named or visitor is None or not _is_upload(request):
            return None

        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "The request does not say how long it is."

        try:
            await asyncio.to_thread(quota.take_upload, visitor, int(length[:20]))
        except ConfigError as error:
            return 413, f"{error.problem[:1].upper()}{error.problem[1:]}. {error.remedy}."
        return None

    @contextmanager
    def _counted(self, request: HTTPConnection, visitor: str | None) -> Iterator[None]:
        """While a request is being answered."""
        keys = [(_key(request, visitor), kind) for kind in _kinds(request)]
        self._open.update(keys)
        try:
            yield
        finally:
            self._open.subtract(keys)
            for key in keys:
                if not self._open[key]:
                    del self._open[key]


def health(house: House) -> dict[str, object]:
    """How the server is: nothing that somebody who has not logged in may not know."""
    import shutil

    import faceswap

    assert house.queue is not None
    assert house.projects is not None
    counts = Counter(job.status for job in house.queue.jobs() if not job.over)
    disk = shutil.disk_usage(house.projects.folder)
    return {
        "status": "ok" if house.queue.works else "the queue stands still",
        "version": faceswap.__version__,
        "jobs_waiting": counts["waiting"],
        "jobs_running": counts["running"] + counts["stopping"],
        "disk_free_bytes": disk.free,
        "disk_total_bytes": disk.total,
    }


def _kinds(request: HTTPConnection) -> dict[str, int]:
    """What a request counts as, and how many of these a visitor may have open."""
    return {"request": _REQUESTS} | ({"stream": _STREAMS} if _STREAM.search(_path(request)) else {})


def _key(request: HTTPConnection, visitor: str | None) -> str:
    """For whom a request counts: by name and address, since several people may share one or the other."""
    return f"{visitor or ''} {network(_address(request))}"


def _path(request: HTTPConnection) -> str:
    """Behind the address at which a proxy has the page."""
    return str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))


def _is_upload(request: HTTPConnection) -> bool:
    return request.scope["method"] == "POST" and _path(request).rstrip("/").endswith("/upload")


def _address(request: HTTPConnection) -> str:
    """From where a request comes; of a proxy on this computer that says so, from where it has it."""
    return request.client.host if request.client else ""
