"""Published results, and what stands behind each: its problems and its attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from evaluator.benchmarks import BENCHMARKS
from leaderboard.api.board import BenchmarkName
from leaderboard.api.context import ApiContext
from leaderboard.api.errors import documented
from leaderboard.api.models import KeyInPath, Limit, Offset, Page
from leaderboard.api.views import OTHER_FORMATS, TABLE_FORMATS, json_response, once, table_answer
from leaderboard.dataset.columns import ATTEMPTS, PROBLEMS, RESULTS, Record, result_record
from leaderboard.dataset.formats import Format
from leaderboard.types import AttemptRow, ProblemRow, ResultRow

ROWS, ATTEMPTS_SHOWN = 100, 50
MOST_ATTEMPTS_SHOWN = 200
PRIVATE_FIELDS = {"prompt": None, "text": None, "reasoning": None, "target": None}


def router(context: ApiContext) -> APIRouter:
    """The routes over results."""
    routes = APIRouter(tags=["results"], prefix="/results")

    @routes.get("", response_model=Page[ResultRow], responses=documented(422, 503))
    def results(
        benchmark: BenchmarkName | None = None,
        model: Annotated[str | None, Query(max_length=200, description="exactly this model")] = None,
        ranked: bool | None = None,
        offset: Offset = 0,
        limit: Limit = ROWS,
    ) -> Response:
        """Every published result, newest first, page by page: plan, statistics, engine and lineage of each."""
        found = [
            row
            for row in context.board.rows()
            if (benchmark is None or row.benchmark == benchmark)
            and (model is None or row.model == model)
            and (ranked is None or row.ranked == ranked)
        ]
        return json_response(page(found, offset, limit))

    @routes.get("/table", response_model=list[dict[str, Any]], responses=OTHER_FORMATS | documented(422, 503))
    async def table(request: Request, format: Format = Format.JSON) -> Response:
        """Every published result as one flat table, exact."""

        def records(rows: Sequence[ResultRow]) -> Sequence[Record]:
            return [result_record(row) for row in rows]

        return await table_answer(request, context, RESULTS, format, records, name=())

    @routes.get("/{plan_key}", response_model=ResultRow, responses=documented(404, 422, 503))
    def result(plan_key: KeyInPath) -> Response:
        """One result, with everything that decides its score."""
        return json_response(context.board.row(plan_key))

    @routes.get(
        "/{plan_key}/problems",
        response_model=list[ProblemRow],
        responses=TABLE_FORMATS | documented(404, 422, 503),
    )
    def problems(request: Request, plan_key: KeyInPath, format: Format = Format.JSON) -> Response:
        """How the model did on each problem: enough to compute every statistic again."""
        rows = context.board.problems(plan_key)
        if format is Format.JSON:
            return json_response([asdict(row) for row in rows])
        return once(request, PROBLEMS, format, [asdict(row) for row in rows])

    @routes.get("/{plan_key}/attempts", response_model=Page[AttemptRow], responses=documented(404, 422, 503))
    def attempts(
        plan_key: KeyInPath,
        problem: Annotated[str | None, Query(max_length=200, description="those at one problem")] = None,
        offset: Offset = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_ATTEMPTS_SHOWN)] = ATTEMPTS_SHOWN,
    ) -> Response:
        """The attempts, page by page, ordered by problem and attempt. Of GPQA hashes, verdicts and letters alone."""
        row = context.board.row(plan_key)
        if problem is not None:
            found = page(context.board.attempts(plan_key, problem), offset, limit)
        else:
            shown, following, total = context.board.attempts_page(plan_key, offset, limit)
            found = {"items": shown, "next": following, "total": total}
        return json_response({**found, "items": [shown_attempt(each, row.benchmark) for each in found["items"]]})

    @routes.get(
        "/{plan_key}/attempts/file",
        response_model=list[AttemptRow],
        responses=TABLE_FORMATS | documented(404, 422, 503),
    )
    def attempts_file(request: Request, plan_key: KeyInPath, format: Format = Format.PARQUET) -> Response:
        """All attempts of a result as one file."""
        row = context.board.row(plan_key)
        found = [asdict(shown_attempt(each, row.benchmark)) for each in context.board.attempts(plan_key)]
        return once(request, ATTEMPTS, format, found)

    return routes


def page(rows: Sequence[Any], offset: int, limit: int) -> dict[str, Any]:
    """Some rows of a list, and where the next ones begin."""
    following = offset + limit if offset + limit < len(rows) else None
    return {"items": list(rows[offset : offset + limit]), "next": following, "total": len(rows)}


def shown_attempt(attempt: AttemptRow, benchmark: str) -> AttemptRow:
    """An attempt as it may leave: the text of a private benchmark is not stored, and would not leave if it were."""
    known = BENCHMARKS.get(benchmark)
    if known is not None and not known.private:
        return attempt
    answer = attempt.answer if attempt.answer is not None and len(attempt.answer) == 1 else None
    return replace(attempt, answer=answer, **PRIVATE_FIELDS)  # type: ignore[arg-type]
