"""The read side: what is shown, what stands where there are several, and who is ranked against whom."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leaderboard.board import Board, ResultNotFound
from leaderboard.references import published_scores
from leaderboard.results import problems_file
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import Store, update
from leaderboard.types import ReferenceKind
from tests.leaderboard.measurements import checkpoint, measurement, publish

ALL, MOST, HALF, NONE = [4] * 40, [4] * 30 + [0] * 10, [4] * 20 + [0] * 20, [0] * 40
FIRST, SECOND = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def board(store: SqliteStore) -> Board:
    return Board(store, published_scores())


def put(store: Store, name: str, content: bytes | None) -> None:
    update(store, lambda _: {name: content}, message="put")


def test_an_empty_store_is_an_empty_board(board: Board) -> None:
    assert (board.rows(), board.leaderboard(), board.curves()) == ((), [], {})


def test_rows_appear_with_their_publication_newest_first(board: Board, store: SqliteStore) -> None:
    (old,) = publish(store, measurement([4, 0], model="a/old"), at=FIRST)
    assert [row.plan_key for row in board.rows()] == [old]
    (new,) = publish(store, measurement([4, 0], model="a/new"), at=SECOND)
    assert [row.plan_key for row in board.rows()] == [new, old]
    assert board.row(old).model == "a/old"


def test_an_unknown_result_is_named_in_the_refusal(board: Board) -> None:
    with pytest.raises(ResultNotFound, match="nosuchkey"):
        board.row("nosuchkey")
    with pytest.raises(ResultNotFound):
        board.problems("nosuchkey")
    with pytest.raises(ResultNotFound):
        board.attempts("nosuchkey", "p000")


def test_one_bad_file_never_hides_the_others(
    board: Board, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    publish(store, measurement([4, 0]))
    put(store, "results/owner/model/broken.json", b"{")
    with caplog.at_level(logging.ERROR):
        assert len(board.rows()) == 1
    assert "broken.json is left out" in caplog.text


def test_rows_are_parsed_once_while_other_files_of_the_store_change(board: Board, store: SqliteStore) -> None:
    publish(store, measurement([4, 0]))
    (before,) = board.rows()
    put(store, "requests/owner/model/job.json", b"beat")
    (after,) = board.rows()
    assert before is after


def test_a_row_that_is_measured_again_does_not_replace_the_first(board: Board, store: SqliteStore) -> None:
    publish(store, measurement([4, 0]), at=FIRST)
    assert board.leaderboard()[0].scores["arithmetic"].measured_at == FIRST
    publish(store, measurement([4, 0]), at=SECOND)
    assert len(board.rows()) == 1
    assert board.leaderboard()[0].scores["arithmetic"].measured_at == FIRST


# The leaderboard


def test_one_entry_per_model_and_commit_holds_all_its_benchmarks(board: Board, store: SqliteStore) -> None:
    publish(store, measurement([4, 0]), measurement([3, 3], bench="math_500"))
    publish(store, measurement([1, 0], commit="b" * 40))
    entries = board.leaderboard()
    assert [(e.commit or "")[0] for e in entries] == ["a", "b"]
    assert list(entries[0].scores) == ["math_500", "arithmetic"]
    shown = entries[0].scores["math_500"]
    assert (shown.score, shown.problems, shown.attempts_per_problem) == (75, 2, 4)
    assert (shown.truncated_share, shown.mean_completion_tokens) == (0, 10)
    assert shown.ci95[0] < 75 < shown.ci95[1]
    assert shown.ranked


def test_one_benchmark_can_be_shown_alone(board: Board, store: SqliteStore) -> None:
    publish(store, measurement([4, 0], model="a/both"), measurement([1, 0], model="a/both", bench="math_500"))
    publish(store, measurement([4, 4], model="a/one"))
    assert [(e.model, list(e.scores)) for e in board.leaderboard("arithmetic")] == [
        ("a/one", ["arithmetic"]),
        ("a/both", ["arithmetic"]),
    ]


def test_ranks_are_intervals_among_comparable_results(board: Board, store: SqliteStore) -> None:
    for name, correct in (("a/best", ALL), ("a/worst", NONE), ("a/half", HALF), ("a/twin", HALF)):
        publish(store, measurement(correct, model=name))
    shown = {e.model: e.scores["arithmetic"] for e in board.leaderboard()}
    assert list(shown) == ["a/best", "a/half", "a/twin", "a/worst"]
    assert {model: score.rank for model, score in shown.items()} == {
        "a/best": (1, 1),
        "a/half": (2, 3),
        "a/twin": (2, 3),
        "a/worst": (4, 4),
    }
    assert {score.compared for score in shown.values()} == {4}


def test_a_result_alone_has_no_rank(board: Board, store: SqliteStore) -> None:
    publish(store, measurement(HALF))
    assert board.leaderboard()[0].scores["arithmetic"].rank is None


def test_different_protocols_are_never_ranked_together(board: Board, store: SqliteStore) -> None:
    publish(store, measurement(ALL, model="a/four"))
    publish(store, measurement([8] * 40, attempts=8, model="a/eight"))
    publish(store, measurement(ALL, model="a/regraded", grader_version="2"))
    assert {e.scores["arithmetic"].rank for e in board.leaderboard()} == {None}


def test_what_is_not_ranked_is_shown_below_and_says_why(board: Board, store: SqliteStore) -> None:
    publish(store, measurement(HALF, model="a/ranked"))
    publish(store, measurement(MOST, model="a/other"))
    publish(store, measurement(ALL, model="a/unknown", commit=None, endpoint="http://127.0.0.1:1/v1"))
    entries = board.leaderboard()
    assert [e.model for e in entries] == ["a/other", "a/ranked", "a/unknown"]
    shown = entries[2].scores["arithmetic"]
    assert (shown.ranked, shown.rank) == (False, None)
    assert "commit" in shown.not_ranked_because
    assert entries[0].scores["arithmetic"].compared == 2


def test_unknown_weights_from_two_servers_are_two_entries(board: Board, store: SqliteStore) -> None:
    for endpoint in ("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"):
        publish(store, measurement(ALL, model="demo", commit=None, endpoint=endpoint))
    assert len(board.leaderboard()) == 2


def test_a_luckier_reproduction_does_not_replace_the_first_run(board: Board, store: SqliteStore) -> None:
    publish(store, measurement(HALF), at=FIRST)
    publish(store, measurement(ALL, run=1), at=SECOND)
    (entry,) = board.leaderboard()
    assert entry.scores["arithmetic"].score == 50
    assert len(board.rows()) == 2


def test_the_full_protocol_stands_before_a_quick_try(board: Board, store: SqliteStore) -> None:
    (full,) = publish(store, measurement(HALF), at=FIRST)
    publish(store, measurement([1] * 40, attempts=1), at=SECOND)
    assert board.leaderboard()[0].scores["arithmetic"].plan_key == full


@pytest.mark.parametrize("weights", [{}, {"commit": None, "endpoint": "http://127.0.0.1:1/v1"}])
def test_the_protocol_stands_before_more_attempts(board: Board, store: SqliteStore, weights: dict[str, Any]) -> None:
    (full,) = publish(store, measurement(HALF, **weights), at=FIRST)
    publish(store, measurement([8] * 40, attempts=8, **weights), at=SECOND)
    shown = board.leaderboard()[0].scores["arithmetic"]
    assert (shown.plan_key, shown.ranked) == (full, not weights)


def test_a_newer_grader_stands_before_an_older_one(board: Board, store: SqliteStore) -> None:
    publish(store, measurement(HALF), at=FIRST)
    (newer,) = publish(store, measurement(MOST, grader_version="2"), at=SECOND)
    assert board.leaderboard()[0].scores["arithmetic"].plan_key == newer


def test_results_on_an_older_benchmark_version_leave_the_ranks(board: Board, store: SqliteStore) -> None:
    m = measurement(HALF)
    publish(store, replace(m, plan=replace(m.plan, benchmark_version=0)))
    (row,) = board.rows()
    assert not row.ranked
    assert "version 0" in row.not_ranked_because


def torn(store: Store, name: str) -> None:
    put(store, name, b"PAR1 torn")


def lost(store: Store, name: str) -> None:
    put(store, name, None)


@pytest.mark.parametrize("harm", [torn, lost])
def test_a_lost_or_torn_table_costs_one_rank_and_no_page(
    board: Board, store: SqliteStore, caplog: pytest.LogCaptureFixture, harm: Callable[[Store, str], None]
) -> None:
    publish(store, measurement(ALL, model="a/first"))
    publish(store, measurement(NONE, model="a/second"))
    (key,) = publish(store, measurement(HALF, model="a/harmed"))
    harm(store, problems_file(key))
    shown = {e.model: e.scores["arithmetic"] for e in board.leaderboard()}
    assert {model: score.rank for model, score in shown.items()} == {
        "a/first": (1, 1),
        "a/harmed": None,
        "a/second": (2, 2),
    }
    assert "a/harmed on arithmetic is left out of the ranks" in caplog.text


# Problems and attempts


def test_every_problem_of_a_result_can_be_opened(board: Board, store: SqliteStore) -> None:
    (key,) = publish(store, measurement([4, 1, 0]))
    assert [(p.problem_id, p.correct, p.n) for p in board.problems(key)] == [
        ("p000", 4, 4),
        ("p001", 1, 4),
        ("p002", 0, 4),
    ]
    attempts = board.attempts(key, "p001")
    assert [(a.attempt, a.verdict) for a in attempts] == [
        (0, "correct"),
        (1, "incorrect"),
        (2, "incorrect"),
        (3, "incorrect"),
    ]
    assert attempts[0].text == "answer 0 to p001"
    assert board.attempts(key, "p999") == []


def test_a_result_shows_the_attempts_that_it_counts(board: Board, store: SqliteStore) -> None:
    publish(store, measurement([8, 2], attempts=8))
    (few,) = publish(store, measurement([2, 2], attempts=2))
    assert [a.attempt for a in board.attempts(few, "p000")] == [0, 1]


# Curves


def test_checkpoints_of_one_run_make_a_curve_by_step(board: Board, store: SqliteStore) -> None:
    for step, correct in ((300, HALF), (150, NONE), (600, MOST)):
        model = measurement(correct, model="local/demo", commit="sha256:" + f"{step:064d}")
        publish(store, model, weights=checkpoint("local/demo", step=step))
    publish(store, measurement(ALL, model="a/other"))
    curves = board.curves()
    assert list(curves) == ["demo"]
    assert [(p.step, p.score) for p in curves["demo"]["arithmetic"]] == [(150, 0), (300, 50), (600, 75)]
    assert board.row(curves["demo"]["arithmetic"][0].plan_key).lineage is not None


def test_one_curve_never_mixes_protocols(board: Board, store: SqliteStore) -> None:
    for step, correct in ((150, NONE), (300, HALF)):
        commit = "sha256:" + f"{step:064d}"
        publish(
            store,
            measurement(correct, model="local/demo", commit=commit),
            weights=checkpoint("local/demo", step=step),
            at=FIRST,
        )
    quick = measurement([1] * 40, attempts=1, model="local/demo", commit="sha256:" + f"{450:064d}")
    publish(store, quick, weights=checkpoint("local/demo", step=450), at=SECOND)
    assert [p.step for p in board.curves()["demo"]["arithmetic"]] == [150, 300]


# References


def test_references_of_a_benchmark_stand_apart_highest_first(board: Board, store: SqliteStore) -> None:
    publish(store, measurement([4, 4], bench="math_500"))
    references = board.references_for("math_500")
    assert [r.score for r in references] == sorted((r.score for r in references), reverse=True)
    assert {r.benchmark for r in references} == {"math_500"}
    assert {r.kind for r in references} == set(ReferenceKind)
    assert board.references_for("arithmetic") == ()
    assert [e.model for e in board.leaderboard()] == ["owner/model"]
