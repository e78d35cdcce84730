"""The score at smaller budgets: what the bound promises, and what cutting and grading again says exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from evaluator import statistics
from evaluator.budget import Answered, budgets, curve, exact, lower_bound
from evaluator.errors import IncompleteMeasurement
from evaluator.grading_pool import GraderPool
from evaluator.template import token_starts
from evaluator.types import Extraction, GradeInput
from tests.leaderboard.measurements import measurement


@pytest.fixture(scope="module")
def grader() -> Iterator[GraderPool]:
    with GraderPool(workers=1) as pool:
        yield pool


def words(text: str) -> list[int]:
    """Where each word begins: a tokenizer whose tokens are words."""
    return [place for place, letter in enumerate(text) if letter != " " and (not place or text[place - 1] == " ")]


def answered(text: str, *, tokens: int | None = None, right: bool = True, **changes: object) -> Answered:
    item = GradeInput(problem_id="p", attempt=0, text=text, target="4", extraction=Extraction.MATH)
    item = replace(item, finish_reason="stop", **changes)  # type: ignore[arg-type]
    spent = len(words(text)) + len(words(item.reasoning or ""))
    return Answered(item=item, tokens=spent if tokens is None else tokens, right=right)


def at(attempt: Answered, *where: int, grader: GraderPool) -> list[float]:
    points = exact([attempt], where, per_problem=1, token_starts=words, grade=grader.submit)
    assert all(point.exact for point in points)
    return [point.score for point in points]


def test_the_grid_rises_to_the_full_budget_with_two_steps_per_halving() -> None:
    grid = budgets(32_768)
    assert (grid[0], grid[-1], len(grid)) == (512, 32_768, 13)
    assert grid[-3] == 16_384
    assert budgets(128) == tuple(sorted(set(budgets(128))))
    assert budgets(1) == (1,)


def test_the_bound_counts_what_was_right_within_the_budget() -> None:
    tokens, right = [[10, 20], [30, 40]], [[1, 0], [1, 1]]
    assert [p.score for p in lower_bound(tokens, right, (9, 10, 30, 40))] == [0, 25, 50, 75]


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 128), st.booleans()), min_size=2, max_size=2), min_size=1, max_size=20)
)
def test_the_bound_rises_with_the_budget_and_ends_at_the_score(attempts: list[list[tuple[int, bool]]]) -> None:
    tokens, right = (np.array([[a[part] for a in row] for row in attempts]) for part in (0, 1))
    bound = lower_bound(tokens, right, budgets(128))
    assert [p.score for p in bound] == sorted(p.score for p in bound)
    assert bound[-1].score == pytest.approx(statistics.score(right))
    assert bound[-1].ci95 == pytest.approx(statistics.ci95(right))
    assert all(point.ci95[0] <= point.score <= point.ci95[1] for point in bound)


def test_a_measurement_has_a_curve_that_ends_at_its_score() -> None:
    made = measurement([4, 2, 0])
    points = curve(made.plan, made.completions, made.scores)
    assert points[-1].tokens == made.plan.max_tokens
    assert points[-1].score == made.statistics.score == 50
    assert [p.score for p in points if p.tokens < 10] == [0] * sum(p.tokens < 10 for p in points)
    assert not any(point.exact for point in points)


def test_without_counts_of_tokens_there_is_no_curve() -> None:
    made = measurement([4])
    unknown = (replace(made.completions[0], completion_tokens=None), *made.completions[1:])
    assert curve(made.plan, unknown, made.scores) == ()


def test_an_answer_that_stood_before_the_cut_counts_exactly_but_not_in_the_bound(grader: GraderPool) -> None:
    attempt = answered("It is \\boxed{4} and I go on and on")
    assert at(attempt, 2, 3, 9, grader=grader) == [0, 100, 100]
    bound = lower_bound([[attempt.tokens]], [[attempt.right]], (2, 3, 9))
    assert [p.score for p in bound] == [0, 0, 100]


def test_an_answer_within_the_budget_keeps_its_verdict(grader: GraderPool) -> None:
    assert at(answered("\\boxed{5}", right=True), 1, 5, grader=grader) == [100, 100]


def test_a_cut_inside_the_thought_leaves_no_answer(grader: GraderPool) -> None:
    opened = answered("maybe \\boxed{4} hm </think> \\boxed{4} done", prompt_opens_thought=True)
    assert at(opened, 3, 5, 6, grader=grader) == [0, 100, 100]


def test_a_thought_that_came_apart_is_spent_first(grader: GraderPool) -> None:
    apart = answered("so \\boxed{4} indeed", reasoning="I think hard")
    assert at(apart, 2, 3, 4, 5, 6, grader=grader) == [0, 0, 0, 100, 100]


def test_the_exact_score_is_never_below_the_bound(grader: GraderPool) -> None:
    texts = ["a b \\boxed{4}", "\\boxed{4} c d e", "x y z", "a \\boxed{5} b c d"]
    attempts = [answered(text, right="{4}" in text) for text in texts]
    where = range(1, 6)
    points = exact(attempts, where, per_problem=2, token_starts=words, grade=grader.submit)
    shape = np.array([(a.tokens, a.right) for a in attempts]).reshape(2, 2, 2)
    bound = lower_bound(shape[..., 0], shape[..., 1], where)
    assert all(p.score >= b.score for p, b in zip(points, bound, strict=True))
    assert points[-1].score == bound[-1].score == 50


def test_a_cut_answer_that_cannot_be_graded_has_no_point() -> None:
    with GraderPool(workers=1) as closed:
        pass
    with pytest.raises(IncompleteMeasurement, match="1 answers cut at 2 tokens"):
        at(answered("\\boxed{\\sqrt{2}+\\sqrt{3}} a b"), 2, grader=closed)


def test_a_checkpoints_own_tokenizer_says_where_tokens_begin(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"one": 0, "two": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    starts = token_starts(tmp_path)
    assert starts is not None
    assert list(starts("one two äöü one")) == [0, 4, 8, 12]
    assert list(starts("")) == []


def test_a_folder_without_a_tokenizer_offers_no_cut(tmp_path: Path) -> None:
    assert token_starts(tmp_path) is None
