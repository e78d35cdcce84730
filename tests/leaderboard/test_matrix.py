"""Several results over the same problems: pairs, and who solves what."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluator.statistics import holm
from leaderboard.board import Board
from leaderboard.compare import ComparisonRefused
from leaderboard.matrix import ManyCompared, compare_many
from leaderboard.sqlite_store import SqliteStore
from leaderboard.views.compare import many_section
from leaderboard.views.comparing import LINES_AT_FIRST, Comparing, Order, ordered, read_comparing
from leaderboard.views.matrix import matrix_section, sides_part
from leaderboard.views.selection import read_query
from tests.leaderboard.measurements import measurement, publish
from tests.leaderboard.page_content import HOSTILE
from tests.leaderboard.test_views import Page, assert_harmless


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(SqliteStore(tmp_path / "store.db"))


def published(board: Board, *results: list[int], bench: str = "math_500") -> list[str]:
    names = [HOSTILE, "owner/b", "owner/c", "owner/d"]
    return [
        publish(board._store, measurement(correct, bench=bench, model=name))[0]
        for correct, name in zip(results, names, strict=False)
    ]


def shown(board: Board, many: ManyCompared, view: Comparing) -> Page:
    attempts = [board.attempts(row.plan_key, view.problem_id) if view.problem_id else [] for row in many.rows]
    return assert_harmless(matrix_section(many, view, attempts))


def test_every_pair_is_compared_and_problems_are_paired(board: Board) -> None:
    keys = published(board, [4, 0, 2], [4, 0, 0], [0, 4, 1])
    many = compare_many(board, keys)
    assert [(pair.a, pair.b) for pair in many.pairs] == [(0, 1), (0, 2), (1, 2)]
    assert many.pairs[0].compared.numbers.difference == pytest.approx(100 / 6)
    assert [line.disagreement for line in many.lines] == [1.0, 1.0, 0.5]


def test_problems_are_sorted_by_disagreement_difficulty_or_as_the_benchmark_has_them(board: Board) -> None:
    lines = compare_many(board, published(board, [4, 1, 2], [4, 0, 0])).lines
    names = {order: [line.problem_id for line in ordered(lines, order)] for order in Order}
    assert names[Order.DISAGREEMENT] == ["p002", "p001", "p000"]
    assert names[Order.HARDEST] == ["p001", "p002", "p000"]
    assert names[Order.BENCHMARK] == ["p000", "p001", "p002"]


@pytest.mark.parametrize("take", [[0], [0, 0], [0, 1, 0], []])
def test_one_result_or_one_twice_is_refused(board: Board, take: list[int]) -> None:
    keys = published(board, [4, 0], [0, 4])
    with pytest.raises(ComparisonRefused):
        compare_many(board, [keys[n] for n in take])


def test_a_pair_among_several_counts_only_where_holm_lets_it() -> None:
    assert holm([0.04]) == [True]
    assert holm([0.04, 0.5, 0.6]) == [False, False, False]
    assert holm([0.001, 0.04, 0.02]) == [True, True, True]


def test_three_results_show_every_pair_and_say_how_many_tests_there_are(board: Board) -> None:
    many = compare_many(board, published(board, [4] * 8, [0] * 8, [4, 3] * 4))
    text = assert_harmless(many_section(many)).text
    assert "Holm's correction for 3 tests" in text
    assert "A − B+100.0" in text
    assert "A scores higher" in text


def test_a_cell_says_how_often_and_opens_the_problem(board: Board) -> None:
    keys = published(board, [4, 1], [2, 1])
    page = shown(board, compare_many(board, keys), Comparing(keys=tuple(keys)))
    assert "They differ on 1 of 2 problems" in page.text
    assert f"compare?a={keys[0]}&b={keys[1]}&problem=p000" in page.links
    assert page.text.index("4/4") < page.text.index("1/4")


def test_a_long_benchmark_shows_its_first_problems_and_all_on_request(board: Board) -> None:
    keys = tuple(published(board, [4] * 70, [0] * 70))
    many = compare_many(board, keys)
    first = shown(board, many, Comparing(keys=keys))
    assert "Show all 70 problems" in first.text
    assert first.text.count("0/4") == LINES_AT_FIRST
    assert shown(board, many, Comparing(keys=keys, whole=True)).text.count("0/4") == 70


def test_side_by_side_opens_what_stands_for_each_result_or_what_is_asked_for(board: Board) -> None:
    keys = tuple(published(board, [3, 4], [1, 4]))
    many = compare_many(board, keys)
    view = Comparing(keys=keys, problem_id="p000")
    attempts = [board.attempts(key, "p000") for key in keys]
    text = assert_harmless(sides_part(many, view, attempts)).text
    assert "answer 0 to p000" in text
    assert "answer 1 to p000" in text
    asked = Page(sides_part(many, Comparing(keys=keys, problem_id="p000", attempts=(2, 3)), attempts)).text
    assert "answer 2 to p000" in asked
    assert "answer 3 to p000" in asked


def test_questions_of_a_private_benchmark_are_not_shown_side_by_side(board: Board) -> None:
    keys = tuple(published(board, [3, 4], [1, 4], bench="gpqa_diamond"))
    view = Comparing(keys=keys, problem_id="p000")
    attempts = [board.attempts(key, "p000") for key in keys]
    text = assert_harmless(sides_part(compare_many(board, keys), view, attempts)).text
    assert "SHA-256" in text
    assert "secret question" not in text


def test_a_view_survives_its_own_address() -> None:
    view = Comparing(
        keys=("a" * 16, "b&=", "c"), order=Order.HARDEST, problem_id="p#1", attempts=(1, None, 3), whole=True, raw=True
    )
    assert read_comparing(read_query({"query": view.link().removeprefix("compare")})) == view


def test_an_address_that_makes_no_sense_compares_nothing() -> None:
    assert read_comparing({"a": "", "order": "<b>", "at": "x.-1.99999999999"}) == Comparing(attempts=(None, None, None))
