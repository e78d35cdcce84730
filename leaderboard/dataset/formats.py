"""Any table as CSV, Parquet or JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from enum import StrEnum

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from leaderboard.dataset.columns import Record, Table
from leaderboard.table import safe_cell


class Format(StrEnum):
    """How a table is written."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}


def render(table: Table, records: Sequence[Record], format: Format) -> bytes:
    """The rows of a table. JSON is a list of objects; lists in CSV cells are joined with spaces."""
    if format is Format.JSON:
        return orjson.dumps(list(records))
    return _csv(table, records) if format is Format.CSV else parquet(table, records)


def parquet(table: Table, records: Sequence[Record], schema: pa.Schema | None = None) -> bytes:
    """The rows as a Parquet file with the table's own types (`schema`: those of a wider table)."""
    schema = schema or table.schema
    columns = {name: [record[name] for record in records] for name in schema.names}
    return parquet_bytes(pa.table(columns, schema=schema))


def parquet_bytes(table: pa.Table) -> bytes:
    """An Arrow table as a Parquet file. One without rows has no row group either: readers stumble over an empty one."""
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        if len(table):
            writer.write_table(table)
    return sink.getvalue()


def _csv(table: Table, records: Sequence[Record]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.schema.names)
    for record in records:
        cells = (record[name] for name in table.schema.names)
        writer.writerow([safe_cell(" ".join(cell) if isinstance(cell, list) else cell) for cell in cells])
    return out.getvalue().encode()


def parquet_columns(data: bytes) -> list[str]:
    """The columns of a Parquet file; none where it is not one."""
    try:
        return list(pq.read_schema(pa.BufferReader(data)).names)
    except pa.ArrowException:
        return []
