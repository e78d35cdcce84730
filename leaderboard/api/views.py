"""One way to answer with a table: JSON, CSV or Parquet, prepared once for as long as its rows stay the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from leaderboard.api.context import ApiContext
from leaderboard.api.encoding import Prepared, answer
from leaderboard.dataset.columns import Record, Table
from leaderboard.dataset.formats import MEDIA_TYPES, Format, render
from leaderboard.types import ResultRow

TABLE_FORMATS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            MEDIA_TYPES[Format.CSV]: {"schema": {"type": "string"}},
            MEDIA_TYPES[Format.PARQUET]: {"schema": {"type": "string", "format": "binary"}},
        }
    }
}
OTHER_FORMATS = TABLE_FORMATS | {304: {"description": "not changed since the ETag that was sent"}}
"""What a route that answers with a table documents beside its JSON; the second, one that is prepared once."""
Records = Callable[[Sequence[ResultRow]], Sequence[Record]]


async def table_answer(
    request: Request, context: ApiContext, table: Table, format: Format, records: Records, *, name: tuple[object, ...]
) -> Response:
    """A table made from the published results. `name` tells apart what is asked of it (filters, digits).

    Where nothing was published since it was prepared, this takes no thread and reads no row.
    """
    key = (table.name, format, *name)
    rows = context.board.current()
    ready = None if rows is None else context.prepared.ready(key, rows)
    if ready is None:
        ready = await run_in_threadpool(_make, context, table, format, records, key)
    return answer(request, ready, headers=_named(table, format))


def _make(context: ApiContext, table: Table, format: Format, records: Records, key: object) -> Prepared:
    rows = context.board.rows()
    return context.prepared.get(key, rows, lambda: (render(table, records(rows), format), MEDIA_TYPES[format]))


def once(request: Request, table: Table, format: Format, records: Sequence[Record]) -> Response:
    """A table that is too seldom asked for to be kept."""
    del request
    return Response(render(table, records, format), media_type=MEDIA_TYPES[format], headers=_named(table, format))


def json_response(value: object) -> Response:
    """Anything orjson can write: dataclasses too. What cannot be sent as UTF-8 is a fault of ours and raises."""
    return Response(orjson.dumps(value, default=_plain), media_type="application/json")


def _plain(value: object) -> object:
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no place in an answer")


def _named(table: Table, format: Format) -> dict[str, str]:
    if format is Format.JSON:
        return {}
    return {"Content-Disposition": f'attachment; filename="{table.name}.{format}"'}
