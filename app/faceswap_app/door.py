"""What every request passes before the page sees it: who may ask, from where, how much and how often.

A page of another site that the same browser has open can send requests here, too, and a name that somebody else owns
can be made to mean this computer; neither may do anything. Whoever has not logged in can send next to nothing, and
cannot try passwords for long.
"""

from __future__ import annotations

import ipaddress
import re
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOGIN_BODY = 1 << 16  # bytes of a name and a password
_BODY = 1 << 22  # bytes of what a click sends; uploads have a limit of their own
_WRONG = 10  # logins of one visitor, before the next one has to wait
_WAIT = 300.0  # seconds
_VISITORS = 10_000  # whose wrong logins are remembered
_READS = ("GET", "HEAD", "OPTIONS")
_SAME_SITE = re.compile(r";\s*samesite=none", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Whether a name or an address means this computer, whoever asks."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Door:
    """The outermost part of the server. `local`: nobody logs in, so only this computer's own names are answered."""

    def __init__(self, app: ASGIApp, local: bool) -> None:
        self._app, self._local = app, local
        self._wrong: dict[str, list[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or lets the page answer."""
        if scope["type"] == "websocket":  # the page has none
            await send({"type": "websocket.close"})
            return

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        request = HTTPConnection(scope)
        refusal = self._foreign(request) or self._too_much(request) or self._too_often(request)

        if refusal:
            status, words = refusal
            await PlainTextResponse(words, status, {"connection": "close"})(scope, receive, send)
            return

        await self._app(scope, receive, self._noting(request, send) if _is_login(request) else send)

    def _foreign(self, request: HTTPConnection) -> tuple[int, str] | None:
        """Whether the request was made for another name, or by the page of another site."""
        headers = request.headers

        host = headers.get("host", "").lower()
        try:
            name, origin = urlsplit(f"//{host}").hostname or "", urlsplit(headers.get("origin", "")).netloc.lower()
        except ValueError:
            return 400, "This address is none."

        if self._local and not is_loopback(name):
            return 403, "This page is not known by that name. Open it by the address that it has printed."
        # A proxy may call the page by another name than visitors do; other sites cannot send its header.

        own = origin and origin in (host, headers.get("x-forwarded-host", "").lower())
        # A link may lead here; a frame, in which clicks could be stolen, may not.
        sent_elsewhere = headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-dest") != "document"

        if ("origin" in headers and not own) or sent_elsewhere:
            return 403, "Another site's page may not use this one."

        return None

    def _too_much(self, request: HTTPConnection) -> tuple[int, str] | None:
        """Whether more is sent than the visitor may send, judged before any of it is read."""
        if request.scope["method"] in _READS:
            return None

        if not _is_login(request) and not _is_logged_in(request):
            return 401, "Log in first."
        if request.scope["path"].endswith("/upload"):
            return None

        length = request.headers.get("content-length", "")
        if "transfer-encoding" in request.headers or not length.isdecimal():
            return 411, "The request does not say how long it is."
        if int(length[:20]) > (_LOGIN_BODY if _is_login(request) else _BODY):
            return 413, "The request is too large."

        return None

    def _too_often(self, request: HTTPConnection) -> tuple[int, str] | None:
        """Whether a visitor has tried too many passwords of late."""
        since = time.monotonic() - _WAIT
        if _is_login(request) and sum(when > since for when in self._wrong.get(_visitor(request), ())) >= _WRONG:
            return 429, f"Too many wrong logins. Wait for {_WAIT / 60:.0f} minutes."
        return None

    def _noting(self, request: HTTPConnection, send: Send) -> Send:
        """Takes note of whether a login was right, and sees that no other site can use what it gives."""
        forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()

        secure = "https" in (request.scope["scheme"], forwarded)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(_visitor(request), right=message["status"] < 400)
                message["headers"] = [
                    (name, _own(value, secure) if name.lower() == b"set-cookie" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        return noting

    def _note(self, visitor: str, right: bool) -> None:
        times = self._wrong.pop(visitor, [])
        if not right:  # put in last: who was wrong the longest ago is forgotten first
            self._wrong[visitor] = [*times, time.monotonic()][-_WRONG:]
            for oldest in list(self._wrong)[:-_VISITORS]:
                del self._wrong[oldest]


def _is_login(request: HTTPConnection) -> bool:
    return request.scope["method"] == "POST" and str(request.scope["path"]).rstrip("/").endswith("/login")


def _is_logged_in(request: HTTPConnection) -> bool:
    """As gradio knows it, of whose application this is a part."""
    app: Any = request.scope["app"]
    names = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    return app.auth is None or any(request.cookies.get(name) in app.tokens for name in names)


def _visitor(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


def _own(cookie: bytes, secure: bool) -> bytes:
    """A cookie that other sites' pages cannot have sent along, nor networks read where there is encryption."""
    text = _SAME_SITE.sub("; SameSite=Lax", cookie.decode("latin-1"))
    if secure and "; secure" not in text.lower():
        text += "; Secure"
    return text.encode("latin-1")
