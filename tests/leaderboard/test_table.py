"""Parquet that comes back as it went in, and CSV that a spreadsheet cannot run."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.board import _board_score
from leaderboard.results import attempt_rows, problem_rows, result_row
from leaderboard.table import (
    ADDED_LATER,
    ATTEMPTS_SCHEMA,
    BOARD_COLUMNS,
    PROBLEMS_SCHEMA,
    TableUnreadable,
    attempts_parquet,
    leaderboard_frame,
    problems_parquet,
    read_attempts,
    read_problems,
    to_csv,
)
from leaderboard.types import AttemptRow, BoardEntry, ProblemRow
from tests.leaderboard.measurements import checkpoint, measurement

ATTEMPTS = attempt_rows(measurement([4, 2, 0], bench="math_500"))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def entry(model: str = "owner/model", rank: tuple[int, int] | None = (1, 2)) -> BoardEntry:
    row = result_row(measurement([4, 2, 0]), checkpoint=checkpoint(), measured_at="2026-01-02T03:04:05+00:00")
    return BoardEntry(
        model=model, revision="main", commit=None, lineage=None, scores={"arithmetic": _board_score(row, rank, 2)}
    )


def test_attempts_come_back_in_order_of_problem_and_attempt() -> None:
    assert read_attempts(attempts_parquet(ATTEMPTS[::-1])) == ATTEMPTS


def test_one_problem_is_read_without_the_others() -> None:
    found = read_attempts(attempts_parquet(ATTEMPTS), problem_id="p001")
    assert found == [row for row in ATTEMPTS if row.problem_id == "p001"]
    assert read_attempts(attempts_parquet(ATTEMPTS), problem_id="nowhere") == []


def test_tables_have_a_column_for_every_field() -> None:
    assert ATTEMPTS_SCHEMA.names == list(AttemptRow.__slots__)
    assert PROBLEMS_SCHEMA.names == [name for name in ProblemRow.__slots__ if name != "extra"]


@settings(max_examples=50, deadline=None)
@given(TEXT, st.none() | TEXT, st.none() | st.booleans(), st.none() | st.integers(0, 2**31 - 1))
def test_any_text_and_every_unknown_survive(
    text: str, reasoning: str | None, truncated: bool | None, tokens: int | None
) -> None:
    row = replace(ATTEMPTS[0], text=text, reasoning=reasoning, truncated=truncated, completion_tokens=tokens)
    assert read_attempts(attempts_parquet([row])) == [row]


def test_problem_counts_come_back_in_their_own_order() -> None:
    rows = problem_rows(measurement([1, 4, 0]))
    assert read_problems(problems_parquet(rows[::-1])) == rows[::-1]


def test_problem_counts_of_the_first_version_are_read_without_subjects_and_letters() -> None:
    rows = problem_rows(measurement([1, 4, 0]))
    table = pq.read_table(io.BytesIO(problems_parquet(rows))).drop_columns(sorted(ADDED_LATER))
    old = io.BytesIO()
    pq.write_table(table, old)
    assert read_problems(old.getvalue()) == rows


@pytest.mark.parametrize("data", [b"", b"PAR1", problems_parquet(problem_rows(measurement([1])))])
def test_torn_or_foreign_tables_are_refused(data: bytes) -> None:
    with pytest.raises(TableUnreadable):
        read_attempts(data)
    if data:
        with pytest.raises(TableUnreadable):
            read_problems(data[:-1])


def test_the_board_is_one_table_row_per_model_and_benchmark() -> None:
    frame = leaderboard_frame([entry(), entry(model="other/model", rank=None)])
    assert list(frame.columns) == BOARD_COLUMNS
    assert frame["score"].tolist() == [50, 50]
    assert (frame["rank_best"][0], frame["rank_worst"][0]) == (1, 2)
    assert frame["rank_best"].isna().tolist() == [False, True]
    assert leaderboard_frame([]).empty


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", " =1"])
def test_cells_that_a_spreadsheet_would_run_are_quoted(start: str) -> None:
    (row,) = csv.DictReader(io.StringIO(to_csv(leaderboard_frame([entry(model=start)]))))
    assert row["model"] == f"'{start}"


def test_text_cannot_begin_a_line_or_a_cell_of_its_own() -> None:
    table = to_csv(leaderboard_frame([entry(model="a\r=1"), entry(model="b\n=1\0"), entry(model="\t=1")]))
    assert [row["model"] for row in csv.DictReader(io.StringIO(table))] == ["a =1", "b =1 ", "' =1"]


def test_numbers_stay_numbers_in_csv() -> None:
    (row,) = csv.DictReader(io.StringIO(to_csv(leaderboard_frame([entry()]))))
    assert (float(row["score"]), row["rank_best"], row["rank_worst"]) == (50, "1", "2")
    assert row["model"] == "owner/model"
    assert row["commit"] == ""
