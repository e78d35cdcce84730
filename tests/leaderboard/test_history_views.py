"""What a result's page says of its history and of smaller budgets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evaluator.types import BudgetPoint
from leaderboard.board import Board
from leaderboard.charts import budget_curve
from leaderboard.history import agreement, grader_order, newest, next_run, runs_of
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import ProblemChange, Regrading, ResultRow
from leaderboard.views.history import budget_section, history_section, replaced_notice
from tests.leaderboard.measurements import measurement, publish

CHANGE = Regrading(
    plan_key="old",
    grader_version="1+x",
    score=40.0,
    difference=-2.5,
    changed=(ProblemChange(problem_id="<b>p7</b>", correct_before=3, correct_after=2),),
    at="2026-05-06T07:08:09+00:00",
)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def row(store: SqliteStore) -> ResultRow:
    return Board(store).row(publish(store, measurement([4, 2, 0]))[0])


def test_a_regraded_result_says_what_changed_and_links_the_older_one(row: ResultRow) -> None:
    shown = history_section(replace(row, supersedes=CHANGE), [row])
    assert "result?plan=old" in shown
    assert "-2.5" in shown
    assert "&lt;b&gt;p7&lt;/b&gt;" in shown
    assert "<b>p7" not in shown


def test_a_replaced_result_leads_to_the_one_that_stands(row: ResultRow) -> None:
    assert replaced_notice(row) == ""
    assert "result?plan=newer" in replaced_notice(replace(row, superseded_by="newer"))


def test_another_run_of_the_plan_is_shown_with_whether_it_agrees(store: SqliteStore, row: ResultRow) -> None:
    publish(store, measurement([4, 1, 1], run=1))
    publish(store, measurement([0, 0, 0], run=2))
    publish(store, measurement([4, 2, 0], max_tokens=64))
    shown = history_section(row, Board(store).rows())
    assert shown.count("of the same plan:") == 2
    assert "agree within the decoding error" in shown
    assert "differ by more than the decoding error" in shown
    assert f"python -m backend_jobs reproduce {row.plan_key}" in shown


def test_a_reproduction_never_takes_the_place_of_the_first_run(store: SqliteStore, row: ResultRow) -> None:
    publish(store, measurement([4, 4, 4], run=1), at="2027-01-02T03:04:05+00:00")
    (entry,) = Board(store).leaderboard()
    assert entry.scores["arithmetic"].plan_key == row.plan_key


def test_the_next_run_is_one_that_nobody_published(store: SqliteStore, row: ResultRow) -> None:
    assert next_run(row, Board(store).rows()).run == 1
    publish(store, measurement([4, 1, 1], run=1))
    rows = Board(store).rows()
    assert next_run(row, rows).run == 2
    assert [other.plan.run for other in runs_of(row, rows)] == [0, 1]


def test_one_attempt_per_problem_leaves_agreement_unknown() -> None:
    one = measurement([1, 0], attempts=1).statistics
    assert agreement(one, one) is None


def test_grader_versions_sort_by_their_numbers() -> None:
    versions = ["10+math-verify-0.5.2", "2+math-verify-0.10.0", "2+math-verify-0.9.0"]
    assert sorted(versions, key=grader_order) == versions[::-1]


def test_a_circle_of_results_ends_somewhere(row: ResultRow) -> None:
    a, b = replace(row, plan_key="a", superseded_by="b"), replace(row, plan_key="b", superseded_by="a")
    assert newest(a, [a, b]) == b


def test_the_newest_grader_stands_even_where_nothing_links_the_rows(store: SqliteStore) -> None:
    publish(store, measurement([4, 4], grader_version="9+x"))
    publish(store, measurement([0, 0], grader_version="10+x"), at="2025-01-01T00:00:00+00:00")
    (entry,) = Board(store).leaderboard()
    assert entry.scores["arithmetic"].score == 0


def test_the_budget_curve_is_a_picture_with_its_values_in_words_and_a_table(row: ResultRow) -> None:
    point = BudgetPoint(tokens=8, score=41.5, ci95=(30.0, 50.0), exact=True)
    shown = budget_section(replace(row, budget=(*row.budget, point)))
    assert "lower bound" in shown
    assert "8 tokens: 41.5 (30.0–50.0)" in shown
    assert "128 tokens: at least 50.0" in shown
    assert shown.count("<tr>") == 1 + len(row.budget) + 1
    svg = ElementTree.fromstring(budget_curve((*row.budget, point)))
    assert svg.attrib["role"] == "img"
    assert len(svg.findall("g")) == 1


def test_every_point_of_a_budget_curve_lies_inside_its_picture(row: ResultRow) -> None:
    svg = ElementTree.fromstring(budget_curve(row.budget))
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for shape in (svg.find("polygon"), svg.find("polyline")):
        assert shape is not None
        for corner in shape.attrib["points"].split():
            x, y = map(float, corner.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_a_single_budget_is_a_curve_too() -> None:
    assert "at least" in budget_curve([BudgetPoint(tokens=1, score=0.0, ci95=(0.0, 5.0))])


def test_without_counts_of_tokens_there_is_no_budget_section(row: ResultRow) -> None:
    assert budget_section(replace(row, budget=())) == ""
