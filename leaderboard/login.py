"""Signing in with a Hugging Face account (OpenID Connect). The only door to authlib.

The session holds the account's name and nothing else: no access token is kept. Its cookie is signed with a key made of
the Space's OAuth secret. Outside a Space nobody signs in, and nothing of this is installed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.starlette_client import OAuth
from httpx import HTTPError
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

SESSION_S = 12 * 3600
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_NAME = 96


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginSettings:
    """What Hugging Face gives a Space whose front matter says `hf_oauth: true`."""

    client_id: str
    client_secret: str = field(repr=False)
    provider_url: str = "https://huggingface.co"
    scopes: str = "openid profile"


def install_login(site: Starlette, login: LoginSettings, *, secure: bool = True) -> None:
    """Add `/login`, `/login/callback` and `/logout` before all other addresses, and the session to every request.

    `secure` keeps the cookie to https, and lets it through the frame in which huggingface.co shows a Space.
    """
    oauth = OAuth()
    oauth.register(
        name="hub",
        client_id=login.client_id,
        client_secret=login.client_secret,
        client_kwargs={"scope": login.scopes},
        server_metadata_url=f"{login.provider_url.rstrip('/')}/.well-known/openid-configuration",
    )
    site.router.routes[:0] = [
        Route("/login", _begin(oauth), name="login"),
        Route("/login/callback", _end(oauth), name="login_callback"),
        Route("/logout", _leave, methods=["POST"], name="logout"),
    ]
    site.add_middleware(
        SessionMiddleware,
        secret_key=hashlib.sha256(f"session {login.client_secret}".encode()).hexdigest(),
        max_age=SESSION_S,
        same_site="none" if secure else "lax",
        https_only=secure,
    )


def _begin(oauth: OAuth) -> Any:
    async def begin(request: Request) -> Response:
        """Send the visitor to Hugging Face, and remember where they came from."""
        request.session["back"] = _own_path(request.query_params.get("back", "/"))
        try:
            answer: Response = await oauth.hub.authorize_redirect(request, str(request.url_for("login_callback")))
        except (OAuthError, HTTPError) as error:
            return _failed(error)
        return answer

    return begin


def _end(oauth: OAuth) -> Any:
    async def end(request: Request) -> Response:
        """Take the account's name from what Hugging Face signed; whatever else it gave is dropped."""
        back = _own_path(request.session.get("back", "/"))
        try:
            given = await oauth.hub.authorize_access_token(request)
        except (OAuthError, HTTPError) as error:
            request.session.clear()
            return _failed(error)
        request.session.clear()
        name = (given.get("userinfo") or {}).get("preferred_username")
        if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME:
            return _failed("Hugging Face told no account name")
        request.session["user"] = name
        return RedirectResponse(back, status_code=303)

    return end


async def _leave(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse("/", status_code=303)


def _failed(why: object) -> Response:
    return PlainTextResponse(f"signing in did not work ({why}); go back to the board and try again", status_code=403)


def _own_path(back: str) -> str:
    """A path of this site: an address that leads elsewhere would make the login a way to send people there."""
    parts = urlsplit(back)
    plain = back.startswith("/") and not back.startswith("//") and "\\" not in back and back.isprintable()
    return back if plain and not parts.scheme and not parts.netloc else "/"


class SameOrigin:
    """Refuses what changes anything where a browser says that another site's page asked for it.

    The session's cookie travels with requests that other sites' pages make; what they ask for must not count as asked
    for by whoever looks at them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 403."""
        if scope["type"] == "http" and scope["method"] not in SAFE and _from_elsewhere(Request(scope)):
            refusal = PlainTextResponse("this must be asked for from the board's own pages", status_code=403)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _from_elsewhere(request: Request) -> bool:
    """Browsers name the origin of every request that may change something; programs need not."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")
