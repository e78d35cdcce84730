"""The only door to aiohttp: one engine over HTTP. Sends a request, asks how it is, reads its metrics."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Coroutine
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import aiohttp
import orjson
import uvloop
from yarl import URL

from evaluator.chat import Busy, Fault, read_answer
from evaluator.concurrency import Load
from evaluator.engine_metrics import read_load
from evaluator.errors import EngineFailed, PlanRejected
from evaluator.retry import RetryPolicy
from evaluator.types import Completion, Refusal, Request

# uvicorn, which serves vLLM, closes a connection that was idle for 5 s; a request sent at that moment would look like a
# fault of the server.
IDLE_CONNECTION_S = 4.0
# A peer that vanished without a word is noticed after about two minutes, however long an answer may take.
KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 120_000}
# Files that a run has open besides its connections: journal, logs, pipes to grading processes.
OTHER_FILES = 256
METRICS_TIMEOUT_S = 2.0
REDIRECTS = (301, 302, 303, 307, 308)

Outcome = Completion | Refusal | Fault | Busy
T = TypeVar("T")


class EngineUnreachable(EngineFailed):
    """Nothing answers at the engine's address, or it broke off in the middle."""

    code = "engine_unreachable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where an engine listens. `base_url` ends in /v1; `model` is the name it serves the weights under."""

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def root(self) -> str:
        """The address without /v1: where /health, /version, /metrics and /tokenize are."""
        return self.base_url.rstrip("/").removesuffix("/v1")


class Connection:
    """Any number of requests to one engine. To be made inside a running event loop, and closed."""

    def __init__(self, endpoint: Endpoint, policy: RetryPolicy) -> None:
        self.endpoint, self._policy = endpoint, policy
        self._url = URL(f"{endpoint.base_url.rstrip('/')}/chat/completions")
        self._session = _session(endpoint, policy)

    async def ask(self, request: Request, body: bytes, *, retries: int) -> Outcome:
        """Send one request and say what came of it; `retries` is carried into the completion.

        Raises:
            EngineRefused: 401, 402, 403: a person must act.
        """
        started = monotonic()
        try:
            async with self._session.post(self._url, data=body, allow_redirects=False) as response:
                content = await response.read()
        except aiohttp.ClientError as error:
            return Fault(describe(error))
        except TimeoutError:
            return Refusal(
                problem_id=request.problem_id,
                attempt=request.attempt,
                code="timed_out",
                reason=f"no whole answer within {self._policy.answer_timeout_s:g} s; extend the limit to ask once more",
            )
        if response.status in REDIRECTS:
            return Fault(f"HTTP {response.status} to {response.headers.get('Location')}: use that address instead")
        return read_answer(
            request,
            response.status,
            content,
            retry_after=response.headers.get("Retry-After"),
            latency_s=monotonic() - started,
            retries=retries,
        )

    async def unwell(self) -> str | None:
        """What is wrong with the server, None where nothing seems to be. One without /health seems well."""
        timeout = aiohttp.ClientTimeout(total=self._policy.probe_timeout_s)
        try:
            async with self._session.get(f"{self.endpoint.root}/health", timeout=timeout) as response:
                return f"/health answers {response.status}" if response.status >= 500 else None
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"/health: {describe(error)}"

    async def load(self) -> Load | None:
        """The server's metrics as one reading; None where it has none, or did not tell them in time."""
        timeout = aiohttp.ClientTimeout(total=METRICS_TIMEOUT_S)
        try:
            async with self._session.get(f"{self.endpoint.root}/metrics", timeout=timeout) as response:
                page = await response.read() if response.status == 200 else b""
        except (aiohttp.ClientError, TimeoutError):
            return None
        return read_load(page.decode("utf-8", errors="replace"))

    async def close(self) -> None:
        """Close every connection; the server aborts what it was answering."""
        await self._session.close()


async def fetch(
    url: str, *, method: str = "GET", json: Any = None, api_key: str | None = None, timeout_s: float = 10.0
) -> tuple[int, bytes]:
    """One small request to an engine: its health, version, models, metrics. Returns the status and the body.

    Raises:
        EngineUnreachable: nothing answered within `timeout_s`.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    body = None if json is None else orjson.dumps(json)
    try:
        async with (
            aiohttp.ClientSession(headers=_headers(api_key), timeout=timeout) as session,
            session.request(method, url, data=body) as response,
        ):
            return response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        reason = f"no answer within {timeout_s:g} s" if isinstance(error, TimeoutError) else describe(error)
        raise EngineUnreachable(
            f"{url} does not answer: {reason}; check the address and that the server runs"
        ) from error


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on an event loop of its own (uvloop). Works in any thread that has no running loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def allow_connections(needed: int, wanted: int) -> int:
    """Raise the soft limit on open files as far as `wanted` connections need; 1,024 is a common default.

    Returns how many connections this process may have, at most `wanted`.

    Raises:
        PlanRejected: fewer than `needed`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < needed + OTHER_FILES:
        raise PlanRejected(
            f"{needed} requests in flight need {needed + OTHER_FILES} open files, this process may have {hard}: lower "
            f"--concurrency to at most {max(1, hard - OTHER_FILES)}, or raise the hard limit (ulimit -Hn)"
        )
    if soft == resource.RLIM_INFINITY or soft >= files:
        return wanted
    allowed = files if hard == resource.RLIM_INFINITY else min(files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, allowed - OTHER_FILES)


def describe(error: BaseException) -> str:
    """An error on one line, named where it has no words of its own."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _session(endpoint: Endpoint, policy: RetryPolicy) -> aiohttp.ClientSession:
    # No limit on connections: a request that queued for one would have its time to answer run out while it waits.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_CONNECTION_S, socket_factory=_open_socket)
    return aiohttp.ClientSession(
        connector=connector,
        headers=_headers(endpoint.api_key),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=policy.answer_timeout_s, sock_connect=policy.connect_timeout_s),
    )


def _open_socket(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return opened


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    return headers | {"Authorization": f"Bearer {api_key}"} if api_key else headers
