"""Submissions: sending one, its state, its log, and its progress as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from leaderboard.api.context import ApiContext
from leaderboard.api.errors import NotAllowed, NotSignedIn, documented
from leaderboard.api.models import JobId, JobView, Limit, Log, Offset, Page, job_view
from leaderboard.api.results import page
from leaderboard.api.views import TABLE_FORMATS, json_response, once
from leaderboard.dataset.columns import REQUESTS, request_record
from leaderboard.dataset.formats import Format
from leaderboard.submissions import SubmissionForm
from leaderboard.types import JobRecord, Status
from leaderboard.visitors import Visitor, not_theirs

ROWS = 100
LOOK_S = 1.0
ALIVE_S = 15.0
LONGEST_STREAM_S = 6 * 3600.0
ENDED = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED})
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "one event per change"}
}


def router(context: ApiContext) -> APIRouter:
    """The routes over submissions."""
    routes = APIRouter(tags=["submissions"], prefix="/submissions")

    @routes.get("", response_model=Page[JobView], responses=documented(422, 503))
    def submissions(status: Status | None = None, offset: Offset = 0, limit: Limit = ROWS) -> Response:
        """Every submission, newest first, page by page."""
        found = [job for job in context.queue.jobs() if status is None or job.status is status]
        chosen = page(found, offset, limit)
        return json_response({**chosen, "items": [_view(context, job) for job in chosen["items"]]})

    @routes.get("/table", response_model=list[dict[str, object]], responses=TABLE_FORMATS | documented(422, 503))
    def table(request: Request, format: Format = Format.JSON) -> Response:
        """Every submission as one flat table."""
        return once(request, REQUESTS, format, [request_record(job) for job in context.queue.jobs()])

    @routes.post("", status_code=201, response_model=JobView, responses=documented(400, 401, 403, 415, 422, 503))
    def submit(request: Request, form: SubmissionForm) -> Response:
        """Ask for an evaluation. Who asks is taken from the session, never from the body."""
        visitor = _signed_in(context, request)
        job = context.submit(form.model_dump(), visitor.name)
        made = json_response(_view(context, job))
        made.status_code = 201
        made.headers["Location"] = str(request.url_for("submission", job_id=job.submission.id))
        return made

    @routes.get("/{job_id}", name="submission", response_model=JobView, responses=documented(404, 422, 503))
    def submission(job_id: JobId) -> Response:
        """One submission, and while it runs its progress."""
        return json_response(_view(context, context.queue.find(job_id)))

    @routes.get("/{job_id}/log", response_model=Log, responses=documented(404, 422, 503))
    def log(job_id: JobId) -> Response:
        """The last lines of a job's log: of the running job, or of the one that failed."""
        job = context.queue.find(job_id)
        live = context.live.read(job_id)
        tail = job.failure.log_tail if job.failure else live.log_tail if live else ""
        return json_response({"id": job_id, "status": job.status, "lines": tail.splitlines()})

    @routes.get("/{job_id}/events", responses={**EVENTS, **documented(404, 422, 503)})
    async def events(
        job_id: JobId,
        seconds: Annotated[float, Query(gt=0, le=LONGEST_STREAM_S, description="end the stream after so long")] = 3600,
    ) -> StreamingResponse:
        """Server-sent events: `job` with the submission whenever it changes, until it ended."""
        first = await run_in_threadpool(_look, context, job_id)
        return StreamingResponse(
            _stream(context, job_id, first, seconds),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    @routes.post("/{job_id}/cancel", response_model=JobView, responses=documented(401, 403, 404, 409, 422, 503))
    def cancel(request: Request, job_id: JobId) -> Response:
        """End a job that is pending or running."""
        visitor = _may_act(context, request, context.queue.find(job_id))
        return json_response(_view(context, context.queue.cancel(job_id, by=visitor.name)))

    @routes.post("/{job_id}/retry", response_model=JobView, responses=documented(401, 403, 404, 409, 422, 503))
    def retry(request: Request, job_id: JobId) -> Response:
        """Set a failed job back to pending."""
        visitor = _may_act(context, request, context.queue.find(job_id))
        return json_response(_view(context, context.queue.retry(job_id, by=visitor.name)))

    return routes


def _view(context: ApiContext, job: JobRecord) -> JobView:
    live = context.live.read(job.submission.id) if job.status is Status.RUNNING else None
    return job_view(job, live)


def _signed_in(context: ApiContext, request: Request) -> Visitor:
    visitor = context.identify(request)
    if visitor is None:
        raise NotSignedIn(
            "sign in on the board's page first: submissions are made in the name of a Hugging Face account"
        )
    return visitor


def _may_act(context: ApiContext, request: Request, job: JobRecord) -> Visitor:
    visitor = _signed_in(context, request)
    if not visitor.may_act_on(job):
        raise NotAllowed(not_theirs(job))
    return visitor


def _look(context: ApiContext, job_id: str) -> JobView:
    return _view(context, context.queue.find(job_id))


async def _stream(context: ApiContext, job_id: str, now: JobView, seconds: float) -> AsyncIterator[bytes]:
    """The job at once, then whenever it changed; a comment now and then tells proxies that the stream lives."""
    loop = asyncio.get_running_loop()
    ends, said = loop.time() + seconds, loop.time()
    shown: JobView | None = None
    while True:
        if now != shown:
            shown, said = now, loop.time()
            yield b"event: job\ndata: " + orjson.dumps(now) + b"\n\n"
        if now.status in ENDED or loop.time() >= ends:
            return
        if loop.time() - said >= ALIVE_S:
            said = loop.time()
            yield b": alive\n\n"
        await asyncio.sleep(min(LOOK_S, max(0.0, ends - loop.time())))
        now = await run_in_threadpool(_look, context, job_id)
