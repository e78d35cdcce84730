"""The stream: one queue of requests over any number of servers, refilled the moment an answer arrives.

The life of a request: a slot of the server with the most room takes it from the queue and sends it. An answer goes to
`keep` and `on_answer` before the slot takes the next request. Whatever happens instead is one of four things: the row
was refused (and is handed on as such), the server is busy (the request goes back, no try used), the server is suspect
(it is paused and probed while others go on, and the request goes back), or a person is needed (the run ends).
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence, Sized
from dataclasses import dataclass
from time import monotonic
from typing import Any

from evaluator.backlog import Backlog, Source
from evaluator.chat import Busy, Fault, request_body
from evaluator.concurrency import MOST, Controller
from evaluator.connection import Endpoint, EngineUnreachable, allow_connections, fetch, run_async
from evaluator.delivery import Answered, Delivery, Keep, OnAnswer
from evaluator.errors import Cancelled, EngineFailed
from evaluator.order import LengthOrder, Order
from evaluator.recovery import Recovery
from evaluator.replica import Replica, ReplicaState, Served, Standing
from evaluator.retry import RetryPolicy
from evaluator.tail import sooner_elsewhere
from evaluator.types import Completion, Refusal, ReplicaRecord, Request

__all__ = [
    "LOOK_AHEAD",
    "Answered",
    "Endpoint",
    "EngineUnreachable",
    "ReplicaState",
    "Served",
    "StreamState",
    "StreamSummary",
    "fetch",
    "run_async",
    "stream",
]

LOOK_AHEAD = 4096
"""Of a source without a length, so many requests are read before they are sent: the window that is ordered."""
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamState:
    """A stream at this moment.

    `waiting` is what has been read and not been sent; `in_flight` what is at a server, by generation key, and `age_s`
    how long all of that has been there, added up.
    """

    waiting: int
    in_flight: Mapping[str, int]
    age_s: float
    replicas: tuple[ReplicaState, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamSummary:
    """What one stream did. `requests_sent` counts every HTTP request for an answer, repeated ones too."""

    answered: int
    refused: int
    requests_sent: int
    transient_faults: int
    back_pressure: int
    wall_s: float
    replicas: tuple[ReplicaRecord, ...] = ()


async def stream(
    requests: Source,
    servers: Endpoint | Served | Sequence[Endpoint | Served],
    *,
    on_answer: OnAnswer,
    cancel: asyncio.Event,
    keep: Keep | None = None,
    concurrency: int | None = None,
    order: Order | None = None,
    look_ahead: int = LOOK_AHEAD,
    policy: RetryPolicy = RetryPolicy(),  # noqa: B008  (frozen)
    alive: Callable[[], None] | None = None,
    on_state: Callable[[StreamState], None] | None = None,
    on_summary: Callable[[StreamSummary], None] | None = None,
) -> StreamSummary:
    """Have every request answered, by whichever server has room, in the order that `order` chooses.

    `requests` may be any iterable or async iterable. One without a length is read as it is needed, at most `look_ahead`
    requests before they are sent, so that it may be longer than memory. `on_answer` is called once per request, from
    the event loop, before its slot is used again: while it runs nothing else does, so a slow one slows the stream.
    `keep` is called first, with all answers that arrived together, so that one commit can make them durable.
    `concurrency` is how many requests are in flight over all servers; None lets each server's metrics decide. `order`
    is a LengthOrder unless given. `alive` is that of a single server (see `Served`). `on_state` is told once a second,
    `on_summary` once, however the stream ends.

    Raises:
        PlanRejected: this process may not open `concurrency` connections.
        EngineRefused: 401, 402 or 403: a person must act.
        EngineFailed: no server is left, they fail more than they answer, or whatever `alive` raises.
        Cancelled: `cancel` was set. Requests in flight are aborted at the server too: their connections are closed.
    """
    if concurrency is not None and concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}, expected at least 1 request in flight")
    run = _Stream(
        _as_served(servers, alive),
        source=requests,
        order=order if order is not None else LengthOrder(clock=monotonic),
        look_ahead=look_ahead,
        concurrency=concurrency,
        policy=policy,
        on_answer=on_answer,
        keep=keep,
        on_state=on_state,
    )
    try:
        await run.run(cancel)
    finally:
        summary = run.summary()
        if on_summary is not None:
            on_summary(summary)
    return summary


def _as_served(
    servers: Endpoint | Served | Sequence[Endpoint | Served], alive: Callable[[], None] | None
) -> list[Served]:
    listed = [servers] if isinstance(servers, Endpoint | Served) else list(servers)
    if not listed:
        raise ValueError("a stream needs at least one server to ask")
    return [_served(server, alive) if isinstance(server, Endpoint) else server for server in listed]


def _served(endpoint: Endpoint, alive: Callable[[], None] | None) -> Served:
    return Served(endpoint=endpoint, alive=alive) if alive else Served(endpoint=endpoint)


def _most_each(servers: int, concurrency: int | None, requests: int | None) -> int:
    """How many connections one server may get: with one left, all requests may be there."""
    each = min(MOST if concurrency is None else concurrency, max(requests, 1) if requests is not None else MOST)
    return max(1, allow_connections(1 if concurrency is None else each, each * servers) // servers)


class _Stream:
    """One run: the queue, the servers, and the tasks that work for them."""

    def __init__(
        self,
        servers: Sequence[Served],
        *,
        source: Source,
        order: Order,
        look_ahead: int,
        concurrency: int | None,
        policy: RetryPolicy,
        on_answer: OnAnswer,
        keep: Keep | None,
        on_state: Callable[[StreamState], None] | None,
    ) -> None:
        self.policy, self.on_state = policy, on_state
        self.delivery = Delivery(keep, on_answer)
        self.backlog = Backlog(source, order=order, look_ahead=look_ahead, policy=policy, on_more=self.fill)
        most = _most_each(len(servers), concurrency, len(source) if isinstance(source, Sized) else None)
        fixed = None if concurrency is None else max(1, -(-concurrency // len(servers)))
        self.replicas = [
            Replica(
                served, policy=policy, clock=monotonic, controller=Controller(clock=monotonic, most=most, fixed=fixed)
            )
            for served in servers
        ]
        self.recovery = Recovery(self.replicas, policy=policy, start=self._start, on_open=self.fill)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tasks: set[asyncio.Task[None]] = set()
        self.closed = False
        self.in_flight: Counter[str] = Counter()
        self.sent_at = 0.0  # added up over what is in flight, in seconds since the start
        self.answered = self.suspicions = 0
        self.started = self.last_answer = monotonic()

    async def run(self, cancel: asyncio.Event) -> None:
        """Until everything is answered, something ends the run, or `cancel` is set."""
        stop = asyncio.create_task(cancel.wait())
        try:
            for replica in self.replicas:
                if replica.served.joins:
                    self.recovery.join(replica)
            await asyncio.gather(*(replica.look() for replica in self.replicas))
            self._start(self._look())
            self._start(self.backlog.read())
            self.fill()
            either: set[asyncio.Future[Any]] = {self.ended, stop}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not self.ended.done():
                raise Cancelled("the run was cancelled; what was answered is in the journal, run it again to continue")
            self.ended.result()
        finally:
            self.closed = True
            stop.cancel()
            try:
                self.delivery.now()
            finally:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(stop, *self.tasks, return_exceptions=True)
                await asyncio.gather(*(replica.connection.close() for replica in self.replicas))

    def fill(self) -> None:
        """Give every server as many requests as it has room for, the least filled first."""
        if self.ended.done() or self.closed:
            return
        while True:
            open_ = [each for each in self.replicas if each.room() > 0 and not self._leaves_it(each)]
            request = self.backlog.take() if open_ else None
            if request is None:
                break
            replica = min(open_, key=Replica.filling)
            replica.slots += 1
            self._start(self._slot(replica, request))
        if self.backlog.over() and all(replica.slots == replica.resting for replica in self.replicas):
            self.ended.set_result(None)

    def summary(self) -> StreamSummary:
        """The counts so far."""
        replicas = tuple(replica.record() for replica in self.replicas)
        return StreamSummary(
            answered=sum(each.answered for each in replicas),
            refused=sum(each.refused for each in replicas),
            requests_sent=sum(each.requests_sent for each in replicas),
            transient_faults=sum(each.transient_faults for each in replicas),
            back_pressure=sum(each.back_pressure for each in replicas),
            wall_s=monotonic() - self.started,
            replicas=replicas,
        )

    async def _look(self) -> None:
        """Once a second: read every server's metrics, use what room there is, tell who watches."""
        while True:
            if self.on_state is not None:
                self.on_state(self._state())
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.gather(*(self._look_at(replica) for replica in self.replicas))
            self.fill()

    async def _look_at(self, replica: Replica) -> None:
        """Of an engine of ours that has ended, what is in flight is broken off now: TCP may need minutes to notice."""
        try:
            if replica.standing is Standing.OPEN:
                replica.served.alive()
        except EngineFailed as dead:
            self.recovery.suspect(replica, dead)
            await replica.moved(replica.connection.endpoint)
        else:
            await replica.look()

    def _leaves_it(self, replica: Replica) -> bool:
        """Whether what still waits is answered sooner without this server."""
        others = [each for each in self.replicas if each is not replica and each.available()]
        return sooner_elsewhere(
            replica.pace, [(each.pace, each.controller.cap) for each in others], waiting=len(self.backlog)
        )

    def _state(self) -> StreamState:
        replicas = tuple(replica.state() for replica in self.replicas)
        return StreamState(
            waiting=len(self.backlog),
            in_flight={key: count for key, count in self.in_flight.items() if count},
            age_s=self.in_flight.total() * (monotonic() - self.started) - self.sent_at,
            replicas=replicas,
        )

    async def _slot(self, replica: Replica, first: Request) -> None:
        """One place at one server: send, hand on, take the next, while there is one and the server may have it."""
        request: Request | None = first
        turned_away = 0
        try:
            while request is not None:
                turned_away = turned_away + 1 if await self._ask(replica, request) else 0
                if turned_away:
                    replica.resting += 1
                    await asyncio.sleep(self.policy.delay_s(turned_away))
                    replica.resting -= 1
                keeps = replica.keeps_slot() and not self._leaves_it(replica)
                request = self.backlog.take() if keeps else None
        finally:
            replica.slots -= 1
        self.fill()

    async def _ask(self, replica: Replica, request: Request) -> bool:
        """Send one request to its outcome. True where the server turned it away without saying for how long."""
        try:
            replica.served.alive()
        except EngineFailed as dead:
            self.backlog.give_back(request)
            self.recovery.suspect(replica, dead)
            return False
        suspicions, retries = replica.suspicions, self.backlog.retries(request)
        body = request_body(request, replica.connection.endpoint.model)
        replica.sending(request)
        sent_at = monotonic() - self.started
        self.in_flight[request.generation_key] += 1
        self.sent_at += sent_at
        try:
            outcome = await replica.connection.ask(request, body, retries=retries)
        finally:
            replica.in_flight -= 1
            self.in_flight[request.generation_key] -= 1
            self.sent_at -= sent_at
        match outcome:
            case Busy():
                return self._turned_away(replica, request, outcome)
            case Fault():
                self._failed(replica, request, outcome, suspicions)
            case answer:
                await self.delivery.of(request, answer)
                self._answered(replica, request, answer)
        return False

    def _answered(self, replica: Replica, request: Request, answer: Completion | Refusal) -> None:
        refused = isinstance(answer, Refusal)
        tokens = None if isinstance(answer, Refusal) else answer.completion_tokens
        latency_s = 0.0 if isinstance(answer, Refusal) else answer.latency_s
        self.answered, self.last_answer = self.answered + 1, monotonic()
        self.backlog.answered(request, tokens)
        replica.counted(tokens=tokens or 0, refused=refused, latency_s=latency_s)

    def _turned_away(self, replica: Replica, request: Request, busy: Busy) -> bool:
        """Back-pressure: an asked-for pause holds the whole server, otherwise only this slot steps back."""
        now = monotonic()
        replica.busy += 1
        replica.busy_since = now if replica.busy_since is None else replica.busy_since
        if now - max(replica.busy_since, self.last_answer) > self.policy.back_pressure_s:
            raise EngineFailed(
                f"{replica.name} has answered nothing but {busy.what!r} for {self.policy.back_pressure_s:g} s; wait "
                "until it has capacity, then run this again: it continues from the journal"
            )
        replica.controller.turned_away(in_flight=replica.in_flight)
        self.backlog.give_back(request)
        if busy.after_s is None:
            return True
        pause_s = min(busy.after_s, self.policy.longest_hold_s) + random.uniform(0, self.policy.first_delay_s)
        replica.hold(pause_s)
        asyncio.get_running_loop().call_later(pause_s, self.fill)
        return False

    def _failed(self, replica: Replica, request: Request, fault: Fault, suspicions: int) -> None:
        """The server did something that says nothing of the request: it goes back, the server is looked at.

        A request that was sent before the last suspicion arose fell to the same cause: it counts once.
        """
        replica.faults += 1
        self.backlog.failed(request)
        if suspicions != replica.suspicions or replica.standing is not Standing.OPEN:
            return
        last = f"last for problem {request.problem_id}, attempt {request.attempt}: {fault.what}"
        self.suspicions += 1
        if self.suspicions > self.policy.faults_allowed + self.answered:
            raise EngineFailed(
                f"the servers failed {self.suspicions} times over {self.answered} answers; {last}. Look at their logs; "
                "a new run continues from the journal"
            )
        replica.in_a_row += 1
        broken = replica.in_a_row > self.policy.faults_in_a_row
        message = f"{replica.name} failed {replica.in_a_row} times in a row without one answer in between; {last}."
        advice = "Look at the server's log; a new run continues from the journal"
        self.recovery.suspect(replica, EngineFailed(f"{message} {advice}") if broken else None, fault.what)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        """Run something beside; what it raises ends the stream."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if task.cancelled() or self.ended.done():
            return
        error = task.exception()
        if error is not None:
            self.ended.set_exception(error)
