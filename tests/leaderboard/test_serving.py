"""How a result was served: stored with the row, drawn on its page; and what earlier results teach the next run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.types import CapPoint, Measurement, ReplicaRecord, StreamRecord
from leaderboard.board import Board
from leaderboard.priors import length_priors
from leaderboard.results import MOST_POINTS, read_row, result_row, row_bytes
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import ResultRow
from leaderboard.views.serving import serving_section
from tests.leaderboard.measurements import checkpoint, measurement, publish

WHEN = "2026-01-02T03:04:05+00:00"


def replica(points: int, *, answered: int = 7, why: str = "growth") -> ReplicaRecord:
    history = tuple(
        CapPoint(at_s=float(at), cap=16 + at, in_flight=16, kv_usage=min(1.0, at / 100), why=why)
        for at in range(points)
    )
    return ReplicaRecord(
        answered=answered,
        refused=0,
        requests_sent=answered + 1,
        completion_tokens=1234,
        transient_faults=1,
        back_pressure=0,
        restarts=2,
        history=history,
    )


def served(*replicas: ReplicaRecord) -> Measurement:
    record = StreamRecord(started_at="2026-01-02T03:04:05.000+00:00", wall_s=600.0, replicas=replicas)
    return replace(measurement([1, 2]), streams=(record,))


def row_of(made: Measurement) -> ResultRow:
    return result_row(made, checkpoint=checkpoint(), measured_at=WHEN)


def test_a_row_keeps_what_each_server_did_and_no_more_points_than_a_picture_shows() -> None:
    row = row_of(served(replica(1000), replica(5)))
    assert read_row(row_bytes(row)) == row
    (record,) = row.streams
    long, short = (each.history for each in record.replicas)
    assert len(long) <= MOST_POINTS
    assert (long[0].at_s, long[-1].at_s) == (0.0, 999.0)
    assert len(short) == 5


def test_the_page_counts_and_draws_every_server() -> None:
    html = str(serving_section(row_of(served(replica(20), replica(20, answered=31, why="preempted")))))
    assert html.count("<svg") == 6
    assert "KV cache in use, server 2" in html
    assert ">31<" in html
    assert "20 times the server had too much" in html


def test_a_result_of_which_nothing_was_recorded_has_no_such_section() -> None:
    assert str(serving_section(row_of(measurement([1, 2])))) == ""


def test_lengths_of_earlier_models_are_known_per_problem(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    made = measurement([4, 0, 2])
    long, *others = made.completions
    tokens = [replace(long, completion_tokens=9000), *(replace(each, completion_tokens=1000) for each in others)]
    mean = sum(each.completion_tokens or 0 for each in tokens) / len(tokens)
    made = replace(made, completions=tuple(tokens), mean_completion_tokens=mean)
    publish(store, made)
    priors = length_priors(Board(store), [made.plan.benchmark, "gpqa_diamond"])
    known = priors[made.plan.benchmark]
    assert max(known, key=lambda problem: known[problem]) == long.problem_id
    mine = [each.completion_tokens or 0 for each in tokens if each.problem_id == long.problem_id]
    assert known[long.problem_id] == pytest.approx(sum(mine) / len(mine))
    assert priors["gpqa_diamond"] == {}
