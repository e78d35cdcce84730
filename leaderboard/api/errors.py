"""Errors as problem details (RFC 9457): what happened, which value, what to do. One table gives each its status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from evaluator.errors import OpenR1Error

MEDIA_TYPE = "application/problem+json"
STATUS: Mapping[str, int] = {
    "result_not_found": 404,
    "job_not_found": 404,
    "not_found": 404,
    "not_signed_in": 401,
    "not_allowed": 403,
    "move_refused": 409,
    "lease_lost": 409,
    "version_conflict": 503,
    "store_unusable": 503,
    "hub_unreachable": 503,
}
"""By the code of an error; any other is the caller's to mend: 422."""
RETRY_AFTER_S = 30


class Problem(BaseModel):
    """Why a request was not carried out."""

    title: str = Field(description="the kind of problem")
    status: int = Field(description="the HTTP status")
    code: str = Field(description="the kind of problem, for programs")
    detail: str = Field(description="what happened and what to do")


class NotFound(OpenR1Error):
    """There is nothing at this address."""

    code = "not_found"


class NotSignedIn(OpenR1Error):
    """The request does not say, in a way that can be checked, who sends it."""

    code = "not_signed_in"


class NotAllowed(OpenR1Error):
    """Who sends the request may not do this."""

    code = "not_allowed"


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these errors, each as problem details."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": TITLES[status], "content": content} for status in statuses}


TITLES: Mapping[int, str] = {
    400: "not understood",
    401: "not signed in",
    403: "not allowed",
    404: "not found",
    405: "method not allowed",
    406: "format not available",
    409: "not possible now",
    413: "too large",
    415: "media type not supported",
    422: "not accepted",
    503: "not available now",
}


def install(app: FastAPI) -> None:
    """Answer every error of the application with problem details."""
    app.add_exception_handler(OpenR1Error, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """One problem as an answer."""
    body = {"title": TITLES.get(status, "failed"), "status": status, "code": code, "detail": detail}
    # A name in an error may hold half a character, which JSON in UTF-8 cannot.
    clean = {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in body.items()}
    return Response(orjson.dumps(clean), status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, OpenR1Error)
    status = STATUS.get(error.code, 422)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    return problem(status, error.code, str(error), headers)


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return problem(422, "invalid_request", "; ".join(faults)[:2000])


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = TITLES.get(error.status_code, "failed").replace(" ", "_")
    return problem(error.status_code, code, str(error.detail), error.headers)
