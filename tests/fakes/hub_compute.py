"""What the local Hub runs: Spaces' settings, Jobs, Inference Endpoints. Their states move only when a test says so."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.fakes.hub_jobs import Jobs
from tests.fakes.hub_server import FakeHub, refusal

SPACE = "/api/{kind:spaces}/{owner}/{name}"
NOW = "2026-01-01T00:00:00.000Z"


def add_routes(router: web.UrlDispatcher, hub: FakeHub) -> None:
    spaces, jobs, endpoints = _Spaces(hub), Jobs(hub), Endpoints(hub)
    for what in ("secrets", "variables"):
        router.add_get(f"{SPACE}/{{what:{what}}}", spaces.all)
        router.add_post(f"{SPACE}/{{what:{what}}}", spaces.add)
        router.add_delete(f"{SPACE}/{{what:{what}}}", spaces.remove)
    router.add_get(SPACE + "/runtime", spaces.runtime)
    router.add_post(SPACE + "/hardware", spaces.hardware)
    router.add_post(SPACE + "/sleeptime", spaces.runtime)
    router.add_post(SPACE + "/restart", spaces.runtime)
    jobs.add_routes(router)
    router.add_post("/v2/endpoint/{namespace}", endpoints.create)
    router.add_get("/v2/endpoint/{namespace}", endpoints.all)
    router.add_get("/v2/endpoint/{namespace}/{name}", endpoints.one)
    router.add_delete("/v2/endpoint/{namespace}/{name}", endpoints.delete)
    router.add_post("/v2/endpoint/{namespace}/{name}/{action:pause|resume|scale-to-zero}", endpoints.act)
    hub.jobs, hub.endpoints = jobs, endpoints


class _Spaces:
    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub

    async def all(self, request: web.Request) -> web.Response:
        return web.json_response(self._shown(request))

    async def add(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self._values(request)[asked["key"]] = asked["value"]
        return web.json_response(self._shown(request))

    async def remove(self, request: web.Request) -> web.Response:
        self._values(request).pop((await request.json())["key"], None)
        return web.json_response(self._shown(request))

    async def runtime(self, request: web.Request) -> web.Response:
        return web.json_response(self._hub.repository(request)[1].runtime)

    async def hardware(self, request: web.Request) -> web.Response:
        self._hub.writer(request, request.match_info["owner"])
        runtime = self._hub.repository(request)[1].runtime
        runtime["hardware"]["requested"] = (await request.json())["flavor"]
        return web.json_response(runtime)

    def _values(self, request: web.Request) -> dict[str, str]:
        self._hub.writer(request, request.match_info["owner"])
        repository = self._hub.repository(request)[1]
        return repository.secrets if request.match_info["what"] == "secrets" else repository.variables

    def _shown(self, request: web.Request) -> dict[str, Any]:
        """Secrets by name alone: the Hub never gives their values back."""
        secret = request.match_info["what"] == "secrets"
        return {key: {} if secret else {"value": value} for key, value in self._values(request).items()}


class Endpoints:
    """Inference Endpoints by name. A test moves `endpoints[name]["status"]` on, to `running` with a `url`."""

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []

    async def create(self, request: web.Request) -> web.Response:
        self._hub.writer(request, request.match_info["namespace"])
        asked = await request.json()
        if asked["name"] in self.endpoints:
            raise refusal(409, None, "an endpoint of this name exists")
        status = {"state": "initializing", "createdAt": NOW, "updatedAt": NOW}
        self.endpoints[asked["name"]] = asked | {"status": status}
        return web.json_response(self.endpoints[asked["name"]])

    async def all(self, _: web.Request) -> web.Response:
        return web.json_response({"items": list(self.endpoints.values())})

    async def one(self, request: web.Request) -> web.Response:
        return web.json_response(self._endpoint(request))

    async def delete(self, request: web.Request) -> web.Response:
        self._hub.writer(request, request.match_info["namespace"])
        self._endpoint(request)
        self.deleted.append(request.match_info["name"])
        del self.endpoints[request.match_info["name"]]
        return web.Response()

    async def act(self, request: web.Request) -> web.Response:
        states = {"pause": "paused", "resume": "initializing", "scale-to-zero": "scaledToZero"}
        self._endpoint(request)["status"]["state"] = states[request.match_info["action"]]
        return web.json_response(self._endpoint(request))

    def _endpoint(self, request: web.Request) -> dict[str, Any]:
        endpoint = self.endpoints.get(request.match_info["name"])
        if endpoint is None:
            raise refusal(404, None, "Endpoint not found")
        return endpoint
