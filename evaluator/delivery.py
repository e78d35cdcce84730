"""How the answers of a stream are handed on: durable first, those that arrived together by one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from evaluator.types import Completion, Refusal, Request

Answered = tuple[Request, Completion | Refusal]
OnAnswer = Callable[[Request, Completion | Refusal], None]
Keep = Callable[[Sequence[Answered]], None]


class Delivery:
    """Hands answers on, those that arrived in one turn of the event loop together."""

    def __init__(self, keep: Keep | None, on_answer: OnAnswer) -> None:
        self._keep, self._on_answer = keep, on_answer
        self._arrived: list[Answered] = []
        self._turn: asyncio.Task[None] | None = None

    async def of(self, request: Request, answer: Completion | Refusal) -> None:
        """Returns when it was handed on. Raises what `keep` or `on_answer` raises, to all that came with it."""
        if self._turn is None:
            self._turn = asyncio.create_task(self._next_turn())
        self._arrived.append((request, answer))
        await asyncio.shield(self._turn)

    def now(self) -> None:
        """Hand on what is there."""
        arrived, self._arrived, self._turn = self._arrived, [], None
        if arrived and self._keep is not None:
            self._keep(arrived)
        for request, answer in arrived:
            self._on_answer(request, answer)

    async def _next_turn(self) -> None:
        self.now()
