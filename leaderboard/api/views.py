"""One way to answer with a table: JSON, CSV or Parquet, prepared once for as long as its rows stay the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
NOT_CHANGED = {"description": "not changed since the ETag that was sent"}
OTHER_FORMATS = TABLE_FORMATS | {304: NOT_CHANGED}
"""What a route that answers with a table documents beside its JSON; the second, one that is prepared once."""
Records = Callable[[Sequence[ResultRow]], Sequence[Record]]


async def table_answer(
    request: Request, context: ApiContext, table: Table, format: Format, records: Records, *, name: tuple[object, ...]
) -> Response:
    """A table made from the published results. `name` tells apart what is asked of it (filters, digits).

    Where nothing was published since it was prepared, this takes no thread and reads no row.
    """

    def make(rows: Sequence[ResultRow]) -> bytes:
        return render(table, records(rows), format)

    return await prepared_answer(
        request, context, (table.name, format, *name), make, MEDIA_TYPES[format], _named(table, format)
    )


async def prepared_answer(
    request: Request,
    context: ApiContext,
    key: tuple[object, ...],
    make: Callable[[Sequence[ResultRow]], bytes],
    media_type: str = MEDIA_TYPES[Format.JSON],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """What `make` makes of the published results, kept under `key` for as long as these stay the same."""
    rows = context.board.current()
    ready = None if rows is None else context.prepared.ready(key, rows)
    if ready is None:

        def prepare_now() -> Prepared:
            newest = context.board.rows()
            return context.prepared.get(key, newest, lambda: (make(newest), media_type))

        ready = await run_in_threadpool(prepare_now)
    return answer(request, ready, headers=headers)


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
