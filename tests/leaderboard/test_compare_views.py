"""The comparison and the breakdown as the page shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.breakdown import letter_counts
from evaluator.types import Sampling
from leaderboard.board import Board
from leaderboard.compare import compare_results
from leaderboard.results import problem_rows, result_row
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import ProblemRow, ResultRow
from leaderboard.views import result as result_view
from leaderboard.views.breakdown import breakdown_section, position_note
from leaderboard.views.compare import choices, choose_two, compare_head, comparison_section, offered
from tests.leaderboard.measurements import checkpoint, measurement, publish
from tests.leaderboard.page_content import HOSTILE
from tests.leaderboard.test_views import assert_harmless

AT = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


def opened(correct: list[int], *, subjects: str = "", attempts: int = 4, bench: str = "math_500") -> list[ProblemRow]:
    rows = problem_rows(measurement(correct, bench=bench, attempts=attempts))
    return [replace(row, subject=s) for row, s in zip(rows, subjects, strict=True)] if subjects else rows


def row(correct: list[int], *, bench: str = "math_500", attempts: int = 4, **plan: object) -> ResultRow:
    made = measurement(correct, bench=bench, attempts=attempts, **plan)
    return result_row(made, checkpoint=checkpoint(), measured_at=AT)


# Comparison


def test_a_comparison_shows_both_scores_the_difference_and_its_meaning(store: SqliteStore) -> None:
    (a,) = publish(store, measurement([4, 3, 4, 4, 2, 4, 4, 3], model="owner/a"))
    (b,) = publish(store, measurement([1, 0, 2, 0, 1, 0, 1, 0], model="owner/b"))
    page = assert_harmless(comparison_section(compare_results(Board(store), a, b)))
    assert "The first scores higher than the second by 71.9 points" in page.text
    assert "Could this benchmark have shown it?" in page.text
    assert "+71.9 points" in page.text
    assert "8 of 8" in page.text
    assert {f"result?plan={a}", f"result?plan={b}", f"compare?a={b}&b={a}"} <= set(page.links)
    assert "mixes them" not in page.text


def test_a_mixture_of_protocols_is_said_first_and_spelled_out(store: SqliteStore) -> None:
    (a,) = publish(store, measurement([4, 3, 0]))
    (b,) = publish(store, measurement([4, 3, 0], sampling=Sampling(temperature=0.0)))
    text = assert_harmless(comparison_section(compare_results(Board(store), a, b))).text
    assert text.index("The comparison mixes them") < text.index("No difference")
    assert "temperature 0.6 vs 0.0" in text
    assert "not known" in text


def test_what_a_model_is_called_stays_text(store: SqliteStore) -> None:
    (a,) = publish(store, measurement([4, 3, 0], model=HOSTILE, system_prompt=HOSTILE))
    (b,) = publish(store, measurement([0, 3, 0], endpoint=HOSTILE))
    assert_harmless(comparison_section(compare_results(Board(store), a, b)))
    assert_harmless(compare_head() + choose_two())
    assert all("\u202e" not in label for label, _ in choices(Board(store).rows()))


def test_choices_are_ordered_by_benchmark_and_score_and_those_offered_share_the_benchmark(store: SqliteStore) -> None:
    (math,) = publish(store, measurement([4, 4], bench="math_500", model="owner/a"))
    (weak,) = publish(store, measurement([0, 1], bench="math_500", model="owner/b"))
    (other,) = publish(store, measurement([0, 1], model="owner/a"))
    rows = Board(store).rows()
    assert [key for _, key in choices(rows)] == [math, weak, other]
    assert [key for _, key in offered(rows, [weak])] == [weak, math]
    assert [key for _, key in offered(rows, [other])] == [other]
    assert offered(rows, []) == offered(rows, ["nowhere"]) == choices(rows)
    assert choices(rows)[0][0].startswith("MATH-500 · 100.0 · owner/a main")


# The protocol on a result's page


def test_a_row_under_the_standard_protocol_says_so() -> None:
    standard = measurement([4], bench="math_500").plan
    shown = result_view.result_head(row([4], grader_version=result_view.GRADER_VERSION))
    assert "Follows the standard protocol." in assert_harmless(shown).text
    assert standard.attempts == 4


def test_a_row_under_another_protocol_says_in_what_it_differs() -> None:
    shown = row([2], attempts=2, system_prompt=HOSTILE, grader_version=result_view.GRADER_VERSION)
    text = assert_harmless(result_view.result_head(shown)).text
    assert "Differs from the standard protocol (named first) in: attempts 4 vs 2; system prompt added" in text


def test_a_row_of_a_benchmark_that_is_gone_claims_nothing() -> None:
    gone = row([4])
    gone = replace(gone, benchmark="gone", plan=replace(gone.plan, benchmark="gone"))
    assert "standard protocol" not in result_view.result_head(gone)


# Breakdown


def test_subjects_and_levels_have_tables_with_intervals_and_a_word_of_caution() -> None:
    problems = [replace(p, level=str(n % 3)) for n, p in enumerate(opened([4, 2, 0, 4, 1, 0], subjects="AABBAB"))]
    text = assert_harmless(breakdown_section(row([4, 2, 0, 4, 1, 0]), problems)).text
    assert "By subject" in text
    assert "By level" in text
    assert "2 of 2 groups have fewer than 30 problems" in text
    assert "58.3" in text


def test_pass_at_k_and_the_majority_are_listed_by_number_of_tries() -> None:
    text = assert_harmless(breakdown_section(row([2, 0]), opened([2, 0]))).text
    for line in ("pass@125.0the score", "pass@241.7at least one right in 2 tries", "pass@450.0at least one", "maj@4"):
        assert line in text
    assert "By subject" not in text
    assert "Letters chosen" not in text


def test_one_attempt_per_problem_without_groups_needs_no_breakdown() -> None:
    assert breakdown_section(row([1, 0], attempts=1), opened([1, 0], attempts=1)) == ""


def test_terms_of_arithmetic_are_called_terms() -> None:
    problems = [replace(p, subject=f"{2 + n} terms") for n, p in enumerate(opened([4, 2], bench="arithmetic"))]
    text = assert_harmless(breakdown_section(row([4, 2], bench="arithmetic"), problems)).text
    assert "By number of terms" in text
    assert "Number of terms" in text


def test_letters_of_multiple_choice_are_counted_beside_those_that_were_right() -> None:
    problems = opened([4, 2, 1], bench="gpqa_diamond")
    text = assert_harmless(breakdown_section(row([4, 2, 1], bench="gpqa_diamond"), problems)).text
    assert "Letters chosen" in text
    assert "A33+0.0" in text


def test_position_bias_is_named_with_its_size_only_where_there_is_some() -> None:
    always_a = letter_counts([("AAAA", "ABCD"), ("AAAB", "BCDA"), ("AAAA", "CDAB"), ("AABA", "DABC")] * 5)
    assert "Position bias, in points beyond chance: A +62.5" in position_note(always_a)
    assert "No letter is chosen more or less often" in position_note(letter_counts([("ABCD", "ABCD")] * 5))


def test_a_hostile_subject_stays_text() -> None:
    problems = [replace(p, subject=f"{n}{HOSTILE}") for n, p in enumerate(opened([4, 2]))]
    assert_harmless(breakdown_section(row([4, 2]), problems))
