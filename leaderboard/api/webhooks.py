"""What the Hub sends when a watched repository changes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from starlette.concurrency import run_in_threadpool

from leaderboard.api.context import ApiContext
from leaderboard.api.errors import NotFound, documented
from leaderboard.api.models import JobView, job_view
from leaderboard.api.views import json_response


def router(context: ApiContext) -> APIRouter:
    """The routes that the Hub calls."""
    routes = APIRouter(tags=["webhooks"], prefix="/webhooks")

    @routes.post(
        "/hub", status_code=202, response_model=list[JobView], responses=documented(400, 401, 403, 404, 415, 422, 503)
    )
    async def hub(request: Request, payload: Annotated[dict[str, Any], Body()]) -> Response:
        """A new revision of a watched model submits itself. The answer lists what was submitted, if anything."""
        if context.hooks is None:
            raise NotFound("this board takes no webhooks: set WEBHOOK_SECRET and WATCHED_MODELS")
        secret = request.headers.get("x-webhook-secret")
        taken = await run_in_threadpool(context.hooks.take, payload, secret)
        made = json_response([job_view(job) for job in taken])
        made.status_code = 202
        return made

    return routes
