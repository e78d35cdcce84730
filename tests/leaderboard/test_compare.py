"""Two results compared: the numbers, the sentences, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator import statistics
from evaluator.types import Sampling
from leaderboard.board import Board, ResultNotFound
from leaderboard.compare import (
    MIXED,
    ComparisonRefused,
    ResultComparison,
    compare_results,
    comparison_lines,
    comparison_report,
    conclusion,
    could_have_shown,
)
from leaderboard.results import problem_rows, problems_file
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import update
from leaderboard.table import problems_parquet
from tests.leaderboard.measurements import measurement, publish

STRONG, WEAK = [4, 4, 3, 4, 2, 4, 3, 4, 4, 4], [1, 0, 2, 3, 0, 1, 0, 2, 1, 0]
EVEN = [4, 4, 3, 4, 2, 4, 3, 4, 3, 4]


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


def compared(store: SqliteStore, a: list[int], b: list[int]) -> ResultComparison:
    (first,) = publish(store, measurement(a, model="owner/a"))
    (second,) = publish(store, measurement(b, model="owner/b"))
    return compare_results(Board(store), first, second)


def test_the_numbers_are_those_of_the_paired_comparison(store: SqliteStore) -> None:
    found = compared(store, STRONG, WEAK)
    outcomes = [[[1] * c + [0] * (4 - c) for c in counts] for counts in (STRONG, WEAK)]
    assert found.numbers == statistics.compare(*outcomes)
    assert (found.a_ahead, found.b_ahead) == (10, 0)


def test_swapping_the_two_turns_the_sign_and_nothing_else(store: SqliteStore) -> None:
    found = compared(store, STRONG, EVEN)
    swapped = compare_results(Board(store), found.b.plan_key, found.a.plan_key)
    assert swapped.numbers.difference == -found.numbers.difference
    assert swapped.numbers.p_value == found.numbers.p_value
    assert (swapped.a_ahead, swapped.b_ahead) == (found.b_ahead, found.a_ahead)


def test_problems_are_paired_by_their_ids_and_not_by_their_order(store: SqliteStore) -> None:
    (first,) = publish(store, measurement([4, 0, 2], model="owner/a"))
    other = measurement([4, 0, 2], model="owner/b")
    (second,) = publish(store, other)
    rows = problems_parquet(problem_rows(other)[::-1])
    update(store, lambda _: {problems_file(second): rows}, message="another order")
    found = compare_results(Board(store), first, second)
    assert (found.a_ahead, found.b_ahead, found.numbers.p_value) == (0, 0, 1)


def test_a_clear_difference_is_said_to_be_one(store: SqliteStore) -> None:
    found = compared(store, STRONG, WEAK)
    said = conclusion(found, a="owner/A", b="owner/B")
    assert said.startswith("owner/A scores higher than owner/B by 65.0 points (95 % interval +")
    assert could_have_shown(found).endswith("The one seen is larger.")


def test_a_small_difference_is_no_proof_of_equality(store: SqliteStore) -> None:
    found = compared(store, STRONG, EVEN)
    assert conclusion(found).startswith("No difference is shown: the first is 2.5 points above the second")
    said = could_have_shown(found)
    assert "points is shown by these 10 problems four times in five" in said
    assert said.endswith("this is no proof that the two are equal.")


def test_a_difference_shown_below_what_is_detectable_is_called_lucky(store: SqliteStore) -> None:
    found = compared(store, [4] * 10, [4, 4, 4, 3, 3, 3, 3, 0, 4, 3])
    assert found.shown
    assert "it took some luck to show" in could_have_shown(found)


def test_equal_results_show_nothing_and_nothing_could_be_shown(store: SqliteStore) -> None:
    found = compared(store, EVEN, EVEN)
    assert conclusion(found) == "No difference: the first and the second solved every problem equally often."
    assert could_have_shown(found).startswith("Nothing tells what these 10 problems could have shown")


def test_equal_scores_on_different_problems_are_not_called_ahead(store: SqliteStore) -> None:
    said = conclusion(compared(store, [4, 0, 2, 2], [0, 4, 2, 2]))
    assert said.startswith("No difference is shown: both score the same (")


def test_a_single_problem_can_be_compared_and_shows_nothing(store: SqliteStore) -> None:
    found = compared(store, [4], [0])
    assert not found.shown
    assert conclusion(found) == (
        "No difference is shown: the first is 100.0 points above the second (p = 1.000), which chance explains."
    )
    assert "one problem" in could_have_shown(found)


def test_other_settings_are_named_and_called_a_mixture(store: SqliteStore) -> None:
    (first,) = publish(store, measurement(STRONG))
    greedy = measurement([2] * 10, attempts=2, sampling=Sampling(temperature=0.0), system_prompt="Hi")
    (second,) = publish(store, greedy)
    found = compare_results(Board(store), first, second)
    assert found.protocol == ("attempts 4 vs 2", "temperature 0.6 vs 0.0", 'system prompt added: "Hi"')
    assert found.model == ()
    assert comparison_report(found)["mixes_protocols"] is True
    assert comparison_lines(found)["beware"] == MIXED


def test_equal_protocols_are_not_called_a_mixture(store: SqliteStore) -> None:
    found = compared(store, STRONG, WEAK)
    assert comparison_report(found)["protocol_differences"] == []
    assert found.model == ("model owner/a vs owner/b",)
    assert "beware" not in comparison_lines(found)


def test_a_result_is_not_compared_with_itself(store: SqliteStore) -> None:
    (key,) = publish(store, measurement(STRONG))
    with pytest.raises(ComparisonRefused, match="one result; choose two"):
        compare_results(Board(store), key, key)


def test_results_of_two_benchmarks_are_not_compared(store: SqliteStore) -> None:
    first, second = publish(store, measurement(STRONG), measurement(STRONG, bench="math_500"))
    with pytest.raises(ComparisonRefused, match=r"on arithmetic and .* on math_500"):
        compare_results(Board(store), first, second)


def test_results_over_other_problems_are_not_compared(store: SqliteStore) -> None:
    with pytest.raises(ComparisonRefused, match="1 are only in the first, 0 only in the second \\('p002'"):
        compared(store, [4, 0, 2], [4, 0])


def test_a_result_that_is_not_published_is_named(store: SqliteStore) -> None:
    (key,) = publish(store, measurement(STRONG))
    with pytest.raises(ResultNotFound, match="'nowhere'"):
        compare_results(Board(store), key, "nowhere")


def test_the_report_is_whole_where_no_spread_was_seen(store: SqliteStore) -> None:
    report = comparison_report(compared(store, [4], [0]))
    assert (report["stderr"], report["ci95"], report["detectable"]) == (None, None, None)
    assert comparison_lines(compared(store, [4], [0]))["difference"] == "+100.0 points"


def test_the_interval_of_a_sentence_is_seen_from_the_one_that_is_ahead(store: SqliteStore) -> None:
    found = compared(store, WEAK, STRONG)
    assert conclusion(found).startswith("The second scores higher than the first by 65.0 points")
    assert "95 % interval +45.8 to +84.2" in conclusion(found)
    assert found.numbers.ci95 == pytest.approx((-84.2, -45.8), abs=0.05)
