"""Faults on demand for the local Hub: single ones in order, or random ones from a seed."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
COMMITS = r"POST /api/\w+/[^/]+/[^/]+/commit/"
EVERYTHING = ""


@dataclass(kw_only=True)
class Fault:
    """What happens to the next `times` requests whose `METHOD /path` matches `where`.

    `status` answers instead of the Hub; without one the connection is cut. `after_success` lets the Hub do what was
    asked first: the client cannot know. `hang_s` waits before that.
    """

    where: str = COMMITS
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after_success: bool = False
    hang_s: float = 0.0
    times: int = 1


@dataclass(kw_only=True)
class Chaos:
    """Random faults: with `rate` for every request that matches, one of `kinds`, drawn from `seed`."""

    kinds: tuple[Fault, ...]
    rate: float
    seed: int = 0
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)


RATE_LIMITED = {"Retry-After": "0", "RateLimit": '"api";r=0;t=0'}
COMMIT_CHAOS = (
    Fault(status=412),
    Fault(status=429, headers=RATE_LIMITED),
    Fault(status=500),
    Fault(status=504, after_success=True),
    Fault(after_success=True),
    Fault(),
)
"""Every way in which a commit goes wrong. The 504 and the cut connection after success did commit."""


class Faults:
    """The middleware that lets them happen. `happened` counts them by kind."""

    def __init__(self) -> None:
        self.planned: list[Fault] = []
        self.chaos: Chaos | None = None
        self.happened: Counter[str] = Counter()

    @property
    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        @web.middleware
        async def faulty(request: web.Request, handler: Handler) -> web.StreamResponse:
            fault = self._next(request)
            if fault is None:
                return await handler(request)
            self.happened[_kind(fault)] += 1
            if fault.after_success:
                await handler(request)
            else:
                await request.read()
            await asyncio.sleep(fault.hang_s)
            if fault.status is None:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            return web.json_response({"error": "scripted"}, status=fault.status, headers=fault.headers)

        return faulty

    def _next(self, request: web.Request) -> Fault | None:
        line = f"{request.method} {request.path}"
        for fault in self.planned:
            if fault.times and re.match(fault.where, line):
                fault.times -= 1
                return fault
        chaos = self.chaos
        if chaos is not None:
            kinds = [fault for fault in chaos.kinds if re.match(fault.where, line)]
            if kinds and chaos.random.random() < chaos.rate:
                return chaos.random.choice(kinds)
        return None


def _kind(fault: Fault) -> str:
    word = str(fault.status) if fault.status is not None else "connection cut"
    return f"{word} after success" if fault.after_success else word
