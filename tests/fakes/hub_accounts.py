"""Who is who at the local Hub: whoami, users, and signing in with OAuth (OpenID Connect, a signing key of its own)."""

from __future__ import annotations

import secrets
import time
from functools import lru_cache
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.fakes.hub_server import Account, FakeHub, refusal

TOKEN_LASTS_S = 8 * 3600


def add_routes(router: web.UrlDispatcher, hub: FakeHub) -> None:
    accounts = _Accounts(hub)
    router.add_get("/api/whoami-v2", accounts.whoami)
    router.add_get("/api/users/{name}/overview", accounts.overview)
    router.add_get("/api/agent-harnesses", accounts.no_harnesses)
    router.add_get("/.well-known/openid-configuration", accounts.openid)
    router.add_get("/oauth/authorize", accounts.authorize)
    router.add_post("/oauth/token", accounts.token)
    router.add_get("/oauth/userinfo", accounts.userinfo)
    router.add_get("/oauth/jwks", accounts.jwks)


@lru_cache(maxsize=1)
def _key() -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": "local", "alg": "RS256", "use": "sig"})


class _Accounts:
    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub
        self._codes: dict[str, tuple[Account, dict[str, str]]] = {}

    async def whoami(self, request: web.Request) -> web.Response:
        who = self._hub.who(request)
        if who is None:
            raise refusal(401, None, "Invalid username or password.")
        role = "write" if who.may_write else "read"
        return web.json_response(
            {
                "type": "user",
                "id": f"id-{who.name}",
                "name": who.name,
                "fullname": who.name.title(),
                "isPro": False,
                "canPay": True,
                "orgs": [{"type": "org", "name": org, "roleInOrg": role} for org in who.orgs],
                "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": role}},
            }
        )

    async def overview(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if all(account.name != name for account in self._hub.accounts.values()):
            raise refusal(404, None, "This user does not exist")
        return web.json_response(
            {"user": name, "fullname": name.title(), "avatarUrl": "", "isPro": False, "type": "user"}
        )

    async def no_harnesses(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def openid(self, _: web.Request) -> web.Response:
        root = self._hub.root
        return web.json_response(
            {
                "issuer": root,
                "authorization_endpoint": f"{root}/oauth/authorize",
                "token_endpoint": f"{root}/oauth/token",
                "userinfo_endpoint": f"{root}/oauth/userinfo",
                "jwks_uri": f"{root}/oauth/jwks",
                "response_types_supported": ["code"],
                "scopes_supported": ["openid", "profile", "email"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def authorize(self, request: web.Request) -> web.Response:
        """The consent page, with the consent already given by whoever the `hub_user` cookie or `login_hint` names."""
        name = request.cookies.get("hub_user") or request.query.get("login_hint", "")
        who = next((a for a in self._hub.accounts.values() if a.name == name), None)
        if who is None:
            who = next((a for a in self._hub.accounts.values() if a.may_write), None)
        if who is None:
            raise refusal(401, None, "nobody has signed in at this hub")
        code = secrets.token_urlsafe(16)
        self._codes[code] = (who, dict(request.query))
        back = web.HTTPFound("/")
        target = request.query["redirect_uri"]
        mark = "&" if "?" in target else "?"
        back.headers["Location"] = f"{target}{mark}code={code}&state={request.query.get('state', '')}"
        raise back

    async def token(self, request: web.Request) -> web.Response:
        asked = await request.post()
        known = self._codes.pop(str(asked.get("code")), None)
        if known is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        who, query = known
        claims = self._claims(who) | {
            "iss": self._hub.root,
            "aud": query.get("client_id"),
            "exp": int(time.time()) + TOKEN_LASTS_S,
            "iat": int(time.time()),
        }
        if "nonce" in query:
            claims["nonce"] = query["nonce"]
        return web.json_response(
            {
                "access_token": who.token,
                "token_type": "bearer",
                "expires_in": TOKEN_LASTS_S,
                "scope": query.get("scope", "openid profile"),
                "id_token": jwt.encode({"alg": "RS256", "kid": "local"}, claims, _key()),
            }
        )

    async def userinfo(self, request: web.Request) -> web.Response:
        who = self._hub.who(request)
        if who is None:
            raise refusal(401, None, "Invalid token")
        return web.json_response(self._claims(who))

    async def jwks(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [_key().as_dict(private=False)]})

    def _claims(self, who: Account) -> dict[str, Any]:
        return {
            "sub": f"id-{who.name}",
            "name": who.name.title(),
            "preferred_username": who.name,
            "profile": f"{self._hub.root}/{who.name}",
            "picture": f"{self._hub.root}/avatars/{who.name}.svg",
            "website": "",
            "isPro": False,
            "orgs": [{"sub": f"id-{org}", "name": org, "preferred_username": org, "picture": ""} for org in who.orgs],
        }
