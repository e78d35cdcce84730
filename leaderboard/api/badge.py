"""A score as a small picture, to be embedded in a model's card. Drawn here; nothing is fetched from elsewhere."""

from __future__ import annotations

import html
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from evaluator.benchmarks import BENCHMARKS
from leaderboard.api.board import BenchmarkName
from leaderboard.api.context import ApiContext
from leaderboard.api.encoding import answer, prepare
from leaderboard.api.errors import documented
from leaderboard.board import Board

MEDIA_TYPE = "image/svg+xml"
HEIGHT, PAD, CHARACTER = 20, 8, 6.6
LABEL_COLOUR, VALUE_COLOUR, UNKNOWN_COLOUR = "#33415c", "#2459b3", "#6b7280"
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img"
aria-label="{label}: {value}">
<title>{label}: {value}</title>
<rect width="{left}" height="{height}" rx="3" fill="{label_colour}"/>
<rect x="{left}" width="{right}" height="{height}" rx="3" fill="{value_colour}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">
<text x="{label_x}" y="14">{label}</text><text x="{value_x}" y="14">{value}</text></g></svg>
"""


def router(context: ApiContext) -> APIRouter:
    """The badge's route."""
    routes = APIRouter(tags=["badge"])

    @routes.get(
        "/badge.svg",
        response_class=Response,
        responses={
            200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}},
            304: {"description": "not changed since the ETag that was sent"},
            **documented(422, 503),
        },
    )
    async def badge(
        request: Request,
        model: Annotated[str, Query(min_length=1, max_length=200)],
        benchmark: BenchmarkName,
    ) -> Response:
        """A model's standing score with its 95 % interval, as SVG; for one that was not measured, just that."""
        label = BENCHMARKS[str(benchmark)].title
        value = await run_in_threadpool(shown_score, context.board, model, str(benchmark))
        picture = svg(label, value or "not measured", known=value is not None)
        return answer(request, prepare(picture.encode(), MEDIA_TYPE), headers={"Cache-Control": "max-age=300"})

    return routes


def shown_score(board: Board, model: str, benchmark: str) -> str | None:
    """The best ranked result of a model, of all its commits, in words; None where it has none."""
    scores = [entry.scores[benchmark] for entry in board.leaderboard(benchmark) if entry.model == model]
    if not scores:
        return None
    best = max(scores, key=lambda score: (score.ranked, score.measured_at))
    low, high = best.ci95
    return f"{best.score:.1f} ({low:.1f} to {high:.1f}){'' if best.ranked else ', not ranked'}"


def svg(label: str, value: str, *, known: bool) -> str:
    """The picture."""
    left, right = (round(len(text) * CHARACTER + 2 * PAD) for text in (label, value))
    return SVG.format(
        width=left + right,
        height=HEIGHT,
        left=left,
        right=right,
        label=html.escape(label),
        value=html.escape(value),
        label_x=left / 2,
        value_x=left + right / 2,
        label_colour=LABEL_COLOUR,
        value_colour=VALUE_COLOUR if known else UNKNOWN_COLOUR,
    )
