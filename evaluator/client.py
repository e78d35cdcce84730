"""The only door to aiohttp: one stream of requests to an engine, refilled the moment an answer arrives.

The life of a request: a worker takes it from the queue, waits while the server is suspect or asks for patience, and
sends it. An answer goes to `on_answer` before the worker takes the next request. Whatever happens instead is one of
four things: the row was refused (and is handed on as such), the server is busy (wait, no try used), the server is
suspect (all workers pause while one probes, then it is sent again), or a person is needed (the run ends).
"""

from __future__ import annotations

import asyncio
import random
import resource
import socket
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import aiohttp
import orjson
import uvloop
from yarl import URL

from evaluator.chat import Busy, Fault, read_answer, request_body
from evaluator.errors import Cancelled, EngineFailed, PlanRejected
from evaluator.retry import RetryPolicy
from evaluator.types import Completion, Refusal, Request

# uvicorn, which serves vLLM, closes a connection that was idle for 5 s; a request sent at that moment would look like a
# fault of the server.
IDLE_CONNECTION_S = 4.0
# A peer that vanished without a word is noticed after about two minutes, however long an answer may take.
KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 120_000}
# Files that a run has open besides its connections: journal, logs, pipes to grading processes.
OTHER_FILES = 256

OnAnswer = Callable[[Request, Completion | Refusal], None]
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


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamSummary:
    """What one stream did. `requests_sent` counts every HTTP request for an answer, repeated ones too."""

    answered: int
    refused: int
    requests_sent: int
    transient_faults: int
    back_pressure: int
    wall_s: float


async def stream(
    requests: Iterable[Request],
    endpoint: Endpoint,
    *,
    concurrency: int,
    on_answer: OnAnswer,
    cancel: asyncio.Event,
    policy: RetryPolicy = RetryPolicy(),  # noqa: B008  (frozen)
    alive: Callable[[], None] | None = None,
) -> StreamSummary:
    """Have every request answered, `concurrency` at a time, lowest `order` first, then as they came.

    `on_answer` is called once per request, from the event loop, before its slot is used again. `alive` is called before
    every request and whenever the server is suspect; it raises EngineFailed where our own engine process has ended.

    Raises:
        PlanRejected: this process may not open `concurrency` connections.
        EngineRefused: 401, 402 or 403: a person must act.
        EngineFailed: too many faults in a row, unhealthy for too long, or whatever `alive` raises.
        Cancelled: `cancel` was set. Requests in flight are aborted at the server too: their connections are closed.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}, expected at least 1 request in flight")
    queue = sorted(requests, key=lambda request: request.order)
    _allow_connections(min(concurrency, len(queue)))
    async with _session(endpoint, policy) as session:
        run = _Run(session, endpoint, policy, on_answer, alive or (lambda: None))
        feed = iter(queue)
        workers = [asyncio.create_task(run.work(feed)) for _ in range(min(concurrency, len(queue)))]
        stop = asyncio.create_task(cancel.wait())
        whole = asyncio.gather(*workers)
        either: set[asyncio.Future[Any]] = {whole, stop}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not whole.done():
                raise Cancelled("the run was cancelled; what was answered is in the journal, run it again to continue")
            whole.result()
        finally:
            for task in (*workers, stop):
                task.cancel()
            await asyncio.gather(*workers, stop, whole, return_exceptions=True)
        return run.summary()


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
        reason = f"no answer within {timeout_s:g} s" if isinstance(error, TimeoutError) else _describe(error)
        raise EngineUnreachable(
            f"{url} does not answer: {reason}; check the address and that the server runs"
        ) from error


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on an event loop of its own (uvloop). Works in any thread that has no running loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class _Run:
    """What the workers of one stream share: the gate that closes while the server is suspect, and the counts."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        endpoint: Endpoint,
        policy: RetryPolicy,
        on_answer: OnAnswer,
        alive: Callable[[], None],
    ) -> None:
        self.session, self.endpoint, self.policy = session, endpoint, policy
        self.on_answer, self.alive = on_answer, alive
        self.url = URL(f"{endpoint.base_url.rstrip('/')}/chat/completions")
        self.gate = asyncio.Event()
        self.gate.set()
        self.suspicions = 0
        self.in_a_row = 0
        self.hold_until = 0.0
        self.started = self.last_answer = monotonic()
        self.answered = self.refused = self.sent = self.faults = self.busy = 0

    async def work(self, feed: Iterator[Request]) -> None:
        """One slot: send, hand on, take the next, until the queue is empty."""
        for request in feed:
            answer = await self._answer(request)
            self.in_a_row, self.last_answer = 0, monotonic()
            self.answered += isinstance(answer, Completion)
            self.refused += isinstance(answer, Refusal)
            self.on_answer(request, answer)

    def summary(self) -> StreamSummary:
        """The counts so far."""
        return StreamSummary(
            answered=self.answered,
            refused=self.refused,
            requests_sent=self.sent,
            transient_faults=self.faults,
            back_pressure=self.busy,
            wall_s=monotonic() - self.started,
        )

    async def _answer(self, request: Request) -> Completion | Refusal:
        """Send one request until it is answered or refused for good."""
        body = request_body(request, self.endpoint.model)
        retries, turns_away, first_turned_away = 0, 0, monotonic()
        while True:
            await self._my_turn()
            suspicions = self.suspicions
            outcome = await self._send(request, body, retries)
            match outcome:
                case Completion() | Refusal():
                    return outcome
                case Busy():
                    turns_away += 1
                    await self._hold(outcome, turns_away, first_turned_away)
                case Fault():
                    retries += 1
                    await self._suspect(request, outcome, suspicions, retries)

    async def _send(self, request: Request, body: bytes, retries: int) -> Completion | Refusal | Fault | Busy:
        self.sent += 1
        started = monotonic()
        try:
            async with self.session.post(self.url, data=body, allow_redirects=False) as response:
                content = await response.read()
        except aiohttp.ClientError as error:
            return Fault(_describe(error))
        except TimeoutError:
            return Refusal(
                problem_id=request.problem_id,
                attempt=request.attempt,
                code="timed_out",
                reason=f"no whole answer within {self.policy.answer_timeout_s:g} s; extend the limit to ask once more",
            )
        if response.status in (301, 302, 303, 307, 308):
            return Fault(f"HTTP {response.status} to {response.headers.get('Location')}: use that address instead")
        return read_answer(
            request,
            response.status,
            content,
            retry_after=response.headers.get("Retry-After"),
            latency_s=monotonic() - started,
            retries=retries,
        )

    async def _my_turn(self) -> None:
        """Wait until the server is trusted and does not ask for patience."""
        while True:
            await self.gate.wait()
            patience = self.hold_until - monotonic()
            if patience <= 0:
                break
            await asyncio.sleep(patience + random.uniform(0, self.policy.first_delay_s))
        self.alive()

    async def _hold(self, busy: Busy, turn: int, since: float) -> None:
        """Back-pressure: an asked-for pause holds everybody, otherwise only this slot steps back."""
        self.busy += 1
        now = monotonic()
        if now - max(since, self.last_answer) > self.policy.back_pressure_s:
            raise EngineFailed(
                f"{self.endpoint.base_url} has answered nothing but {busy.what!r} for "
                f"{self.policy.back_pressure_s:g} s; wait until it has capacity, then run this again: it continues "
                "from the journal"
            )
        if busy.after_s is None:
            await asyncio.sleep(self.policy.delay_s(turn))
        else:
            self.hold_until = max(self.hold_until, now + min(busy.after_s, self.policy.longest_hold_s))

    async def _suspect(self, request: Request, fault: Fault, suspicions: int, retries: int) -> None:
        """Close the gate for everybody, probe until the server looks healthy, open it again.

        A request that was sent before the last suspicion arose fell to the same cause: it counts once.
        """
        self.faults += 1
        if suspicions == self.suspicions:
            self.suspicions += 1
            self.in_a_row += 1
            self.gate.clear()
            if self.in_a_row > self.policy.faults_in_a_row:
                raise EngineFailed(
                    f"{self.endpoint.base_url} failed {self.in_a_row} times in a row without one answer in between; "
                    f"last for problem {request.problem_id}, attempt {request.attempt}: {fault.what}. Look at the "
                    "server's log; a new run continues from the journal"
                )
            await self._until_healthy(fault)
            self.gate.set()
        if retries > 1:
            await asyncio.sleep(self.policy.delay_s(retries - 1))

    async def _until_healthy(self, fault: Fault) -> None:
        """Returns when /health says so. A server without that route gets a growing pause instead."""
        since, turn = monotonic(), self.in_a_row
        while True:
            self.alive()
            await asyncio.sleep(self.policy.delay_s(turn))
            unwell = await self._unwell()
            if unwell is None:
                return
            if monotonic() - since > self.policy.outage_s:
                raise EngineUnreachable(
                    f"{self.endpoint.root} has been unwell for {self.policy.outage_s:g} s ({unwell}); it began with: "
                    f"{fault.what}. Start it again; a new run continues from the journal"
                )
            turn += 1

    async def _unwell(self) -> str | None:
        """What is wrong with the server, None where nothing seems to be."""
        timeout = aiohttp.ClientTimeout(total=self.policy.probe_timeout_s)
        try:
            async with self.session.get(f"{self.endpoint.root}/health", timeout=timeout) as response:
                return f"/health answers {response.status}" if response.status >= 500 else None
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"/health: {_describe(error)}"


def _allow_connections(count: int) -> None:
    """Raise the soft limit on open files as far as `count` connections need; 1,024 is a common default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise PlanRejected(
            f"{count} requests in flight need {needed} open files, this process may have {hard}: lower --concurrency "
            f"to at most {max(1, hard - OTHER_FILES)}, or raise the hard limit (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


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


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
