"""The board itself: the table, benchmarks, published scores of others, training curves, and a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import create_model

from evaluator.benchmarks import BENCHMARKS
from leaderboard.api.context import ApiContext
from leaderboard.api.errors import documented
from leaderboard.api.models import COLUMN_TYPES, BenchmarkView, Comparison, Key
from leaderboard.api.views import NOT_CHANGED, OTHER_FORMATS, json_response, prepared_answer, table_answer
from leaderboard.compare import compare_results, comparison_report
from leaderboard.dataset.columns import LEADERBOARD, Record, leaderboard_records
from leaderboard.dataset.formats import Format
from leaderboard.types import CurvePoint, ReferenceScore, ResultRow

ROUNDED_DIGITS = 3
BenchmarkName = StrEnum("BenchmarkName", {name: name for name in BENCHMARKS})  # type: ignore[misc]
_FIELDS: dict[str, Any] = {field.name: (COLUMN_TYPES[str(field.type)] | None, ...) for field in LEADERBOARD.schema}
LeaderboardRow: Any = create_model("LeaderboardRow", **_FIELDS)


def router(context: ApiContext) -> APIRouter:
    """The routes over a board."""
    routes = APIRouter(tags=["board"])

    @routes.get("/leaderboard", response_model=list[LeaderboardRow], responses=OTHER_FORMATS | documented(422, 503))
    async def leaderboard(
        request: Request,
        benchmark: BenchmarkName | None = None,
        format: Format = Format.JSON,
        exact: Annotated[bool, Query(description=f"all digits, instead of {ROUNDED_DIGITS} after the point")] = False,
    ) -> Response:
        """Every model's standing result on every benchmark, best first, with intervals and ranks."""
        chosen = None if benchmark is None else str(benchmark)
        digits = None if exact or format is Format.PARQUET else ROUNDED_DIGITS

        def records(_: Sequence[ResultRow]) -> Sequence[Record]:
            made = leaderboard_records(context.board.leaderboard(chosen))
            return made if digits is None else [_rounded(record, digits) for record in made]

        return await table_answer(request, context, LEADERBOARD, format, records, name=(chosen, digits))

    @routes.get(
        "/leaderboard/columns",
        response_model=dict[str, list[Any]],
        responses={304: NOT_CHANGED, **documented(422, 503)},
    )
    async def columns(request: Request, benchmark: BenchmarkName | None = None) -> Response:
        """The leaderboard as one list per column, all equally long: a third smaller than as rows."""
        chosen = None if benchmark is None else str(benchmark)

        def make(_: Sequence[ResultRow]) -> bytes:
            rows = [_rounded(row, ROUNDED_DIGITS) for row in leaderboard_records(context.board.leaderboard(chosen))]
            return orjson.dumps({name: [row[name] for row in rows] for name in LEADERBOARD.schema.names})

        return await prepared_answer(request, context, ("columns", chosen), make)

    @routes.get("/benchmarks", response_model=list[BenchmarkView])
    def benchmarks() -> Any:
        """What is measured, and under which protocol."""
        return [BenchmarkView.of(each) for each in BENCHMARKS.values()]

    @routes.get("/references", response_model=list[ReferenceScore], responses=documented(422, 503))
    def references(benchmark: BenchmarkName) -> Response:
        """Scores that others published, with their source and settings. Never mixed with ours."""
        return json_response([asdict(each) for each in context.board.references_for(str(benchmark))])

    @routes.get("/curves", response_model=dict[str, dict[str, list[CurvePoint]]], responses=documented(503))
    def curves() -> Response:
        """Training curves: by run and benchmark, one point per checkpoint."""
        return json_response(context.board.curves())

    @routes.get("/compare", response_model=Comparison, responses=documented(404, 422, 503))
    def compare(a: Key, b: Key) -> Response:
        """Two results over the same problems, paired: difference, error, p-value, and what could have been shown."""
        return json_response(comparison_report(compare_results(context.board, a, b)))

    return routes


def _rounded(record: Record, digits: int) -> Record:
    return {name: round(value, digits) if isinstance(value, float) else value for name, value in record.items()}
