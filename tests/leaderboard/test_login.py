"""Signing in with a Hugging Face account, against a local server that speaks OpenID Connect."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import Cookie
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from evaluator.engine import free_port
from leaderboard.login import LoginSettings, SameOrigin, install_login
from leaderboard.types import JobKind, JobRecord, Submission
from leaderboard.visitors import EVERYBODY, Visitor, local_visitor, signed_in
from tests.fakes.hub_server import FakeHub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.account("ada", token="hf_ada")
        fake.account("grace", token="hf_grace")
        yield fake


async def who(request: Request) -> JSONResponse:
    visitor = signed_in(frozenset({"grace"}))(request.session)
    return JSONResponse(None if visitor is None else {"name": visitor.name, "maintainer": visitor.maintainer})


@contextmanager
def served(hub: FakeHub) -> Iterator[str]:
    site = Starlette(routes=[Route("/who", who), Route("/act", who, methods=["POST"])])
    site.add_middleware(SameOrigin)
    login = LoginSettings(client_id="space", client_secret="s3cret", provider_url=hub.root)
    install_login(site, login, secure=False)
    server = uvicorn.Server(uvicorn.Config(site, port=(port := free_port()), log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def browser(name: str) -> Iterator[httpx.Client]:
    """A browser whose owner is signed in at the hub."""
    with httpx.Client(follow_redirects=True, timeout=30) as client:
        client.cookies.set("hub_user", name, domain="127.0.0.1")
        yield client


def session_of(client: httpx.Client) -> Cookie:
    return next(cookie for cookie in client.cookies.jar if cookie.name == "session")


def test_whoever_signs_in_is_known_by_the_name_that_the_hub_signed_and_comes_back_to_where_they_were(
    hub: FakeHub,
) -> None:
    with served(hub) as root, browser("ada") as ada:
        assert ada.get(f"{root}/who").json() is None
        back = ada.get(f"{root}/login", params={"back": "/who?from=login"})
        assert (back.status_code, str(back.url)) == (200, f"{root}/who?from=login")
        assert back.json() == {"name": "ada", "maintainer": False}
        assert ada.post(f"{root}/logout", headers={"Origin": root}).status_code in (200, 404)
        assert ada.get(f"{root}/who").json() is None


def test_a_maintainer_is_one_by_name(hub: FakeHub) -> None:
    with served(hub) as root, browser("grace") as grace:
        grace.get(f"{root}/login", params={"back": "/who"})
        assert grace.get(f"{root}/who").json() == {"name": "grace", "maintainer": True}


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_a_login_never_sends_anybody_elsewhere(hub: FakeHub, back: str) -> None:
    with served(hub) as root, browser("ada") as ada:
        end = ada.get(f"{root}/login", params={"back": back})
        assert str(end.url) == f"{root}/"
        assert all(urlsplit(str(step.url)).hostname == "127.0.0.1" for step in (*end.history, end))


def test_a_session_that_somebody_made_up_or_changed_is_nobodys(hub: FakeHub) -> None:
    with served(hub) as root, browser("ada") as ada:
        ada.get(f"{root}/login", params={"back": "/who"})
        signed = session_of(ada).value or ""
        for forged in ("eyJ1c2VyIjogImdyYWNlIn0=.x.y", signed[:-2] + "xx", "a" + signed, ""):
            answer = httpx.get(f"{root}/who", headers={"Cookie": f"session={forged}"})
            assert (answer.status_code, answer.json()) == (200, None)


def test_a_callback_that_nobody_began_signs_nobody_in(hub: FakeHub) -> None:
    with served(hub) as root, browser("ada") as ada:
        answer = ada.get(f"{root}/login/callback", params={"code": "stolen", "state": "stolen"})
        assert answer.status_code == 403
        assert "try again" in answer.text
        assert ada.get(f"{root}/who").json() is None


def test_the_cookie_holds_a_name_and_no_token(hub: FakeHub) -> None:
    import base64

    with served(hub) as root, browser("ada") as ada:
        ada.get(f"{root}/login", params={"back": "/who"})
        content = base64.b64decode((session_of(ada).value or "").split(".")[0] + "==")
    assert content == b'{"user": "ada"}'


def test_another_sites_page_cannot_act_in_a_visitors_name(hub: FakeHub) -> None:
    with served(hub) as root, browser("ada") as ada:
        ada.get(f"{root}/login", params={"back": "/who"})
        assert ada.post(f"{root}/act", headers={"Origin": "https://evil.example"}).status_code == 403
        assert ada.post(f"{root}/act", headers={"Origin": "null"}).status_code == 403
        assert ada.post(f"{root}/act", headers={"Origin": root}).json()["name"] == "ada"
        assert ada.post(f"{root}/act").json()["name"] == "ada"


def test_people_act_on_their_own_jobs_maintainers_on_all() -> None:
    submission = Submission(id="j", kind=JobKind.EVALUATE, model="a/b", submitted_at="", submitted_by="ada")
    job = JobRecord(submission=submission)
    assert Visitor(name="ada").may_act_on(job)
    assert not Visitor(name="grace").may_act_on(job)
    assert Visitor(name="grace", maintainer=True).may_act_on(job)
    assert local_visitor({"user": "whatever"}) == EVERYBODY
