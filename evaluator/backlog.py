"""The requests of a stream that wait: read from their source as needed, ordered, and put back where a server failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Sized

from evaluator.order import Order
from evaluator.retry import RetryPolicy
from evaluator.types import Request

Source = Iterable[Request] | AsyncIterable[Request]


class Backlog:
    """One queue for all servers.

    A source with a length is ordered as a whole; of any other, at most `look_ahead` requests are read before they are
    sent. `on_more` is called when requests have come in that were not there before.
    """

    def __init__(
        self, source: Source, *, order: Order, look_ahead: int, policy: RetryPolicy, on_more: Callable[[], None]
    ) -> None:
        self._order, self._policy, self._on_more = order, policy, on_more
        self._look_ahead = max(1, len(source) if isinstance(source, Sized) else look_ahead)
        self._iterator: Iterator[Request] | None = iter(source) if isinstance(source, Iterable) else None
        self._stream = None if isinstance(source, Iterable) else source
        self._wanted = asyncio.Event()
        self._retries: dict[tuple[str, str, int], int] = {}
        self._resting = 0

    def __len__(self) -> int:
        """Requests that were read and not sent."""
        return len(self._order) + self._resting

    def over(self) -> bool:
        """Whether nothing waits and nothing more will come."""
        return self._iterator is None and self._stream is None and not len(self)

    def take(self) -> Request | None:
        """The next request, after reading on in the source; None where there is none at this moment."""
        while self._iterator is not None and len(self._order) < self._look_ahead:
            request = next(self._iterator, None)
            if request is None:
                self._iterator = None
            else:
                self._order.add(request)
        taken = self._order.take()
        self._wanted.set()
        return taken

    async def read(self) -> None:
        """Keep the window full from a source that has to be waited for. Returns when it has ended."""
        if self._stream is None:
            return
        async for request in self._stream:
            self._order.add(request)
            self._on_more()
            while len(self._order) >= self._look_ahead:
                self._wanted.clear()
                await self._wanted.wait()
        self._stream = None
        self._on_more()

    def retries(self, request: Request) -> int:
        """How often a server failed it so far."""
        return self._retries.get(_key(request), 0)

    def answered(self, request: Request, tokens: int | None) -> None:
        """It will not come back."""
        self._retries.pop(_key(request), None)
        self._order.learn(request, tokens)

    def give_back(self, request: Request) -> None:
        """It was not sent, or turned away: it is next, and no try is used up."""
        self._order.add(request)

    def failed(self, request: Request) -> None:
        """A server failed it: it is next at once the first time, after a growing pause where it keeps failing."""
        retries = self._retries[_key(request)] = self.retries(request) + 1
        if retries == 1:
            self._order.add(request)
            return

        def rejoin() -> None:
            self._resting -= 1
            self._order.add(request)
            self._on_more()

        self._resting += 1
        asyncio.get_running_loop().call_later(self._policy.delay_s(retries - 1), rejoin)


def _key(request: Request) -> tuple[str, str, int]:
    return request.generation_key, request.problem_id, request.attempt
