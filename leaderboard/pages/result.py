"""One result, opened down to the completions behind it."""

from __future__ import annotations

from collections.abc import Mapping

import gradio as gr

from evaluator.errors import OpenR1Error
from leaderboard.board import Board
from leaderboard.pages.frame import QUIETLY, PageContext, header, live_html, or_refusal
from leaderboard.types import AttemptRow, ProblemRow, ResultRow, Submission
from leaderboard.views import history as history_view
from leaderboard.views import problems as problems_view
from leaderboard.views import result as result_view
from leaderboard.views import shell
from leaderboard.views.breakdown import breakdown_section
from leaderboard.views.lengths import lengths_section
from leaderboard.views.markup import Html, join
from leaderboard.views.selection import Selection, read_query, read_seen, read_selection
from leaderboard.views.serving import serving_section
from leaderboard.views.template import template_section


def result_page(page: gr.Blocks, context: PageContext) -> None:
    """The result that the address names; its links open in place."""
    header("result", context)
    html = live_html("opens-in-place")

    def load(request: gr.Request) -> Html:
        return or_refusal(lambda: render_result(context, dict(request.query_params)))

    def follow(event: gr.EventData) -> Html:
        query, seen = read_query(event._data), read_seen(event._data)
        return or_refusal(lambda: render_opened(context, query, seen) or render_result(context, query))

    page.load(load, None, html, **QUIETLY)
    html.open(follow, None, html, **QUIETLY)


def render_result(context: PageContext, query: Mapping[str, str]) -> Html:
    """The result page for the values of its address."""
    selection = read_selection(query)
    row = next((row for row in context.board.rows() if row.plan_key == selection.plan_key), None)
    if row is None:
        return result_view.unknown_result(selection.plan_key)
    asked = _asked(context, row)
    return join(
        [
            result_view.result_head(row, note=asked.note if asked else ""),
            history_view.replaced_notice(row),
            history_view.budget_section(row),
            or_refusal(lambda: lengths_section(context.board.lengths(row.plan_key))),
            or_refusal(lambda: breakdown_section(row, context.board.problems(row.plan_key))),
            _problems(context.board, row, selection),
            history_view.history_section(row, context.board.rows()),
            or_refusal(lambda: template_section(row, context.board.template)),
            serving_section(row),
            result_view.result_making(row, source=(asked.source or None) if asked and context.local_mode else None),
        ]
    )


def render_opened(context: PageContext, query: Mapping[str, str], seen: str) -> Html | None:
    """The opened attempt alone, where the reader sees the list it belongs to (`seen` is its key); else None."""
    selection = read_selection(query)
    if not selection.problem_id or seen != problems_view.list_key(selection):
        return None
    row = context.board.row(selection.plan_key)
    problems, attempts = _read(context.board, row, selection)
    return problems_view.opened_part(row, problems, attempts, selection)


def _problems(board: Board, row: ResultRow, selection: Selection) -> Html:
    try:
        problems, attempts = _read(board, row, selection)
    except OpenR1Error as failure:
        return shell.refused(str(failure))
    return problems_view.problems_section(row, problems, attempts, selection)


def _read(board: Board, row: ResultRow, selection: Selection) -> tuple[list[ProblemRow], list[AttemptRow]]:
    attempts = board.attempts(row.plan_key, selection.problem_id) if selection.problem_id else []
    return board.problems(row.plan_key), attempts


def _asked(context: PageContext, row: ResultRow) -> Submission | None:
    """What was asked for, where this board still knows the job that measured it."""
    if row.job_id is None:
        return None
    return next((job.submission for job in context.queue.jobs() if job.submission.id == row.job_id), None)
