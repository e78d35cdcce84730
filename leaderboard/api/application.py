"""The API as one application, to be mounted beside the page; its description is `openapi.json`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from leaderboard.api import badge, board, errors, results, submissions, webhooks, workers
from leaderboard.api.context import ApiContext
from leaderboard.api.errors import Problem
from leaderboard.api.mcp import mcp_route
from leaderboard.api.tools import board_tools

VERSION = "1"
PREFIX = "/api/v1"
DESCRIPTION = """Scores of open reasoning models that can be opened and reproduced.

Scores, errors and intervals are in points from 0 to 100. Answers carry an ETag and are compressed; a repeated request
with `If-None-Match` gets 304. Errors are problem details (RFC 9457). `format` gives tables as JSON, CSV or Parquet."""


def build_api(context: ApiContext) -> FastAPI:
    """Every route under `/api/v1`, to be mounted there."""
    # No page of documentation of FastAPI's: its scripts come from elsewhere, and everything here is served from here.
    app = FastAPI(title="open-r1 leaderboard", version=VERSION, description=DESCRIPTION, docs_url=None, redoc_url=None)
    for routes in (board, badge, results, submissions, workers, webhooks):
        app.include_router(routes.router(context))
    errors.install(app)
    _describe(app)
    return app


def build_root(context: ApiContext) -> FastAPI:
    """The application that the server runs: API and agents' protocol, and room for the page at every other address."""
    root = FastAPI(openapi_url=None)
    # A path that no route can match, such as one with a line feed, ends here and not in the API.
    errors.install(root)
    root.router.routes.append(mcp_route(board_tools(context.board, context.queue)))
    root.mount(PREFIX, build_api(context))
    return root


def _describe(app: FastAPI) -> None:
    """Let the description say what the API really answers: problem details for what does not fit the parameters."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes,
                servers=[{"url": PREFIX}],
            )  # fmt: skip
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = Problem.model_json_schema()
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
