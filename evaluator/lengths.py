"""How long answers are, from recorded runs: for plans before the first answer, and for the order of the first requests.

Condensed from the token counts of 540 long chains of thought (32B and 14B models trained on reasoning traces, AIME
2024), 400 answers of QwQ-32B (MATH-500) and 1,800 of RL-trained 7B models (MATH-500 and both AIMEs). GPQA is not among
them: it is taken to lie between. Models differ by more than benchmarks do, so a range is given, and what is measured
replaces it from the first answers on.
"""

from __future__ import annotations

from dataclasses import dataclass

from evaluator.types import EvalPlan

# Mean, and a low and high mean among the recorded models, in tokens under a budget of 14k to 40k.
RECORDED = {
    "math_500": (4000.0, 1640.0, 4000.0),
    "aime_2024": (13000.0, 1900.0, 13600.0),
    "aime_2025": (13000.0, 1000.0, 13600.0),
    "gpqa_diamond": (8000.0, 2500.0, 11000.0),
    "arithmetic": (40.0, 20.0, 80.0),
}
UNKNOWN_SHARE = (0.30, 0.05, 0.60)
"""Of the answer budget, for a benchmark of which nothing is recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Tokens per answer: the mean that is planned with, and the range that it may turn out in."""

    mean: float
    low: float
    high: float


def expected_tokens(plan: EvalPlan) -> Tokens:
    """What one answer of a plan is expected to take; never more than its budget."""
    return expected_of(plan.benchmark, plan.max_tokens)


def expected_of(benchmark: str, max_tokens: int) -> Tokens:
    """The same, before there is a plan."""
    mean, low, high = RECORDED.get(benchmark) or tuple(share * max_tokens for share in UNKNOWN_SHARE)
    return Tokens(mean=min(mean, max_tokens), low=min(low, max_tokens), high=min(high, max_tokens))
