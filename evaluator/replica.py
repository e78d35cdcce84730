"""One server of a stream: how many requests it gets, whether it may be asked now, and what it did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from evaluator.concurrency import Controller
from evaluator.connection import Connection, Endpoint
from evaluator.retry import RetryPolicy
from evaluator.tail import Pace
from evaluator.types import ReplicaRecord, Request


def _always_alive() -> None:
    """Nobody's process: there is nothing to look at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """One server to ask.

    `alive` is called before every request and whenever the server is suspect; it raises EngineFailed where our own
    engine process has ended. `restart` starts that engine again and returns where it listens then, or raises
    EngineFailed; None where the server is not ours to start. One that `joins` is not there yet: `restart` brings it
    while the others work already, and its endpoint means nothing before.
    """

    endpoint: Endpoint
    alive: Callable[[], None] = _always_alive
    restart: Callable[[], Awaitable[Endpoint]] | None = None
    joins: bool = False


class Standing(StrEnum):
    """Whether a server may be asked."""

    OPEN = "open"
    PAUSED = "paused"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaState:
    """One server at this moment."""

    base_url: str
    standing: Standing
    cap: int
    in_flight: int
    answered: int
    kv_usage: float | None


class Replica:
    """The mutable side of one server.

    `slots` are the coroutines that work for it, `resting` those that were turned away and wait a moment without a
    request, `in_flight` what was sent.
    """

    def __init__(self, served: Served, *, policy: RetryPolicy, clock: Callable[[], float], controller: Controller):
        self.served, self.policy, self.controller = served, policy, controller
        self._clock = clock
        self.connection = Connection(served.endpoint, policy)
        self.standing = Standing.OPEN
        self.hold_until = 0.0
        self.slots = self.resting = self.in_flight = self.most_in_flight = 0
        self.suspicions = self.in_a_row = 0
        self.unwell_since: float | None = None
        self.renewing = False
        self.busy_since: float | None = None
        self.pace = Pace()
        self.answered = self.refused = self.sent = self.tokens = self.faults = self.busy = self.restarts = 0

    @property
    def name(self) -> str:
        """Its address."""
        return self.connection.endpoint.base_url

    def available(self) -> bool:
        """Whether it may be sent anything now."""
        return self.standing is Standing.OPEN and self._clock() >= self.hold_until

    def room(self) -> int:
        """How many more slots may work for it now."""
        return self.controller.cap - self.slots if self.available() else 0

    def keeps_slot(self) -> bool:
        """Whether a slot that has just ended a request may take the next one."""
        return self.available() and self.slots <= self.controller.cap

    def usable(self) -> bool:
        """Whether it answers, or can be expected to do so soon."""
        if self.standing is not Standing.PAUSED or self.renewing or self.unwell_since is None:
            return self.standing is not Standing.LOST
        return self._clock() - self.unwell_since <= self.policy.outage_s

    def filling(self) -> float:
        """How far its cap is used: the least filled server gets the next request."""
        return self.slots / self.controller.cap

    def sending(self, request: Request) -> None:
        """A request goes out."""
        self.controller.expect(request.max_tokens)
        self.sent += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def hold(self, seconds: float) -> None:
        """The server asked for a pause."""
        self.hold_until = max(self.hold_until, self._clock() + seconds)

    def counted(self, *, tokens: int, refused: bool, latency_s: float = 0.0) -> None:
        """It said something about a request: whatever was wrong before is over."""
        self.in_a_row, self.busy_since = 0, None
        self.pace.see(tokens, latency_s)
        self.answered += not refused
        self.refused += refused
        self.tokens += tokens
        self.controller.answered(in_flight=self.in_flight)

    async def look(self) -> None:
        """Read its metrics once and let the cap follow."""
        if self.standing is not Standing.OPEN:
            return
        most, self.most_in_flight = self.most_in_flight, self.in_flight
        self.controller.see(await self.connection.load(), in_flight=max(most, self.in_flight))

    async def moved(self, endpoint: Endpoint) -> None:
        """It was started again, perhaps at another address."""
        old, self.connection = self.connection, Connection(endpoint, self.policy)
        self.controller.restarted()
        await old.close()

    def state(self) -> ReplicaState:
        """What people see of it."""
        load = self.controller.load
        return ReplicaState(
            base_url=self.name,
            standing=self.standing,
            cap=self.controller.cap,
            in_flight=self.in_flight,
            answered=self.answered,
            kv_usage=load.kv_usage if load else None,
        )

    def record(self) -> ReplicaRecord:
        """What it did."""
        return ReplicaRecord(
            answered=self.answered,
            refused=self.refused,
            requests_sent=self.sent,
            completion_tokens=self.tokens,
            transient_faults=self.faults,
            back_pressure=self.busy,
            restarts=self.restarts,
            history=self.controller.history,
        )
