"""How long the answers of a result are, by what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluator.types import Verdict

BINS = 24
OUTCOMES = (Verdict.CORRECT, Verdict.INCORRECT, Verdict.NO_ANSWER)


@dataclass(frozen=True, kw_only=True, slots=True)
class Length:
    """One attempt: its tokens (None where the server did not count them), and what became of it."""

    attempt: int
    tokens: int | None
    verdict: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Answers of `low` up to `high` tokens, the last included; counts by verdict, in the order of `OUTCOMES`."""

    low: int
    high: int
    counts: tuple[int, int, int]


def histogram(lengths: Sequence[Length]) -> tuple[Bin, ...]:
    """Equal bins from 0 to the longest answer; empty where a length is missing or there is no answer."""
    tokens = [length.tokens for length in lengths if length.tokens is not None]
    if not tokens or len(tokens) < len(lengths):
        return ()
    width = -(-max(max(tokens), 1) // BINS)
    counts = [[0] * len(OUTCOMES) for _ in range(BINS)]
    for count, length in zip(tokens, lengths, strict=True):
        if length.verdict in OUTCOMES:
            counts[min(max(count - 1, 0) // width, BINS - 1)][OUTCOMES.index(Verdict(length.verdict))] += 1
    return tuple(
        Bin(low=n * width + 1 if n else 0, high=(n + 1) * width, counts=(each[0], each[1], each[2]))
        for n, each in enumerate(counts)
        if n * width < max(tokens)
    )
