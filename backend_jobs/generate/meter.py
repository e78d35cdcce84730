"""How far a generation is: counts, speed, cost and the lengths as they grow, in constant memory."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic

from backend_jobs.datasets.statistics import LENGTH_BINS, Tally
from backend_jobs.generate.recipe import Price
from backend_jobs.generate.shards import DoneShard
from evaluator.types import Completion, Refusal
from leaderboard.datasets import LONG_TOKENS, Cost, GenerationProgress, LengthBin

RATE_WINDOW_S = 30.0
SLICE_S = 1.0


class Meter:
    """Counts of one run, what earlier starts did included. Its lengths are those of all answers, kept or not."""

    def __init__(
        self, price: Price, *, total: int | None, spent_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._price, self._total, self._clock = price, total, clock
        self._spent_s, self._tokens, self._started = spent_s, 0, clock()
        self._asking = False
        self._slices: deque[tuple[float, int, int]] = deque()
        self._bins: Counter[int] = Counter()
        self._long = 0
        self.tally = Tally()
        self.shards, self.samples = 0, 0
        self.message = "preparing"
        self.phase = "waiting"

    def known(self, shard: DoneShard) -> None:
        """A shard that an earlier start wrote."""
        self.samples += shard.samples
        self._written(shard)
        self._bins.update(shard.tally.bins)
        self._long += shard.tally.long_rows
        self._tokens += shard.tally.tokens

    def written(self, shard: DoneShard) -> None:
        """A shard of this start; its answers were counted as they came."""
        self._written(shard)

    def recovered(self, answers: int) -> None:
        """Answers of an open shard that an earlier start paid for."""
        self.samples += answers

    def begin(self) -> None:
        """The engine is asked from now on: this is the time that costs."""
        self._asking, self._started, self.phase = True, self._clock(), "generating"

    def end(self, phase: str) -> None:
        """The engine is no longer asked."""
        self._spent_s, self._asking, self.phase = self.seconds(), False, phase

    def answer(self, answer: Completion | Refusal) -> None:
        """One more answer is durable."""
        tokens = (answer.completion_tokens or 0) if isinstance(answer, Completion) else 0
        self.samples += 1
        self._tokens += tokens
        self._bins[LENGTH_BINS[bisect_left(LENGTH_BINS, tokens)]] += 1
        self._long += tokens > LONG_TOKENS
        now = self._clock()
        if self._slices and now - self._slices[-1][0] < SLICE_S:
            since, answers, sum_tokens = self._slices[-1]
            self._slices[-1] = since, answers + 1, sum_tokens + tokens
        else:
            self._slices.append((now, 1, tokens))

    def seconds(self) -> float:
        """How long engines have been asked, over all starts."""
        return self._spent_s + (self._clock() - self._started if self._asking else 0.0)

    def cost(self) -> Cost:
        """What it took so far."""
        price = self._price
        amount = self.seconds() / 3600 * price.per_hour + self._tokens / 1e6 * price.per_million_tokens
        free = not price.per_hour and not price.per_million_tokens
        return Cost(
            seconds=self.seconds(), tokens=self._tokens, amount=None if free else amount, currency=price.currency
        )

    def progress(self) -> GenerationProgress:
        """The newest state."""
        per_s, tokens_per_s = self._rates()
        left = None if self._total is None else max(0, self._total - self.samples)
        last = max(self._bins, default=0)
        return GenerationProgress(
            phase=self.phase,
            message=self.message if self.phase == "waiting" else "",
            samples=self.samples,
            total=self._total,
            shards=self.shards,
            kept=self.tally.rows,
            dropped=dict(self.tally.dropped.most_common()),
            right=self.tally.right.total(),
            wrong=self.tally.wrong.total(),
            tokens_per_s=tokens_per_s,
            eta_s=left / per_s if left is not None and per_s else None,
            cost=self.cost(),
            lengths=tuple(LengthBin(tokens=b, rows=self._bins[b]) for b in LENGTH_BINS if b <= last),
            long_rows=self._long,
        )

    def _written(self, shard: DoneShard) -> None:
        self.shards += 1
        self.tally.add(shard.tally)

    def _rates(self) -> tuple[float | None, float | None]:
        """Answers/s and tokens/s over the last half minute; None before anything came."""
        now = self._clock()
        while self._slices and now - self._slices[0][0] > RATE_WINDOW_S:
            self._slices.popleft()
        if not self._asking or not self._slices:
            return None, None
        span = max(now - self._slices[0][0], SLICE_S)
        return sum(n for _, n, _ in self._slices) / span, sum(tokens for _, _, tokens in self._slices) / span
