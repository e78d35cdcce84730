"""Details as lighteval writes them: one Parquet file per task with the columns `doc`, `metric` and `model_response`.

`model_response` has lighteval's own fields, so that it can grade the answers again; `text_post_processed` is what was
extracted. The layout is `details/<org>/<model>/<time>/details_<task>|0_<time>.parquet`. One row per document, all
attempts at it together, as lighteval keeps them. Of GPQA nothing is written: its documents are its questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from evaluator.benchmarks import BENCHMARKS
from leaderboard.board import Board
from leaderboard.dataset.formats import parquet_bytes
from leaderboard.lighteval_results import PREFIX
from leaderboard.results import store_folder
from leaderboard.types import AttemptRow, ResultRow

TEXTS = pa.list_(pa.string())
DOC = pa.struct(
    [
        ("query", pa.string()),
        ("choices", TEXTS),
        ("gold_index", pa.list_(pa.int64())),
        ("id", pa.string()),
        ("task_name", pa.string()),
        ("num_samples", pa.int64()),
        ("generation_size", pa.int64()),
        ("specific", pa.struct([("verdicts", TEXTS), ("finish_reasons", TEXTS), ("plan_key", pa.string())])),
    ]
)
METRIC = pa.struct([("pass@1", pa.float64())])
RESPONSE = pa.struct(
    [
        ("input", pa.string()),
        ("text", TEXTS),
        ("text_post_processed", TEXTS),
        ("reasonings", TEXTS),
    ]
)
SCHEMA = pa.schema([("doc", DOC), ("metric", METRIC), ("model_response", RESPONSE)])


def write_details(board: Board, folder: Path) -> list[Path]:
    """Write the details of every result whose text is stored below `folder`; returns the files."""
    written = []
    for row in board.rows():
        if row.benchmark in BENCHMARKS and not BENCHMARKS[row.benchmark].private:
            place = folder / details_path(row)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(details(row, board.attempts(row.plan_key)))
            written.append(place)
    return written


def details_path(row: ResultRow) -> str:
    """The file of a result's details. Its time is when the row was measured, kept apart by the plan key's digits."""
    moment = datetime.fromisoformat(row.measured_at).astimezone(UTC)
    moment = moment.replace(microsecond=int(row.plan_key, 16) % 1_000_000, tzinfo=None)
    time = moment.isoformat(timespec="microseconds").replace(":", "-")
    return f"details/{store_folder(row.model)}/{time}/details_{PREFIX}:{row.benchmark}|0_{time}.parquet"


def details(row: ResultRow, attempts: Sequence[AttemptRow]) -> bytes:
    """The attempts of a result as one Parquet file."""
    ordered = sorted(attempts, key=lambda attempt: (attempt.problem_id, attempt.attempt))
    rows = [_document(row, list(group)) for _, group in groupby(ordered, key=lambda attempt: attempt.problem_id)]
    return parquet_bytes(pa.Table.from_pylist(rows, schema=SCHEMA))


def _document(row: ResultRow, attempts: Sequence[AttemptRow]) -> dict[str, Any]:
    first = attempts[0]
    right = sum(attempt.verdict == "correct" for attempt in attempts)
    return {
        "doc": {
            "query": first.prompt,
            "choices": [first.target or ""],
            "gold_index": [0],
            "id": first.problem_id,
            "task_name": f"{PREFIX}:{row.benchmark}|0",
            "num_samples": len(attempts),
            "generation_size": row.plan.max_tokens,
            "specific": {
                "verdicts": [attempt.verdict for attempt in attempts],
                "finish_reasons": [attempt.finish_reason for attempt in attempts],
                "plan_key": row.plan_key,
            },
        },
        "metric": {"pass@1": right / len(attempts)},
        "model_response": {
            "input": first.prompt,
            "text": [attempt.text or "" for attempt in attempts],
            "text_post_processed": [attempt.answer or "" for attempt in attempts],
            "reasonings": [attempt.reasoning for attempt in attempts],
        },
    }
