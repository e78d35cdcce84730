"""The end of a stream over servers of unequal speed: a slow one must not begin what a fast one would end sooner."""

from __future__ import annotations

from collections.abc import Sequence

MEMORY = 0.1
CLEARLY = 1.5
"""Servers whose paces differ by less count as equally fast: a pace swings with the load."""
ENOUGH = 4
"""Answers before a pace is believed."""


class Pace:
    """Seconds that one server takes per token of an answer, as seen lately."""

    def __init__(self) -> None:
        self._seconds, self._answers = 0.0, 0

    def see(self, tokens: int, latency_s: float) -> None:
        """An answer came. Those without a length teach nothing."""
        if tokens <= 0 or latency_s <= 0:
            return
        self._answers += 1
        self._seconds += (latency_s / tokens - self._seconds) * max(MEMORY, 1 / self._answers)

    @property
    def s_per_token(self) -> float | None:
        """None while too little is known."""
        return self._seconds if self._answers >= ENOUGH else None


def sooner_elsewhere(own: Pace, others: Sequence[tuple[Pace, int]], *, waiting: int) -> bool:
    """Whether the clearly faster `others` (pace, places) would end sooner what a server of this pace begins.

    With `waiting` requests of T tokens before it, one more comes to its turn at the others after
    T x waiting / sum(places / pace) seconds and takes T x pace there, so its length does not matter.
    """
    slow = own.s_per_token
    if slow is None or not others:
        return False
    known = [(pace.s_per_token, places) for pace, places in others]
    faster = [(pace, places) for pace, places in known if pace is not None and pace * CLEARLY < slow]
    if not faster:
        return False
    turn = waiting / sum(places / pace for pace, places in faster)
    return turn + min(pace for pace, _ in faster) < slow
