"""Rewards for how long an answer is. Lengths are tokens of the model, unless a unit says otherwise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import cos, pi
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout, known
from evaluator.types import Verdict

Tokens = Annotated[int, Field(ge=1)]


class LengthTarget(Reward):
    """-|n - length|: every unit away from n costs one. Source: the quick example of TRL (there in characters)."""

    name: Literal["length_target"]
    target: Tokens
    unit: Literal["characters", "tokens"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [-abs(float(self.target - self._length(rollout))) for rollout in rollouts]

    def _length(self, rollout: Rollout) -> int:
        return len(rollout.text) if self.unit == "characters" else rollout.tokens

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        n = self.target
        return Planted(right="a" * n, wrong="a" * 3 * n, right_tokens=n, wrong_tokens=3 * n)


class KimiLength(Reward):
    """v = 1/2 - (length - min) / (max - min) among the rollouts of a prompt: right ones earn v, wrong ones min(0, v).

    0 for all where all are equally long. Source: Kimi k1.5, arXiv 2501.12599, section 2.3.3; there and here per
    problem (Open-R1 takes the whole batch).
    """

    judged: ClassVar[bool] = True
    grouped: ClassVar[bool] = True
    name: Literal["kimi_length"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        lengths: dict[int, list[int]] = defaultdict(list)
        for rollout in rollouts:
            lengths[rollout.group].append(rollout.tokens)
        return [
            _kimi(rollout.tokens, lengths[rollout.group], verdict) if known(verdict) else None
            for rollout, verdict in zip(rollouts, verdicts, strict=True)
        ]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=boxed(gold), wrong=boxed(another(gold)), right_tokens=10, wrong_tokens=100)


class Cosine(Reward):
    """From `at_once` for an empty answer to `at_limit` for one of `max_tokens`, along half a cosine.

    at_limit + (at_once - at_limit) (1 + cos(pi p)) / 2 with p = length / max_tokens, held at 1: beyond the limit it
    stays at `at_limit`. Right answers: shorter is better. Wrong ones: longer is punished less, so that a model that
    does not know goes on thinking. Source: arXiv 2502.03373; Open-R1, `cosine`, whose command line turns the order of
    the wrong ones round.
    """

    judged: ClassVar[bool] = True
    name: Literal["cosine"]
    right_at_once: float
    right_at_limit: float
    wrong_at_once: float
    wrong_at_limit: float
    max_tokens: Tokens

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.wrong_at_once <= self.wrong_at_limit < self.right_at_limit <= self.right_at_once:
            raise ValueError(
                "the cosine's bounds must rise: wrong_at_once <= wrong_at_limit < right_at_limit <= right_at_once, "
                f"here {self.wrong_at_once}, {self.wrong_at_limit}, {self.right_at_limit}, {self.right_at_once}; "
                "write for example -1.0, -0.5, 0.5, 1.0"
            )
        return self

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [
            self._along(rollout.tokens, right=verdict is Verdict.CORRECT) if known(verdict) else None
            for rollout, verdict in zip(rollouts, verdicts, strict=True)
        ]

    def _along(self, tokens: int, *, right: bool) -> float:
        first, last = (self.right_at_once, self.right_at_limit) if right else (self.wrong_at_once, self.wrong_at_limit)
        return last + (first - last) * (1 + cos(pi * min(1.0, tokens / self.max_tokens))) / 2

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=boxed(gold), wrong=boxed(another(gold)))


class SoftOverlong(Reward):
    """0 up to max - margin tokens, falling evenly to -1 at max, and -1 beyond. Source: DAPO, arXiv 2503.14476, (13)."""

    name: Literal["soft_overlong"]
    max_tokens: Tokens
    margin_tokens: Tokens

    @model_validator(mode="after")
    def _margin_fits(self) -> Self:
        if self.margin_tokens >= self.max_tokens:
            raise ValueError(f"margin_tokens is {self.margin_tokens}, expected less than max_tokens {self.max_tokens}")
        return self

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        free = self.max_tokens - self.margin_tokens
        return [-min(1.0, max(0.0, (rollout.tokens - free) / self.margin_tokens)) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right="42", wrong="42", right_tokens=1, wrong_tokens=self.max_tokens)


def boxed(gold: str | None) -> str:
    """An answer as a model is asked to end it."""
    return f"\\boxed{{{gold}}}"


def another(gold: str | None) -> str:
    """An answer that is not the gold one, as plain as it: the next number where it is a whole number."""
    try:
        return str(int(gold or "") + 1)
    except ValueError:
        return f"{gold} + 1"


def _kimi(tokens: int, group: Sequence[int], verdict: Verdict) -> float:
    shortest, longest = min(group), max(group)
    if shortest == longest:
        return 0.0
    value = 0.5 - (tokens - shortest) / (longest - shortest)
    return value if verdict is Verdict.CORRECT else min(0.0, value)
