"""Reasoning data as Parquet files, written whole or not at all and read in batches. A door to pyarrow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from backend_jobs.datasets.types import DatasetRejected, Dropped, Generation, Message, ReasoningRow, RejectedRow
from evaluator.types import Sampling

ROWS_PER_GROUP = 256
"""Rows in memory at a time, on both sides: long traces are 100 kB each."""

MESSAGES = pa.list_(
    pa.struct([pa.field("role", pa.string(), nullable=False), pa.field("content", pa.string(), nullable=False)])
)
SAMPLING = pa.struct(
    [
        ("temperature", pa.float64()),
        ("top_p", pa.float64()),
        ("top_k", pa.int32()),
        ("min_p", pa.float64()),
        ("presence_penalty", pa.float64()),
        ("frequency_penalty", pa.float64()),
        ("repetition_penalty", pa.float64()),
    ]
)
GENERATION = pa.struct(
    [
        ("model", pa.string()),
        ("commit", pa.string()),
        ("engine", pa.string()),
        ("sampling", SAMPLING),
        ("max_tokens", pa.int32()),
        ("seed", pa.int64()),
        ("finish_reason", pa.string()),
        ("problem_id", pa.string()),
        ("attempt", pa.int32()),
        ("target", pa.string()),
        ("original", pa.string()),
    ]
)
GENERATION_NAMES = tuple(field.name for field in GENERATION)
SCHEMA = pa.schema(
    [
        pa.field("messages", MESSAGES, nullable=False),
        pa.field("reasoning", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("license", pa.string(), nullable=False),
        pa.field("verified", pa.bool_()),
        pa.field("n_tokens", pa.int32()),
        pa.field("generation", GENERATION, nullable=False),
    ]
)
REJECTED_SCHEMA = SCHEMA.append(pa.field("reason", pa.string(), nullable=False)).append(
    pa.field("detail", pa.string(), nullable=False)
)


class RowsWriter:
    """Writes one Parquet file. Nobody sees it before the block ends well: then it is whole and on the disk."""

    def __init__(self, path: Path, *, rejected: bool = False) -> None:
        self._path, self._partial = path, path.with_name(f".{path.name}.partial")
        self._schema = REJECTED_SCHEMA if rejected else SCHEMA
        self._waiting: list[dict[str, Any]] = []
        self.rows = 0

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._partial.open("wb")
        self._file = pq.ParquetWriter(self._stream, self._schema, compression="zstd")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write_group()
        self._file.close()
        if kind is None:
            self._stream.flush()
            os.fsync(self._stream.fileno())
        self._stream.close()
        if kind is not None or not self.rows:
            self._partial.unlink()
            return
        self._partial.replace(self._path)
        sync_folder(self._path.parent)

    def add(self, row: ReasoningRow | RejectedRow) -> None:
        """Add one row: a RejectedRow where the file is of rejected ones."""
        columns = _columns(row.row) | asdict(row.dropped) if isinstance(row, RejectedRow) else _columns(row)
        self._waiting.append(columns)
        self.rows += 1
        if len(self._waiting) >= ROWS_PER_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        if self._waiting:
            self._file.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting = []


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_columns(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of any Parquet file as dicts, a group at a time.

    Raises:
        DatasetRejected: it is not a Parquet file, or lacks one of the `columns`.
    """
    try:
        with pq.ParquetFile(path) as file:
            missing = set(columns or ()) - set(file.schema_arrow.names)
            if missing:
                raise DatasetRejected(f"{path} has no column {min(missing)!r}; it has {file.schema_arrow.names}")
            for batch in file.iter_batches(batch_size=ROWS_PER_GROUP, columns=columns and list(columns)):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DatasetRejected(f"{path} cannot be read as Parquet ({error}); fetch or write it again") from error


def is_ours(path: Path) -> bool:
    """Whether a Parquet file has the columns of our schema."""
    try:
        return set(SCHEMA.names) <= set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise DatasetRejected(f"{path} cannot be read as Parquet ({error}); fetch or write it again") from error


def count_rows(path: Path) -> int:
    """How many rows a Parquet file holds: read from its end, not from its rows."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise DatasetRejected(f"{path} cannot be read as Parquet ({error}); fetch or write it again") from error


def _columns(row: ReasoningRow) -> dict[str, Any]:
    """As `asdict` gives it, without copying every text."""
    columns = {name: getattr(row, name) for name in SCHEMA.names}
    columns["messages"] = [{"role": message.role, "content": message.content} for message in row.messages]
    generation = {name: getattr(row.generation, name) for name in GENERATION_NAMES}
    generation["sampling"] = row.generation.sampling and asdict(row.generation.sampling)
    return columns | {"generation": generation}


def row_of(columns: dict[str, Any]) -> ReasoningRow:
    """A row of our schema from its columns."""
    generation = dict(columns["generation"] or {})
    sampling = generation.get("sampling")
    generation["sampling"] = None if sampling is None else Sampling(**sampling)
    return ReasoningRow(
        messages=tuple(Message(**message) for message in columns["messages"]),
        reasoning=columns["reasoning"],
        answer=columns["answer"],
        source=columns["source"],
        license=columns["license"],
        verified=columns["verified"],
        n_tokens=columns["n_tokens"],
        generation=Generation(**generation),
    )


def rejected_of(columns: dict[str, Any]) -> RejectedRow:
    """A rejected row of our schema from its columns."""
    dropped = Dropped(reason=columns["reason"], detail=columns["detail"])
    return RejectedRow(row=row_of(columns), dropped=dropped)
