"""Whole files inside a table: a board that starts on another machine reads two files instead of ten thousand."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

FILE = pa.field("file", pa.string())
CONTENT = pa.field("content", pa.large_binary())
PACKED = {"results/": "results.parquet", "requests/": "requests.parquet"}
"""The table that holds the files of a folder."""


def packed_files(data: bytes) -> Iterator[bytes]:
    """The whole files inside a packed table; none in a table that is not ours."""
    table = pq.read_table(pa.BufferReader(data))
    if CONTENT.name in table.schema.names:
        yield from (content for content in table[CONTENT.name].to_pylist() if content is not None)
