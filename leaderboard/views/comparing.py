"""What of a comparison the reader has opened: read from the address, written back into links."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from leaderboard.matrix import MOST, MatrixLine
from leaderboard.views.markup import page_link

NAMES = "abcd"
LINES_AT_FIRST = 60


class Order(StrEnum):
    """How the problems are sorted."""

    DISAGREEMENT = "disagreement"
    HARDEST = "hardest"
    BENCHMARK = "benchmark"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparing:
    """An address of the comparison.

    `keys` are plan keys, `attempts` the attempt that is opened of each (None: the one that stands for the result),
    `whole` lists every problem, `raw` shows texts letter by letter.
    """

    keys: tuple[str, ...] = ()
    order: Order = Order.DISAGREEMENT
    problem_id: str | None = None
    attempts: tuple[int | None, ...] = ()
    whole: bool = False
    raw: bool = False

    def link(self) -> str:
        """The address of this view."""
        chosen = dict(zip(NAMES, self.keys, strict=False))
        asked = ".".join("" if attempt is None else str(attempt) for attempt in self.attempts)
        return page_link(
            "compare",
            **chosen,
            order=None if self.order is Order.DISAGREEMENT else self.order.value,
            problem=self.problem_id,
            at=asked or None,
            rows="all" if self.whole else None,
            text="raw" if self.raw else None,
        )

    def attempt_of(self, place: int) -> int | None:
        """The attempt that the address opens of one result."""
        return self.attempts[place] if place < len(self.attempts) else None

    def with_attempt(self, place: int, attempt: int) -> tuple[int | None, ...]:
        """The attempts, one of them changed."""
        return tuple(attempt if at == place else self.attempt_of(at) for at in range(len(self.keys)))

    @property
    def matrix_key(self) -> str:
        """Names the matrix: where a reader sees it already, only the problem beneath has to be sent."""
        return "matrix-" + "-".join((*self.keys, self.order.value, str(self.whole), str(self.raw)))


def read_comparing(query: Mapping[str, str]) -> Comparing:
    """The view for the values of an address. What is not understood is left at its default."""
    order = query.get("order", "")
    attempts = query.get("at", "").split(".")
    return Comparing(
        keys=tuple(dict.fromkeys(query[name] for name in NAMES if query.get(name)))[:MOST],
        order=Order(order) if order in set(Order) else Order.DISAGREEMENT,
        problem_id=query.get("problem") or None,
        attempts=tuple(int(a) if re.fullmatch("[0-9]{1,6}", a, re.ASCII) else None for a in attempts[:MOST]),
        whole=query.get("rows") == "all",
        raw=query.get("text") == "raw",
    )


def ordered(lines: Sequence[MatrixLine], order: Order) -> list[MatrixLine]:
    """The problems as they are listed; within equals, in the benchmark's order."""
    match order:
        case Order.DISAGREEMENT:
            return sorted(lines, key=lambda line: -line.disagreement)
        case Order.HARDEST:
            return sorted(lines, key=lambda line: sum(line.shares))
        case Order.BENCHMARK:
            return list(lines)
