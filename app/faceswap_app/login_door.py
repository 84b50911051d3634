"""The login: whoever has given wrong passwords waits before the next one is looked at, and what it gives is kept for
this site alone. Each try is noted in the log."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from faceswap_app.journal import Journal
from faceswap_app.logins import Logins

LOGIN_BODY = 1 << 16
"""Bytes of a name and a password."""

_AT_ONCE = 16  # logins that wait for their answers: each is tried for a quarter of a second
_SAME_SITE = re.compile(r";\s*samesite=none", re.IGNORECASE)


class LoginDoor:
    """Lets logins through to the page, in time."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        self._app, self._journal, self._logins = app, journal, Logins()
        self._answering = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or lets the page look at name and password."""
        request = HTTPConnection(scope)
        address = request.client.host if request.client else ""
        body = await _body(receive)
        name = await _name(request, body)

        refusal = self._refusal(address, name)
        if refusal:
            words, seconds = refusal
            self._journal.note("login refused", who="", address=address, tried=name, wait_seconds=seconds)
            headers = {"connection": "close", "retry-after": str(seconds)}
            await PlainTextResponse(words, 429, headers)(scope, receive, send)
            return

        self._logins.begin(address, name)
        self._answering += 1
        try:
            noting = self._noting(request, send, lambda right: self._note(address, name, right))
            await self._app(scope, _again(body, receive), noting)
        finally:
            self._answering -= 1

    def _refusal(self, address: str, name: str) -> tuple[str, int] | None:
        """Why nobody looks at the password now, and for how many seconds."""
        wait = self._logins.wait(address, name)
        if wait:
            seconds = int(wait) + 1
            return f"Too many wrong logins. Wait for {seconds} second{'s' * (seconds != 1)}.", seconds
        if self._answering >= _AT_ONCE:
            return "Too many log in at once. Try again in a moment.", 5
        return None

    def _note(self, address: str, name: str, right: bool) -> None:
        if right:
            self._logins.right(address, name)
            self._journal.note("login", who=name, address=address)
        else:
            wait = round(self._logins.wait(address, name))
            self._journal.note("login failed", who="", address=address, tried=name, wait_seconds=wait)

    def _noting(self, request: HTTPConnection, send: Send, note: Callable[[bool], None]) -> Send:
        """Takes note of whether a login was right, and sees that no other site can use what it gives."""
        forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()

        secure = "https" in (request.scope["scheme"], forwarded)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                note(message["status"] < 400)
                message["headers"] = [
                    (name, _own(value, secure) if name.lower() == b"set-cookie" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        return noting


def is_login(request: HTTPConnection) -> bool:
    """Whether somebody gives a name and a password."""
    return request.scope["method"] == "POST" and str(request.scope["path"]).rstrip("/").endswith("/login")


async def _body(receive: Receive) -> bytes:
    """All of it: the door has seen that it is small."""
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body") or len(body) > LOGIN_BODY:
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """What was read, for whoever is behind."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


async def _name(request: HTTPConnection, body: bytes) -> str:
    """The name in a form, as the page reads it; none in what is no form."""

    async def stream() -> Any:
        yield body
        yield b""

    kind = request.headers.get("content-type", "")
    try:
        if kind.startswith("multipart/form-data"):
            form = await MultiPartParser(request.headers, stream(), max_files=0, max_fields=20).parse()
        else:
            form = await FormParser(request.headers, stream()).parse()
    except (MultiPartException, KeyError, ValueError):
        return ""

    name = form.get("username", "")
    return name.strip() if isinstance(name, str) else ""


def _own(cookie: bytes, secure: bool) -> bytes:
    """A cookie that other sites' pages cannot have sent along, nor networks read where there is encryption."""
    text = _SAME_SITE.sub("; SameSite=Lax", cookie.decode("latin-1"))
    if secure and "; secure" not in text.lower():
        text += "; Secure"
    return text.encode("latin-1")
