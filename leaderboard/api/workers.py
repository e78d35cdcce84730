"""What workers on other machines send: beats and progress, under a token that they share with the board."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from leaderboard.api.context import ApiContext
from leaderboard.api.errors import NotAllowed, NotFound, NotSignedIn, documented
from leaderboard.api.models import JobView, job_view
from leaderboard.api.views import json_response
from leaderboard.contracts import Beat, LiveState


class BeatForm(BaseModel):
    """A worker's sign of life, with what its job shows of itself."""

    model_config = ConfigDict(extra="forbid")

    job_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    attempt: int = Field(ge=1, le=1_000_000)
    worker: str = Field(max_length=200)
    state: LiveState | None = None


def router(context: ApiContext) -> APIRouter:
    """The routes for workers."""
    routes = APIRouter(tags=["workers"], prefix="/workers")

    @routes.post("/beats", response_model=JobView, responses=documented(400, 401, 403, 404, 409, 415, 422, 503))
    def beat(request: Request, form: BeatForm) -> Response:
        """Renew the lease of a running job, and show its progress. The answer says whether it was cancelled."""
        if context.beats is None or context.worker_token is None:
            raise NotFound("this board takes no beats: its workers commit them themselves")
        _check(request, context.worker_token)
        taken = context.beats.take(Beat(job_id=form.job_id, attempt=form.attempt, worker=form.worker, state=form.state))
        return json_response(job_view(taken))

    return routes


def _check(request: Request, expected: str) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotSignedIn("send the worker token as `Authorization: Bearer ...`")
    if not hmac.compare_digest(token.encode(), expected.encode()):
        raise NotAllowed("this is not the board's worker token; set WORKER_TOKEN to the same value on both sides")
