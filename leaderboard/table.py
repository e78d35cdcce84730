"""Tables: stored attempts and problems as parquet, the board as a pandas table. The only door to pandas and pyarrow."""

from __future__ import annotations

import io
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evaluator.errors import OpenR1Error
from leaderboard.lengths import Length
from leaderboard.types import AttemptRow, BoardEntry, ProblemRow, Standing

ROWS_PER_GROUP = 256
FORMULA_STARTS = ("=", "+", "-", "@")

VERSION_KEY = b"open_r1_schema"
"""In a parquet file's metadata; files of the first version have none."""
ATTEMPTS_SCHEMA = pa.schema(
    metadata={VERSION_KEY: b"1"},
    fields=[
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("prompt_sha256", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("text_sha256", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("reasoning", pa.string()),
        pa.field("finish_reason", pa.string()),
        pa.field("completion_tokens", pa.int32()),
        pa.field("prompt_tokens", pa.int32()),
        pa.field("latency_s", pa.float64(), nullable=False),
        pa.field("retries", pa.int32(), nullable=False),
        pa.field("answer", pa.string()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("truncated", pa.bool_()),
        pa.field("answered_in_thought", pa.bool_(), nullable=False),
        pa.field("target", pa.string()),
        pa.field("grader_version", pa.string(), nullable=False),
    ],
)
PROBLEMS_SCHEMA = pa.schema(
    metadata={VERSION_KEY: b"2"},
    fields=[
        pa.field("plan_key", pa.string(), nullable=False),
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
        pa.field("correct", pa.int32(), nullable=False),
        pa.field("no_answer", pa.int32(), nullable=False),
        pa.field("truncated", pa.int32(), nullable=False),
        pa.field("mean_tokens", pa.float64()),
        pa.field("majority", pa.string()),
        pa.field("subject", pa.string()),
        pa.field("level", pa.string()),
        pa.field("letters", pa.string()),
        pa.field("right_letters", pa.string()),
    ],
)
ADDED_LATER = frozenset({"subject", "level", "letters", "right_letters"})
"""Columns that tables of problems of version 1 lack; their rows then hold the type's defaults."""


BOARD_COLUMNS = [
    "benchmark",
    "model",
    "revision",
    "commit",
    "score",
    "ci95_low",
    "ci95_high",
    "stderr_questions",
    "stderr_decoding",
    "maj_at_n",
    "pass_at_n",
    "problems",
    "attempts_per_problem",
    "truncated_share",
    "mean_completion_tokens",
    "rank_best",
    "rank_worst",
    "compared",
    "ranked",
    "not_ranked_because",
    "measured_at",
    "plan_key",
    "protocol_key",
]


STANDING_COLUMNS = [
    *BOARD_COLUMNS[:4],
    "kind",
    "parameters",
    "licence",
    "base",
    "protocol",
    "protocol_words",
    *BOARD_COLUMNS[4:],
]
WHOLE_RANKS = {"rank_best": "Int64", "rank_worst": "Int64"}
WHOLE_NUMBERS = {**WHOLE_RANKS, "parameters": "Int64"}
"""Columns of whole numbers that may be empty, which pandas would write as fractions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SolvedCounts:
    """How often each problem was solved, `correct` of `n` attempts; `problems` is a hash of their names, in order."""

    problems: str
    correct: array[int]
    n: array[int]


class TableUnreadable(OpenR1Error):
    """A stored parquet file is torn, or does not have the columns of this version."""

    code = "table_unreadable"


def attempts_parquet(rows: Iterable[AttemptRow], *, ordered: bool = False) -> bytes:
    """Attempts as a parquet file, ordered by problem and attempt, so that one problem is read without the others.

    Rows that are `ordered` already are read as they are written: their texts need not be in memory together.
    """
    return _write(rows if ordered else sorted(rows, key=lambda row: (row.problem_id, row.attempt)), ATTEMPTS_SCHEMA)


def read_attempts(data: bytes, *, problem_id: str | None = None) -> list[AttemptRow]:
    """The attempts of a parquet file, or those at one problem, ordered by problem and attempt.

    Raises:
        TableUnreadable: not a parquet file with these columns.
    """
    return [AttemptRow(**row) for row in _read(data, ATTEMPTS_SCHEMA, problem_id)]


def read_attempts_slice(data: bytes, offset: int, limit: int) -> tuple[list[AttemptRow], int]:
    """`limit` attempts from the one at `offset`, and how many there are. Raises TableUnreadable."""
    with _reported(data):
        file = pq.ParquetFile(pa.BufferReader(data))
        rows, start = [], 0
        for group in range(file.num_row_groups):
            length = file.metadata.row_group(group).num_rows
            if start < offset + limit and start + length > offset:
                first = max(0, offset - start)
                rows += file.read_row_group(group).slice(first, offset + limit - start - first).to_pylist()
            start += length
        return [AttemptRow(**row) for row in rows], start


def read_lengths(data: bytes) -> list[Length]:
    """Tokens and verdict of every attempt in a parquet file of attempts, without its texts. Raises TableUnreadable."""
    with _reported(data):
        columns = pq.read_table(pa.BufferReader(data), columns=["attempt", "completion_tokens", "verdict"])
        rows = columns.to_pylist()
    return [Length(attempt=r["attempt"], tokens=r["completion_tokens"], verdict=r["verdict"]) for r in rows]


def problems_parquet(rows: Sequence[ProblemRow]) -> bytes:
    """Problem counts as a parquet file, in the order given."""
    return _write(rows, PROBLEMS_SCHEMA)


def read_problems(data: bytes) -> list[ProblemRow]:
    """The problem counts of a parquet file, in its order. Raises TableUnreadable."""
    return [ProblemRow(**row) for row in _read(data, PROBLEMS_SCHEMA)]


def read_counts(data: bytes) -> SolvedCounts:
    """How often each problem of a result was solved, in the order of the problems' names. Raises TableUnreadable."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        table = file.read(columns=["problem_id", "n", "correct"], use_threads=False)
        names = tuple(table["problem_id"].to_pylist())
        columns = [table[name].to_numpy() for name in ("n", "correct")]
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise TableUnreadable(f"{len(data):,} bytes are no file of counts ({error}); restore it") from error
    problems, order = _problem_order(names)
    n, correct = (array("H", column[order].astype("uint16").tobytes()) for column in columns)
    return SolvedCounts(problems=problems, n=n, correct=correct)


@lru_cache(maxsize=64)
def _problem_order(names: tuple[str, ...]) -> tuple[str, list[int]]:
    """What names a set of problems, and where each of them, in the order of their names, stands in a file."""
    order = sorted(range(len(names)), key=names.__getitem__)
    return sha256("\0".join(names[place] for place in order).encode()).hexdigest(), order


def leaderboard_frame(entries: Sequence[BoardEntry]) -> Any:
    """The board as a pandas DataFrame: one row per model, commit and benchmark, in the entries' order.

    Scores, errors and intervals in points; `truncated_share` from 0 to 1; ranks from 1.
    """
    # Half a second to import: only an export pays for it.
    import pandas as pd

    records = [_record(entry, benchmark) for entry in entries for benchmark in entry.scores]
    return pd.DataFrame(records, columns=BOARD_COLUMNS).astype(WHOLE_RANKS)


def standings_frame(rows: Sequence[Standing], benchmarks: Sequence[str]) -> Any:
    """Rows of the board as a pandas DataFrame: one line per row and benchmark that it has, in the rows' order.

    Scores, errors and intervals in points; `truncated_share` from 0 to 1; ranks from 1. `protocol` is the protocol's
    title and `protocol_words` what differs from the standard one.
    """
    import pandas as pd

    records = [_line(row, name) for row in rows for name in benchmarks if name in row.scores]
    return pd.DataFrame(records, columns=STANDING_COLUMNS).astype(WHOLE_NUMBERS)


def frame_parquet(frame: Any) -> bytes:
    """A table as a parquet file."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, compression="zstd")
    return sink.getvalue()


def to_csv(frame: Any) -> str:
    """A table as CSV that a spreadsheet cannot run.

    Text that begins like a formula gets an apostrophe in front; control characters, which could begin a new line or a
    new cell, become spaces.
    """
    return str(frame.map(safe_cell).to_csv(index=False, lineterminator="\n"))


def safe_cell(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if not isinstance(cell, str):
        return cell
    text = re.sub(r"[\x00-\x1f\x7f]", " ", cell)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) else text


def _line(row: Standing, benchmark: str) -> dict[str, Any]:
    known = {
        "kind": row.facts.kind.value if row.facts.kind else None,
        "parameters": row.facts.parameters,
        "licence": row.facts.licence,
        "base": row.facts.base,
        "protocol": row.protocol.title,
        "protocol_words": "; ".join(row.protocol.words),
    }
    return _record(row, benchmark) | known


def _record(entry: BoardEntry | Standing, benchmark: str) -> dict[str, Any]:
    shown = asdict(entry.scores[benchmark])
    low, high = shown.pop("ci95")
    best, worst = shown.pop("rank") or (None, None)
    model = {"model": entry.model, "revision": entry.revision, "commit": entry.commit}
    return model | shown | {"ci95_low": low, "ci95_high": high, "rank_best": best, "rank_worst": worst}


def _write(rows: Iterable[Any], schema: pa.Schema) -> bytes:
    sink, waiting = io.BytesIO(), iter(rows)
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        while group := list(islice(waiting, ROWS_PER_GROUP)):
            columns = {name: [getattr(row, name) for row in group] for name in schema.names}
            writer.write_table(pa.table(columns, schema=schema), row_group_size=ROWS_PER_GROUP)
    return sink.getvalue()


def _read(data: bytes, schema: pa.Schema, problem_id: str | None = None) -> list[dict[str, Any]]:
    wanted = None if problem_id is None else [("problem_id", "=", problem_id)]
    with _reported(data):
        table = pq.read_table(pa.BufferReader(data), filters=wanted)
        _check_version(table.schema, schema)
        expected = [name for name in schema.names if name in table.schema.names or name not in ADDED_LATER]
        if table.schema.names != expected:
            raise TableUnreadable(f"the table has the columns {table.schema.names}, expected {schema.names}")
        return table.to_pylist()  # type: ignore[no-any-return]


def _check_version(found: pa.Schema, known: pa.Schema) -> None:
    version, newest = (int((each.metadata or {}).get(VERSION_KEY, b"1")) for each in (found, known))
    if version > newest:
        raise TableUnreadable(f"the table has schema {version}, this version reads up to {newest}; update the program")


@contextmanager
def _reported(data: bytes) -> Iterator[None]:
    """What pyarrow raises over a damaged file, by our name: of some damage it makes an OSError or a ValueError."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        raise TableUnreadable(f"{len(data):,} bytes are not a parquet file of ours ({error}); restore it") from error
