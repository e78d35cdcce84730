"""The score at every smaller answer budget, from attempts that were answered under a larger one.

* Lower bound: the share of attempts that ended, and are right, within B tokens. It costs nothing. It is a bound because
  an answer may stand in the text before the model stops writing.
* Exact: every longer answer is cut at B tokens and graded again as one that the budget cut off.

Cutting needs the checkpoint's tokenizer. The text is split anew, so where a model wrote tokens that its own tokenizer
would join otherwise, the cut lies a few characters off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from evaluator import statistics
from evaluator.errors import IncompleteMeasurement
from evaluator.types import BudgetPoint, Completion, EvalPlan, GradeInput, Score, Verdict

HALVINGS = 6
STEPS_PER_HALVING = 2

TokenStarts = Callable[[str], Sequence[int]]
"""From a text to where each of its tokens begins, in characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """An attempt under the full budget: what to grade, the tokens it took, and whether it was right."""

    item: GradeInput
    tokens: int
    right: bool


def budgets(max_tokens: int) -> tuple[int, ...]:
    """The budgets of a curve, rising: two per halving, from a 64th of the full one up to it."""
    steps = range(HALVINGS * STEPS_PER_HALVING, -1, -1)
    return tuple(sorted({max(1, round(max_tokens / 2 ** (step / STEPS_PER_HALVING))) for step in steps}))


def curve(plan: EvalPlan, completions: Sequence[Completion], scores: Sequence[Score]) -> tuple[BudgetPoint, ...]:
    """The lower bound at each of `budgets`; its last point is the score. Empty where a count of tokens is missing.

    `completions` and `scores` belong together and hold `plan.attempts` of each problem, problem by problem.
    """
    tokens = [c.completion_tokens for c in completions if c.completion_tokens is not None]
    if len(tokens) < len(completions):
        return ()
    shape = (-1, plan.attempts)
    right = np.array([score.verdict is Verdict.CORRECT for score in scores]).reshape(shape)
    return lower_bound(np.array(tokens).reshape(shape), right, budgets(plan.max_tokens))


def lower_bound(tokens: ArrayLike, right: ArrayLike, at: Sequence[int]) -> tuple[BudgetPoint, ...]:
    """The share right within B tokens, for each B. `tokens` and `right` have shape (N problems, K attempts)."""
    spent, correct = np.asarray(tokens), np.asarray(right, dtype=bool)
    return tuple(_point(budget, correct & (spent <= budget), exact=False) for budget in at)


def exact(
    attempts: Sequence[Answered],
    at: Sequence[int],
    *,
    per_problem: int,
    token_starts: TokenStarts,
    grade: Callable[[GradeInput], Future[Score]],
) -> tuple[BudgetPoint, ...]:
    """The score at each budget B: answers of more than B tokens are cut there and graded again.

    `attempts` hold `per_problem` of each problem, problem by problem. `grade` is the `submit` of a GraderPool.

    Raises:
        IncompleteMeasurement: a cut answer could not be graded; the message counts them.
    """
    verdicts: list[list[bool | Future[Score]]] = [[] for _ in at]
    for attempt in attempts:
        longer = any(attempt.tokens > budget for budget in at)
        cut = _Cutter(attempt.item, token_starts) if longer else None
        for budget, row in zip(at, verdicts, strict=True):
            kept = cut is None or attempt.tokens <= budget
            row.append(attempt.right if kept or cut is None else grade(cut(budget)))
    return tuple(
        _point(budget, np.array(_settled(budget, row)).reshape(-1, per_problem), exact=True)
        for budget, row in zip(at, verdicts, strict=True)
    )


class _Cutter:
    """One answer, split into tokens once and cut at any budget. A thought that came apart is spent first."""

    def __init__(self, item: GradeInput, token_starts: TokenStarts) -> None:
        self._item = item
        self._thought = token_starts(item.reasoning) if item.reasoning else ()
        self._text = token_starts(item.text)

    def __call__(self, budget: int) -> GradeInput:
        left = budget - len(self._thought)
        reasoning, text = self._item.reasoning, self._item.text
        if left <= 0 and reasoning:
            reasoning, text = _first(reasoning, self._thought, budget), ""
        else:
            text = _first(text, self._text, left)
        return replace(self._item, reasoning=reasoning, text=text, finish_reason="length")


def _first(text: str, starts: Sequence[int], tokens: int) -> str:
    return text if len(starts) <= tokens else text[: starts[tokens]]


def _settled(budget: int, row: Sequence[bool | Future[Score]]) -> list[bool]:
    scores = {place: entry.result() for place, entry in enumerate(row) if isinstance(entry, Future)}
    failed = Counter(s.reason for s in scores.values() if s.verdict is Verdict.UNGRADED)
    if failed:
        counted = ", ".join(f"{reason} {count}" for reason, count in failed.items())
        raise IncompleteMeasurement(
            f"{failed.total()} answers cut at {budget:,} tokens could not be graded ({counted}); run it again, or name "
            "another budget"
        )
    return [
        scores[place].verdict is Verdict.CORRECT if isinstance(entry, Future) else entry
        for place, entry in enumerate(row)
    ]


def _point(budget: int, right: ArrayLike, *, exact: bool) -> BudgetPoint:
    return BudgetPoint(tokens=budget, score=statistics.score(right), ci95=statistics.ci95(right), exact=exact)
