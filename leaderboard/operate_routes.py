"""What machines ask of the board: `/health` (does it answer), `/ready` (does it work), `/metrics` (Prometheus)."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from evaluator.types import to_json
from leaderboard.health import Health
from leaderboard.metrics import CONTENT_TYPE, Metrics

FRESH = {"Cache-Control": "no-store"}


def operate_routes(look: Callable[[], Health], metrics: Metrics) -> list[Route]:
    """The three routes, to be placed before the page's own."""

    async def health(_: Request) -> Response:
        return _json({"status": "ok"}, 200)

    async def ready(_: Request) -> Response:
        found = await run_in_threadpool(look)
        checks = [to_json(check) for check in found.checks]
        return _json({"ready": found.ready, "checks": checks}, 200 if found.ready else 503)

    async def exposition(_: Request) -> Response:
        return Response(await run_in_threadpool(metrics.exposition), media_type=CONTENT_TYPE, headers=FRESH)

    return [Route("/health", health), Route("/ready", ready), Route("/metrics", exposition)]


def _json(body: dict[str, object], status: int) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json", headers=FRESH)
