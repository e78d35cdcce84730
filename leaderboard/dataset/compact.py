"""Compaction: the tables that people load, written from the files that the board keeps. Nothing is lost or changed.

    leaderboard.parquet    the board as it stands
    results.parquet        every result, flat, with its whole file beside it
    requests.parquet       every submission, likewise
    problems.parquet       the counts per problem of every result
    corrections.parquet    what was replaced or taken out of the ranks, from corrections.jsonl, which only grows
    README.md              the card that describes them

A table holds what was published when it was written; `results/**/*.json` are always current. The whole files inside the
tables let a board that starts on another machine read two files instead of ten thousand.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq

from leaderboard.board import Board
from leaderboard.dataset.card import CARD, card
from leaderboard.dataset.columns import (
    CORRECTIONS,
    LEADERBOARD,
    PROBLEMS,
    REQUESTS,
    RESULTS,
    Record,
    Table,
    leaderboard_records,
    request_record,
    result_record,
)
from leaderboard.dataset.corrections import CORRECTIONS as CORRECTIONS_FILE
from leaderboard.dataset.corrections import corrected, parsed
from leaderboard.dataset.formats import parquet, parquet_bytes
from leaderboard.dataset.packed import CONTENT, FILE
from leaderboard.moderation import read_hidden
from leaderboard.results import problems_file, result_file
from leaderboard.store import Changes, Snapshot
from leaderboard.types import JobRecord, ResultRow


def compacted(stored: Snapshot, board: Board, jobs: Sequence[tuple[str, JobRecord]]) -> Changes:
    """The files of one compaction that differ from what is stored. `jobs` are the records by their file names."""
    names = set(stored.names)
    rows = [row for row in board.rows() if result_file(row.model, row.plan_key) in names]
    corrections = corrected(stored, rows, read_hidden(stored))
    filled = {"leaderboard", "results", "attempts", "problems"} if rows else set()
    filled |= {name for name, some in (("requests", jobs), ("corrections", corrections)) if some}
    made: dict[str, bytes] = {
        "leaderboard.parquet": parquet(LEADERBOARD, leaderboard_records(board.leaderboard())),
        "results.parquet": _packed(
            RESULTS, [(result_file(row.model, row.plan_key), result_record(row)) for row in rows], stored
        ),
        "requests.parquet": _packed(REQUESTS, [(name, request_record(job)) for name, job in jobs], stored),
        "problems.parquet": _problems(rows, stored, names),
        CORRECTIONS_FILE: corrections,
        "corrections.parquet": parquet(CORRECTIONS, [asdict(each) for each in parsed(corrections)]),
        CARD: card(results=len(rows), models=len({row.model for row in rows}), filled=filled),
    }
    return {name: content for name, content in made.items() if name not in names or stored.read(name) != content}


def _packed(table: Table, records: Sequence[tuple[str, Record]], stored: Snapshot) -> bytes:
    schema = table.schema.append(FILE).append(CONTENT)
    rows = [
        {**record, FILE.name: name, CONTENT.name: stored.read(name)}
        for name, record in sorted(records, key=lambda each: each[0])
    ]
    return parquet(table, rows, schema)


def _problems(rows: Sequence[ResultRow], stored: Snapshot, names: Container[str]) -> bytes:
    """The counts of all results as one table, ordered by result."""
    files = (problems_file(row.plan_key) for row in sorted(rows, key=lambda row: row.plan_key))
    tables = [_widened(stored.read(file)) for file in files if file in names]
    return parquet_bytes(pa.concat_tables(tables) if tables else PROBLEMS.schema.empty_table())


def _widened(data: bytes) -> pa.Table:
    """A result's counts with every column of today: earlier files lack some."""
    table = pq.read_table(pa.BufferReader(data))
    for field in PROBLEMS.schema:
        if field.name not in table.schema.names:
            table = table.append_column(field, pa.array([""] * len(table), field.type))
    return table.select(PROBLEMS.schema.names).cast(PROBLEMS.schema)
