"""What stands before the page: foreign names and sites, large bodies, guessed passwords, cookies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from faceswap_app import door as door_module
from faceswap_app.door import Door, House

TOKEN = "token"


class Page:
    """Behaves as gradio does at its login, and keeps what it was sent."""

    def __init__(self, auth: dict[str, str] | None) -> None:
        routes = [
            Route("/", self.read, methods=["GET"]),
            Route("/login", self.login, methods=["POST"]),
            Route("/gradio_api/queue/join", self.take, methods=["POST"]),
            Route("/gradio_api/upload", self.take, methods=["POST"]),
        ]
        self.app: Any = Starlette(routes=routes, middleware=[Middleware(Door, house=House(local=auth is None))])
        self.app.auth, self.app.tokens, self.app.cookie_id = auth, {TOKEN: "me"}, "x"
        self.taken = 0

    async def read(self, _request: Request) -> PlainTextResponse:
        return PlainTextResponse("the page")

    async def take(self, request: Request) -> PlainTextResponse:
        self.taken += len(await request.body())
        return PlainTextResponse("taken")

    async def login(self, request: Request) -> PlainTextResponse:
        self.taken += len(await request.body())
        right = b"right" in await request.body()
        response = PlainTextResponse("", 200 if right else 400)
        if right:
            response.set_cookie("access-token-x", TOKEN, httponly=True, samesite="none", secure=True)
            response.set_cookie("access-token-unsecure-x", TOKEN, httponly=True)
        return response


@pytest.fixture
def page() -> Page:
    return Page({"me": "secret"})


@pytest.fixture
def visitor(page: Page) -> Iterator[TestClient]:
    with TestClient(page.app, base_url="http://faces.example.org") as visitor:
        yield visitor


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "[::1]:7860", "127.0.0.2"])
def test_without_a_password_only_this_computers_names_are_answered(host: str) -> None:
    with TestClient(Page(None).app) as visitor:
        assert visitor.get("/", headers={"host": host}).text == "the page"
        for other in ("evil.example.org:7860", "127.0.0.1.evil.org", "", "[::1", "localhost.evil.org"):
            assert visitor.get("/", headers={"host": other}).status_code in (400, 403)


def test_with_one_any_name_is(visitor: TestClient) -> None:
    assert visitor.get("/").text == "the page"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://faces.example.org"}, 200),
        ({"origin": "https://faces.example.org"}, 200),
        ({"origin": "https://proxy.example.org", "x-forwarded-host": "proxy.example.org"}, 200),
        ({"origin": "http://evil.example.org"}, 403),
        ({"origin": "http://faces.example.org.evil.org"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "http://[::1"}, 400),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "same-origin", "sec-fetch-dest": "empty"}, 200),
    ],
)
def test_other_sites_pages_may_not_use_it(visitor: TestClient, headers: dict[str, str], status: int) -> None:
    assert visitor.get("/", headers=headers).status_code == status


def test_before_the_login_next_to_nothing_is_read(page: Page, visitor: TestClient) -> None:
    large = bytes(1 << 17)
    for path, status in (("/login", 413), ("/gradio_api/upload", 401), ("/gradio_api/queue/join", 401)):
        assert visitor.post(path, content=large).status_code == status
        assert visitor.post(path, content=iter([large])).status_code in (401, 411)
    assert page.taken == 0


def test_after_it_uploads_are_taken_and_clicks_are_small(page: Page, visitor: TestClient) -> None:
    assert visitor.post("/login", content=b"right").status_code == 200
    visitor.cookies.set("access-token-unsecure-x", TOKEN)
    large = bytes(5 << 20)
    assert visitor.post("/gradio_api/queue/join", content=large).status_code == 413
    assert visitor.post("/gradio_api/queue/join", content=b"a click").text == "taken"
    assert visitor.post("/gradio_api/upload", content=large).text == "taken"


def test_passwords_cannot_be_tried_for_long(visitor: TestClient) -> None:
    for right in (b"wrong", b"wrong", b"right"):
        visitor.post("/login", content=right)
    answers = [visitor.post("/login", content=b"wrong") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    assert visitor.post("/login", content=b"right").status_code == 429  # nobody looks at it
    assert visitor.get("/").status_code == 200
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2
    time.sleep(1.1)
    assert visitor.post("/login", content=b"right").status_code == 200


def test_a_name_is_slowed_from_wherever_it_is_tried(page: Page) -> None:
    """But not for whoever has logged in by it before, from where they have."""
    own, *strangers = (TestClient(page.app, client=(f"192.0.2.{number}", 50_000)) for number in range(5))
    form = {"username": "ada", "password": "x"}
    assert own.post("/login", data={**form, "password": "right"}).status_code == 200
    assert [stranger.post("/login", data=form).status_code for stranger in strangers] == [400, 400, 400, 429]
    assert own.post("/login", data=form).status_code == 400
    assert own.post("/login", files={"username": (None, "bruno"), "password": (None, "x")}).status_code == 400


def test_many_at_once_are_refused(visitor: TestClient, page: Page) -> None:
    door = Door(page.app, House(local=False))
    stream = HTTPConnection({"type": "http", "path": "/gradio_api/queue/data", "headers": [], "client": ("a", 1)})
    with ExitStack() as stack:
        for _ in range(door_module._STREAMS):
            stack.enter_context(door._counted(stream, "ada"))
        stream.scope |= {"app": page.app, "method": "GET"}
        assert door._too_much(stream, "ada") == (
            429,
            "Too much is asked for at once. Close some windows, and try again.",
        )
        assert door._too_much(stream, "bruno") is None
    assert door._too_much(stream, "ada") is None
    assert not door._open


@pytest.mark.parametrize("cause", [HTTPException(404), ValueError("a bug")])
def test_a_stream_whose_visitor_has_left_is_no_error(cause: Exception) -> None:
    async def leaves(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        raise RuntimeError("the response has started already") from cause

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = Page(auth=None).app
        await Door(leaves, House(local=False))(scope, receive, send)

    visitor = TestClient(app)
    if isinstance(cause, HTTPException):
        assert visitor.get("/").text == "so far"
    else:
        with pytest.raises(RuntimeError):
            visitor.get("/")


def test_streams_are_for_those_who_have_logged_in(visitor: TestClient) -> None:
    for path in ("/gradio_api/heartbeat/x", "/gradio_api/queue/data", "/gradio_api/dev/reload"):
        assert visitor.get(path).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"x-forwarded-proto": "https"}, {"x-forwarded-proto": "https, http"}])
def test_cookies_are_for_this_site_alone(visitor: TestClient, headers: dict[str, str]) -> None:
    answer = visitor.post("/login", content=b"right", headers=headers)
    cookies = [cookie.lower() for cookie in answer.headers.get_list("set-cookie")]
    assert len(cookies) == 2
    assert all("httponly" in cookie and "samesite=lax" in cookie for cookie in cookies)
    assert "secure" in cookies[0].split("; ")
    assert ("secure" in cookies[1].split("; ")) == bool(headers)
