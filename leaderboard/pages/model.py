"""Everything that was measured of one model."""

from __future__ import annotations

from collections.abc import Sequence

import gradio as gr

from evaluator.benchmarks import BENCHMARKS
from evaluator.errors import OpenR1Error
from leaderboard.board import preferred
from leaderboard.facts import known_models, merged
from leaderboard.pages.frame import QUIETLY, PageContext, header, live_html, or_refusal
from leaderboard.types import ReferenceScore, ResultRow
from leaderboard.views import model as model_view
from leaderboard.views.markup import Html
from leaderboard.views.model import Opened


def model_page(page: gr.Blocks, context: PageContext) -> None:
    """The model that the address names."""
    header("model", context)
    html = live_html("opens-in-place")

    def load(request: gr.Request) -> Html:
        query = dict(request.query_params)
        return or_refusal(lambda: render_model(context, query.get("name"), query.get("commit")))

    page.load(load, None, html, **QUIETLY)


def render_model(context: PageContext, model: str | None, commit: str | None = None) -> Html:
    """The page of a model by its name on the board; the results of `commit` are marked among others."""
    rows = [row for row in context.board.rows() if row.model == model]
    if not model or not rows:
        return model_view.unknown_model(model)
    standing = {row.benchmark: row for row in _standing(rows)}
    jobs = {row.job_id for row in rows}
    return model_view.model_page(
        model,
        rows,
        facts=merged(*(row.facts for row in rows), known_models().get(model.lower())),
        opened=[_opened(context, standing[name]) for name in BENCHMARKS if name in standing],
        notes={j.submission.id: j.submission.note for j in context.queue.jobs() if j.submission.id in jobs},
        references=_references(context, model),
        ranks={
            score.plan_key: score.rank
            for standing_row in context.board.standings()
            if standing_row.model == model
            for score in standing_row.scores.values()
            if score.rank is not None
        },
        commit=commit,
    )


def _standing(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The result of each benchmark that stands for the model, whichever commit it is of."""
    benchmarks = dict.fromkeys(row.benchmark for row in rows)
    return [preferred(row for row in rows if row.benchmark == name) for name in benchmarks]


def _opened(context: PageContext, row: ResultRow) -> Opened:
    """What a result's sections need. A file that cannot be read leaves its section out: the others still stand."""
    try:
        return Opened(
            row=row, problems=context.board.problems(row.plan_key), lengths=context.board.lengths(row.plan_key)
        )
    except OpenR1Error:
        return Opened(row=row, problems=(), lengths=())


def _references(context: PageContext, model: str) -> list[ReferenceScore]:
    names = (name for name in BENCHMARKS)
    return [
        each for name in names for each in context.board.references_for(name) if each.model.lower() == model.lower()
    ]
