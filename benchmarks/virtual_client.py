"""A client in virtual time before simulated servers: one queue, a cap per server, refilled the moment one ends."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.simulator import Server, ServerShape
from benchmarks.workloads import Attempt
from evaluator.concurrency import Controller, Load
from evaluator.order import LengthOrder, Order
from evaluator.types import Request, Sampling

READ_METRICS_EVERY_S = 1.0
TOKEN_S = 0.02
"""What one token of one answer takes at a full server: the slot model's only use for seconds is the order's clock."""
SAMPLING = Sampling()


class Cap(Protocol):
    """How many requests one server may have in flight."""

    @property
    def cap(self) -> int:
        """Requests that may be in flight now."""

    def see(self, load: Load | None, *, in_flight: int) -> None:
        """One reading of the server's metrics."""

    def answered(self, *, in_flight: int) -> None:
        """One answer arrived."""


@dataclass(slots=True)
class Constant:
    """A number that a person chose."""

    cap: int

    def see(self, load: Load | None, *, in_flight: int) -> None:
        """Nothing changes it."""

    def answered(self, *, in_flight: int) -> None:
        """Nothing changes it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """One run in virtual time."""

    wall_s: float
    generated: int
    preemptions: int
    recomputed: int
    restored: int
    caps: tuple[tuple[float, int], ...]


def requests(attempts: Sequence[Attempt]) -> dict[tuple[str, str, int], tuple[Request, Attempt]]:
    """Each attempt as the product's own request, by its key."""
    made = {}
    for attempt in attempts:
        request = Request(
            generation_key=attempt.benchmark,
            problem_id=str(attempt.problem),
            attempt=attempt.attempt,
            prompt="",
            system_prompt=None,
            seed=0,
            max_tokens=32_768,
            sampling=SAMPLING,
        )
        made[request.generation_key, request.problem_id, request.attempt] = request, attempt
    return made


class FirstCome:
    """The order in which the attempts are listed."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: list[Request] = []
        self._next = 0

    def add(self, request: Request) -> None:
        """A request joins."""
        self._waiting.append(request)

    def take(self) -> Request | None:
        """The next request."""
        if self._next == len(self._waiting):
            return None
        self._next += 1
        return self._waiting[self._next - 1]

    def learn(self, request: Request, tokens: int | None) -> None:
        """Nothing is learned."""

    def __len__(self) -> int:
        return len(self._waiting) - self._next


MakeOrder = Callable[[Callable[[], float]], Order]


def longest_first(clock: Callable[[], float]) -> Order:
    """The product's order."""
    return LengthOrder(clock=clock)


def first_come(clock: Callable[[], float]) -> Order:
    """As listed."""
    return FirstCome(clock=clock)


def in_slots(attempts: Sequence[Attempt], slots: int, make_order: MakeOrder) -> float:
    """Wall time in tokens where every answer takes its length, in one of `slots` slots."""
    now = 0.0
    order, known = make_order(lambda: now * TOKEN_S), requests(attempts)
    for request, _ in known.values():
        order.add(request)
    ends: list[tuple[float, int, Request, Attempt]] = []
    started = 0
    while len(order) or ends:
        while len(ends) < slots and (taken := order.take()) is not None:
            attempt = known[taken.generation_key, taken.problem_id, taken.attempt][1]
            started += 1
            heapq.heappush(ends, (now + attempt.output, started, taken, attempt))
        now, _, ended, attempt = heapq.heappop(ends)
        order.learn(ended, attempt.output)
    return now


def bound(attempts: Sequence[Attempt], slots: int) -> float:
    """No order is faster: the longest answer, or all tokens spread evenly over the slots."""
    return max(max(a.output for a in attempts), sum(a.output for a in attempts) / slots)


def in_simulator(
    attempts: Sequence[Attempt],
    shape: ServerShape,
    make_cap: Callable[[Callable[[], float]], Cap],
    make_order: MakeOrder = longest_first,
) -> Outcome:
    """One simulated server behind one queue."""
    return Client(attempts, [shape], make_cap, make_order).run()


class Client:
    """See the module."""

    def __init__(
        self,
        attempts: Sequence[Attempt],
        shapes: Sequence[ServerShape],
        make_cap: Callable[[Callable[[], float]], Cap],
        make_order: MakeOrder,
    ) -> None:
        self.now = 0.0
        self.servers = [Server(shape) for shape in shapes]
        self.caps = [make_cap(lambda: self.now) for _ in shapes]
        self.in_flight = [0] * len(shapes)
        self.most = [0] * len(shapes)
        self.order = make_order(lambda: self.now)
        self.known = list(requests(attempts).values())
        self._numbers = {id(request): number for number, (request, _) in enumerate(self.known)}
        self.history: list[tuple[float, int]] = []
        for request, _ in self.known:
            self.order.add(request)

    def run(self) -> Outcome:
        """Until everything is answered."""
        read_at = READ_METRICS_EVERY_S
        while True:
            self._refill()
            if all(server.idle for server in self.servers):
                return self._outcome()
            index = min(self._busy(), key=lambda i: self.servers[i].now)
            server = self.servers[index]
            for sequence in server.advance(read_at):
                self._answered(index, sequence.number)
            self.now = min(self.servers[i].now for i in self._busy()) if any(self._busy()) else server.now
            if self.now >= read_at:
                self._read_metrics()
                read_at = self.now + READ_METRICS_EVERY_S

    def _busy(self) -> list[int]:
        return [index for index, server in enumerate(self.servers) if not server.idle]

    def _refill(self) -> None:
        """Fill the emptiest server first."""
        while len(self.order):
            room = [cap.cap - flying for cap, flying in zip(self.caps, self.in_flight, strict=True)]
            index = max(range(len(room)), key=room.__getitem__)
            if room[index] <= 0:
                return
            request = self.order.take()
            if request is None:
                return
            server = self.servers[index]
            if server.idle:
                server.now = max(server.now, self.now)
            attempt = self.known[self._numbers[id(request)]][1]
            server.submit(self._numbers[id(request)], prompt=attempt.prompt, output=attempt.output)
            self.in_flight[index] += 1
            self.most[index] = max(self.most[index], self.in_flight[index])

    def _answered(self, index: int, number: int) -> None:
        self.in_flight[index] -= 1
        self.caps[index].answered(in_flight=self.in_flight[index])
        self.order.learn(self.known[number][0], self.known[number][1].output)

    def _read_metrics(self) -> None:
        for index, (server, cap) in enumerate(zip(self.servers, self.caps, strict=True)):
            load = Load(
                running=len(server.running),
                waiting=len(server.waiting),
                kv_usage=server.cache.usage(),
                preemptions=server.preemptions,
                generation_tokens=server.generated,
                kv_tokens=server.shape.kv_blocks * server.shape.block_tokens,
            )
            cap.see(load, in_flight=self.most[index])
            self.most[index] = self.in_flight[index]
        self.history.append((self.now, self.caps[0].cap))

    def _outcome(self) -> Outcome:
        servers = self.servers
        return Outcome(
            wall_s=max(server.now for server in servers),
            generated=sum(server.generated for server in servers),
            preemptions=sum(server.preemptions for server in servers),
            recomputed=sum(server.recomputed for server in servers),
            restored=sum(server.restored for server in servers),
            caps=tuple(self.history),
        )


def adaptive(clock: Callable[[], float]) -> Cap:
    """The product's controller, as it is."""
    return Controller(clock=clock)


def constant(cap: int) -> Callable[[Callable[[], float]], Cap]:
    """Always `cap` in flight."""
    return lambda _: Constant(cap)
