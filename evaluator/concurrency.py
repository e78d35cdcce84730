"""How many requests one server gets at a time: a controller that learns it from the server's own metrics.

A full KV cache makes vLLM preempt: it drops an answer's cache and computes it again. Too few requests leave it idle.
The controller grows its cap while the cache has room and cuts it when something was preempted:

* slow start while the cache is less than `slow_start_kv` full, but not beyond what answers of the length seen so far
  will fill: just after the start all answers are young, and a cache that looks empty is already spoken for. What fits
  even if every answer takes its whole budget (up to `certain_most`) is sent at once;
* then `growth` every `growth_every_s` up to `full_kv`, faster while the cache is rather empty;
* one cut per episode of preemptions, and no two within `between_cuts_s`;
* no growth without fresh metrics, while the cap was not really used, or while requests wait inside the server;
* errors never grow it; being turned away (HTTP 429, 503) is back-pressure and brings it down to what was accepted.

A server without such metrics gets `blind_start`, doubled with every round of answers up to `blind_most`. Pure: time
comes from the `clock`, everything else from the caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from evaluator.types import CapPoint

MOST = 8192
"""Requests in flight at one server, whatever its metrics say."""
HISTORY_POINTS = 600
"""More points of history are thinned to half: enough for a plot, however long the run takes."""
QUIET_READINGS = 10
"""Where the cap does not move, every tenth reading is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """The controller's constants. They hold for all servers: there is nothing to tune."""

    start: int = 16
    slow_start_factor: float = 1.5
    slow_start_every_s: float = 1.0
    slow_start_kv: float = 0.75
    certain_most: int = 128
    growth: float = 0.01
    growth_while_empty: float = 0.05
    growth_every_s: float = 5.0
    full_kv: float = 0.90
    cut: float = 0.92
    between_cuts_s: float = 30.0
    waiting_share: float = 0.05
    """A server that makes more than this share of its running requests wait has enough."""
    expected_share: float = 0.25
    """Until answers arrive, one is expected to take this share of the budget it was given."""
    unknown_budget: int = 32_768
    cached_share: float = 0.8
    """Tokens that an answer under way holds on average, over the mean length of answers: (1 + cv^2) / 2 of a
    distribution whose standard deviation is cv = 0.75 of its mean."""
    blind_start: int = 64
    blind_most: int = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One reading of a server's metrics; None for what it does not tell. Counters are totals since it started."""

    running: int
    waiting: int
    kv_usage: float | None = None
    preemptions: int | None = None
    generation_tokens: int | None = None
    kv_tokens: int | None = None
    """What the whole KV cache holds."""


class Controller:
    """The cap of one server.

    Call `see` with every reading (about one a second), `answered` and `turned_away` as it happens, `expect` with the
    answer budget of what is sent, and keep at most `cap` requests in flight. `fixed` is a person's own number: such a
    cap never moves.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        most: int = MOST,
        fixed: int | None = None,
        rules: Rules = Rules(),
    ) -> None:
        self.rules = rules
        self._clock, self._fixed, self._most = clock, fixed, max(1, most)
        self._cap = float(min(fixed or rules.start, self._most))
        self._began = self._grown_at = clock()
        self._cut_at: float | None = None
        self._slow_start = True
        self._load: Load | None = None
        self._blind: bool | None = None
        self._round = 0
        self._budget, self._answers = 0, 0
        self._tokens_before: int | None = None
        self._history: list[CapPoint] = []
        self._keep_every, self._unkept = QUIET_READINGS, 0
        self._note("start", 0)

    @property
    def cap(self) -> int:
        """Requests that may be in flight now."""
        return max(1, int(self._cap))

    @property
    def load(self) -> Load | None:
        """The last reading; None where there is none."""
        return self._load

    @property
    def history(self) -> tuple[CapPoint, ...]:
        """The cap from the beginning on: every change of a short run, a thinned choice of a long one."""
        return tuple(self._history)

    def expect(self, max_tokens: int) -> None:
        """A request with this answer budget goes out."""
        self._budget = max(self._budget, max_tokens)

    def see(self, load: Load | None, *, in_flight: int) -> None:
        """Take in one reading of the metrics; None where it failed or the server has none.

        `in_flight` is the most that was in flight since the last reading: a cap that was not reached does not grow.
        """
        before = self._load
        self._load = load if load is not None else before
        if load is not None and self._tokens_before is None:
            self._tokens_before = load.generation_tokens
        if self._fixed is not None:
            self._keep("fixed", in_flight)
        elif load is None or load.kv_usage is None:
            self._without_metrics(in_flight)
        elif _preempted(before, load):
            self._blind = False
            # What was not reached cannot have been too much: the cut is from what really was in flight.
            self._cut("preempted", in_flight, of=min(self._cap, max(in_flight, 1)))
        else:
            self._blind = False
            if _is_news(before, load):
                self._grow(load, load.kv_usage, in_flight)

    def answered(self, *, in_flight: int) -> None:
        """An answer arrived while `in_flight` requests were. Without metrics rounds of them grow the cap."""
        self._answers += 1
        if not self._blind or self._fixed is not None:
            return
        self._round = self._round + 1 if in_flight >= self.cap else 0
        if self._round < self.cap:
            return
        self._round = 0
        grown = 2 * self._cap if self._slow_start else self._cap + 1
        if self._cap < self.rules.blind_most:
            self._set(min(grown, self.rules.blind_most), "a round of answers", in_flight)

    def turned_away(self, *, in_flight: int) -> None:
        """The server said 429 or 503. `in_flight` is how many other requests it has accepted."""
        if self._fixed is not None:
            return
        self._cut("turned away", in_flight, of=self._cap)
        if in_flight < self.cap:
            self._set(in_flight, "turned away", in_flight)

    def restarted(self) -> None:
        """The server was started again: its counters begin anew; the cap is as good a guess as before."""
        self._load = None
        self._tokens_before, self._answers = None, 0

    def _grow(self, load: Load, kv_usage: float, in_flight: int) -> None:
        rules, now = self.rules, self._clock()
        if kv_usage >= rules.slow_start_kv:
            self._slow_start = False
        enough = load.waiting > max(1.0, rules.waiting_share * load.running)
        every_s = rules.slow_start_every_s if self._slow_start else rules.growth_every_s
        if in_flight < self.cap or enough or kv_usage >= rules.full_kv or now - self._grown_at < every_s:
            self._keep("steady", in_flight)
            return
        self._grown_at = now
        if self._slow_start:
            grown = min(self._cap * rules.slow_start_factor, max(self._cap, self._fitting(load)))
            self._set(max(grown, self._certain(load)), "slow start", in_flight)
        else:
            factor = rules.growth_while_empty if kv_usage < rules.slow_start_kv else rules.growth
            self._set(self._cap * (1 + factor), "growth", in_flight)

    def _certain(self, load: Load) -> float:
        """How many answers fit whatever their lengths, as far as that is worth a jump."""
        if load.kv_tokens is None or not self._budget:
            return 0.0
        return min(self.rules.certain_most, self.rules.slow_start_kv * load.kv_tokens / self._budget)

    def _fitting(self, load: Load) -> float:
        """How many answers will fill the cache to `slow_start_kv` once they are of all ages; infinite where unknown.

        The mean length is estimated as for lifetimes of which some have not ended yet: all tokens generated over the
        answers that ended, with one more of the expected length to begin with.
        """
        rules = self.rules
        if load.kv_tokens is None:
            return math.inf
        generated = (load.generation_tokens or 0) - (self._tokens_before or 0)
        guess = rules.expected_share * (self._budget or rules.unknown_budget)
        mean = (generated + guess) / (self._answers + 1)
        held_now = (load.kv_usage or 0.0) * load.kv_tokens / max(1, load.running)
        return rules.slow_start_kv * load.kv_tokens / max(1.0, rules.cached_share * mean, held_now)

    def _cut(self, why: str, in_flight: int, *, of: float) -> None:
        now = self._clock()
        self._slow_start, self._grown_at = False, now
        if self._cut_at is not None and now - self._cut_at < self.rules.between_cuts_s:
            self._keep(why, in_flight)
            return
        self._cut_at = now
        self._set(of * self.rules.cut, why, in_flight)

    def _without_metrics(self, in_flight: int) -> None:
        """From the beginning: the blind start. Where metrics broke off: the cap stays as it is."""
        if self._blind is None:
            self._blind = True
            self._set(max(self._cap, self.rules.blind_start), "no metrics", in_flight)
        self._keep("no metrics", in_flight)

    def _set(self, cap: float, why: str, in_flight: int) -> None:
        before, self._cap = self.cap, min(max(1.0, cap), float(self._most))
        if self.cap != before:
            self._note(why, in_flight)

    def _keep(self, why: str, in_flight: int) -> None:
        """Nothing changed; now and then that is worth a point."""
        self._unkept += 1
        if self._unkept >= self._keep_every:
            self._note(why, in_flight)

    def _note(self, why: str, in_flight: int) -> None:
        self._unkept = 0
        at_s = round(self._clock() - self._began, 3)
        kv_usage = self._load.kv_usage if self._load else None
        self._history.append(CapPoint(at_s=at_s, cap=self.cap, in_flight=in_flight, kv_usage=kv_usage, why=why))
        if len(self._history) > HISTORY_POINTS:
            del self._history[1:-1:2]
            self._keep_every *= 2


def _is_news(before: Load | None, now: Load) -> bool:
    """Whether a reading is fresh: a server that is at work and made no token since the last one tells old news."""
    if before is None or now.generation_tokens is None or now.running == 0:
        return True
    return now.generation_tokens != before.generation_tokens


def _preempted(before: Load | None, now: Load) -> bool:
    if before is None or before.preemptions is None or now.preemptions is None:
        return False
    return now.preemptions > before.preemptions
