"""What the local Hub runs: Spaces' settings, Jobs, Inference Endpoints. Their states move only when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.fakes.hub_jobs import Jobs
from tests.fakes.hub_server import FakeHub, refusal

SPACE = "/api/{kind:spaces}/{owner}/{name}"
NOW = "2026-01-01T00:00:00.000Z"
HARDWARE = (
    ("intel-spr", 1, 0.03, "available"),
    ("nvidia-l4", 1, 0.8, "available"),
    ("nvidia-l40s", 1, 1.8, "not_available"),
    ("nvidia-a100", 1, 2.5, "low_availability"),
    ("nvidia-h200", 8, 40.0, "available"),
)


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
    router.add_get("/v2/provider/{namespace}", endpoints.hardware)
    router.add_delete("/v2/endpoint/{namespace}/{name}", endpoints.delete)
    router.add_post("/v2/endpoint/{namespace}/{name}/{action:pause|resume|scale-to-zero}", endpoints.act)
    hub.jobs, hub.endpoints = jobs, endpoints


def _compute(kind: str, count: int, price: float, status: str) -> dict[str, Any]:
    return {
        "id": f"aws-us-east-1-{kind}-x{count}",
        "accelerator": "gpu" if kind.startswith("nvidia") else "cpu",
        "instanceType": kind,
        "instanceSize": f"x{count}",
        "architecture": kind,
        "numAccelerators": count,
        "memoryGb": 30,
        "pricePerHour": price,
        "status": status,
        "quota": {"maxAccelerators": 8, "usedAccelerators": 0},
    }


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
    """Inference Endpoints by name. A test moves `endpoints[name]["status"]` on, to `running` with a `url`.

    Where `serve` gives an address, a new one runs there at once.
    """

    def __init__(self, hub: FakeHub) -> None:
        self._hub = hub
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.deleted: list[str] = []
        self.refused: set[str] = set()
        """Those that may not be deleted."""
        self.serve: Callable[[dict[str, Any]], str | None] = lambda _: None

    async def create(self, request: web.Request) -> web.Response:
        self._hub.writer(request, request.match_info["namespace"])
        asked = await request.json()
        if asked["name"] in self.endpoints:
            raise refusal(409, None, "an endpoint of this name exists")
        status = {"state": "initializing", "createdAt": NOW, "updatedAt": NOW}
        if (url := self.serve(asked)) is not None:
            status |= {"state": "running", "url": url}
        image = next(iter(asked["model"]["image"].values()))
        made = asked | {"status": status, "healthRoute": image.get("healthRoute") or "/health"}
        self.endpoints[asked["name"]] = made
        return web.json_response(self.endpoints[asked["name"]])

    async def all(self, _: web.Request) -> web.Response:
        return web.json_response({"items": list(self.endpoints.values())})

    async def one(self, request: web.Request) -> web.Response:
        return web.json_response(self._endpoint(request))

    async def hardware(self, _: web.Request) -> web.Response:
        computes = [_compute(kind, count, price, status) for kind, count, price, status in HARDWARE]
        regions = [{"name": "us-east-1", "computes": computes}]
        return web.json_response({"vendors": [{"name": "aws", "regions": regions}]})

    async def delete(self, request: web.Request) -> web.Response:
        self._hub.writer(request, request.match_info["namespace"])
        self._endpoint(request)
        if request.match_info["name"] in self.refused:
            raise refusal(403, None, "you may not delete this endpoint")
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
