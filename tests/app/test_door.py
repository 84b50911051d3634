"""What stands before the page: foreign names and sites, large bodies, guessed passwords, cookies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from faceswap_app import door
from faceswap_app.door import Door

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
        self.app: Any = Starlette(routes=routes, middleware=[Middleware(Door, local=auth is None)])
        self.app.auth, self.app.tokens, self.app.cookie_id = auth, {TOKEN: "me"}, "x"
        self.taken = 0

    async def read(self, _request: Request) -> PlainTextResponse:
        return PlainTextResponse("the page")

    async def take(self, request: Request) -> PlainTextResponse:
        self.taken += len(await request.body())
        return PlainTextResponse("taken")

    async def login(self, request: Request) -> PlainTextResponse:
        self.taken += len(await request.body())
        right = (await request.body()) == b"right"
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


def test_passwords_cannot_be_tried_for_long(visitor: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(door._WRONG - 1):
        assert visitor.post("/login", content=b"wrong").status_code == 400
    assert visitor.post("/login", content=b"right").status_code == 200
    for _ in range(door._WRONG):
        assert visitor.post("/login", content=b"wrong").status_code == 400
    assert visitor.post("/login", content=b"right").status_code == 429
    assert visitor.get("/").status_code == 200
    monkeypatch.setattr(door, "_WAIT", 0.0)
    assert visitor.post("/login", content=b"right").status_code == 200


def test_the_memory_of_wrong_logins_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_VISITORS", 5)
    keeper = Door(Page(None).app, local=False)
    for number in range(20):
        for _ in range(30):
            keeper._note(str(number), right=False)
    assert list(keeper._wrong) == ["15", "16", "17", "18", "19"]
    assert all(len(times) == door._WRONG for times in keeper._wrong.values())


@pytest.mark.parametrize("headers", [{}, {"x-forwarded-proto": "https"}, {"x-forwarded-proto": "https, http"}])
def test_cookies_are_for_this_site_alone(visitor: TestClient, headers: dict[str, str]) -> None:
    answer = visitor.post("/login", content=b"right", headers=headers)
    cookies = [cookie.lower() for cookie in answer.headers.get_list("set-cookie")]
    assert len(cookies) == 2
    assert all("httponly" in cookie and "samesite=lax" in cookie for cookie in cookies)
    assert "secure" in cookies[0].split("; ")
    assert ("secure" in cookies[1].split("; ")) == bool(headers)
