"""Discussions, pull requests and webhooks of the local Hub."""

from __future__ import annotations

import json
import threading
import urllib.request
from typing import Any
from urllib.error import URLError

from aiohttp import web

from tests.fakes.hub_server import FakeHub, refusal
from tests.fakes.hub_state import KINDS, Commit, Discussion, Repository

API = "/api/{kind:models|datasets|spaces}/{owner}/{name}/discussions"
DISCUSSIONS_PAGE = 50
DELIVERY_TIMEOUT_S = 10.0


def add_routes(router: web.UrlDispatcher, hub: FakeHub) -> None:
    talks, hooks = _Discussions(hub), _Webhooks(hub)
    router.add_get(API, talks.all)
    router.add_post(API, talks.create)
    router.add_get(API + "/{num:\\d+}", talks.details)
    router.add_post(API + "/{num:\\d+}/{action:comment|status|title|merge}", talks.act)
    router.add_get("/api/settings/webhooks", hooks.all)
    router.add_post("/api/settings/webhooks", hooks.create)
    router.add_delete("/api/settings/webhooks/{id}", hooks.delete)
    router.add_post("/api/settings/webhooks/{id}/{action:enable|disable}", hooks.switch)
    hub.on_commit.append(hooks.deliver)


class _Discussions:
    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    async def all(self, request: web.Request) -> web.Response:
        key, repository = self._hub.repository(request)
        wanted = [
            each
            for each in reversed(repository.discussions)
            if request.query.get("type", "all") in ("all", "pull_request" if each.pull_request else "discussion")
            and request.query.get("status", "all") in ("all", each.status)
            and request.query.get("author", each.author) == each.author
        ]
        start = int(request.query.get("p", "0")) * DISCUSSIONS_PAGE
        page = [_summary(each, key) for each in wanted[start : start + DISCUSSIONS_PAGE]]
        return web.json_response({"discussions": page, "start": start, "count": len(wanted)})

    async def create(self, request: web.Request) -> web.Response:
        _, repository = self._hub.repository(request)
        who = self._hub.who(request)
        if who is None:
            raise refusal(401, None, "Invalid username or password.")
        asked = await request.json()
        made = Discussion(
            num=len(repository.discussions) + 1,
            title=asked["title"],
            description=asked["description"],
            author=who.name,
            pull_request=asked["pullRequest"],
            status="draft" if asked["pullRequest"] else "open",
        )
        repository.discussions.append(made)
        if made.pull_request:
            repository.refs[made.ref] = repository.refs["main"]
        return web.json_response({"num": made.num, "pullRequest": made.pull_request})

    async def details(self, request: web.Request) -> web.Response:
        key, repository = self._hub.repository(request)
        return web.json_response(_details(self._one(request, repository), key))

    async def act(self, request: web.Request) -> web.Response:
        key, repository = self._hub.repository(request)
        who = self._hub.who(request)
        if who is None:
            raise refusal(401, None, "Invalid username or password.")
        found, asked = self._one(request, repository), await request.json() if request.can_read_body else {}
        match request.match_info["action"]:
            case "comment":
                data = {"edited": False, "hidden": False, "latest": {"raw": asked["comment"]}}
                return web.json_response({"newMessage": _event(found, "comment", data, who.name)})
            case "title":
                data = {"from": found.title, "to": asked["title"]}
                found.title = asked["title"]
                return web.json_response({"newTitle": _event(found, "title-change", data, who.name)})
            case "status":
                found.status = asked["status"]
                return web.json_response(
                    {"newStatus": _event(found, "status-change", {"status": found.status}, who.name)}
                )
        self._hub.writer(request, request.match_info["owner"])
        found.merge_commit = repository.commit(
            "main",
            repository.commits[repository.refs["main"]] | repository.commits[repository.refs[found.ref]],
            Commit(parent=repository.refs["main"], title=found.title, author=who.name),
        )
        found.status = "merged"
        for told in self._hub.on_commit:
            told(key, "main", found.merge_commit)
        return web.json_response({})

    def _one(self, request: web.Request, repository: Repository) -> Discussion:
        num = int(request.match_info["num"])
        if num > len(repository.discussions):
            raise refusal(404, None, "Discussion not found")
        return repository.discussions[num - 1]


def _event(found: Discussion, kind: str, data: dict[str, Any], author: str) -> dict[str, Any]:
    event = {
        "id": f"{found.num}-{len(found.events)}",
        "type": kind,
        "createdAt": found.created.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "author": {"name": author},
        "data": data,
    }
    found.events.append(event)
    return event


def _summary(found: Discussion, key: str) -> dict[str, Any]:
    kind, slash, name = key.partition("/")
    repo = {"name": name, "type": KINDS[kind]} if kind in KINDS and slash else {"name": key, "type": "model"}
    return {
        "num": found.num,
        "title": found.title,
        "author": {"name": found.author},
        "createdAt": found.created.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "status": found.status,
        "isPullRequest": found.pull_request,
        "repo": repo,
    }


def _details(found: Discussion, key: str) -> dict[str, Any]:
    details = _summary(found, key) | {"events": found.events, "diff": ""}
    if found.pull_request:
        details |= {
            "filesWithConflicts": [],
            "changes": {"base": "refs/heads/main", "mergeCommitId": found.merge_commit},
        }
    return details


class _Webhooks:
    """Registered webhooks, and their delivery: one POST per commit to whoever watches."""

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub
        self._hooks: dict[str, dict[str, Any]] = {}

    async def all(self, request: web.Request) -> web.Response:
        self._known(request)
        return web.json_response(list(self._hooks.values()))

    async def create(self, request: web.Request) -> web.Response:
        self._known(request)
        asked = await request.json()
        hook = {
            "id": f"hook{len(self._hooks) + 1}",
            "url": asked.get("url"),
            "watched": asked["watched"],
            "domains": asked.get("domains") or ["repo", "discussion"],
            "secret": asked.get("secret"),
            "disabled": False,
        }
        self._hooks[hook["id"]] = hook
        return web.json_response({"webhook": hook})

    async def delete(self, request: web.Request) -> web.Response:
        self._known(request)
        if self._hooks.pop(request.match_info["id"], None) is None:
            raise refusal(404, None, "Webhook not found")
        return web.Response()

    async def switch(self, request: web.Request) -> web.Response:
        self._known(request)
        hook = self._hooks[request.match_info["id"]]
        hook["disabled"] = request.match_info["action"] == "disable"
        return web.json_response({"webhook": hook})

    def deliver(self, key: str, ref: str, commit: str) -> None:
        """Tell every webhook that watches this repository or its owner, as the Hub does: later, in a thread."""
        kind, slash, rest = key.partition("/")
        kind, name = (KINDS[kind], rest) if kind in KINDS and slash else ("model", key)
        branch = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
        for hook in self._hooks.values():
            watched = {(item["type"], item["name"]) for item in hook["watched"]}
            owner = name.split("/")[0]
            if not hook["disabled"] and watched & {(kind, name), ("user", owner), ("org", owner)}:
                payload = {
                    "event": {"action": "update", "scope": "repo.content"},
                    "repo": {
                        "type": kind,
                        "name": name,
                        "id": f"id-{key}",
                        "private": False,
                        "headSha": commit,
                        "owner": {"id": f"id-{owner}"},
                        "url": {"web": f"{self._hub.root}/{key}", "api": f"{self._hub.root}/api/{key}"},
                    },
                    "webhook": {"id": hook["id"], "version": 3},
                    "updatedRefs": [{"ref": branch, "oldSha": None, "newSha": commit}],
                }
                threading.Thread(target=_post, args=(hook, payload), daemon=True).start()

    def _known(self, request: web.Request) -> None:
        if self._hub.who(request) is None:
            raise refusal(401, None, "Invalid username or password.")


def _post(hook: dict[str, Any], payload: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json"}
    if hook["secret"]:
        headers["X-Webhook-Secret"] = hook["secret"]
    request = urllib.request.Request(hook["url"], json.dumps(payload).encode(), headers)
    try:
        urllib.request.urlopen(request, timeout=DELIVERY_TIMEOUT_S).close()
    except (URLError, OSError):
        return  # The Hub, too, lets a listener that is not there miss it.
