"""Training runs: their curves together, and how each one goes; refreshed while somebody looks."""

from __future__ import annotations

from typing import Any

import gradio as gr

from leaderboard.pages.frame import QUIETLY, PageContext, changed, header, live_html, or_refusal
from leaderboard.runs import measured_runs
from leaderboard.views.markup import Html
from leaderboard.views.runs import RunsChoice, read_choice
from leaderboard.views.runs import runs_page as whole_page

RUNS_REFRESH_S = 5.0
RUNS_WATCHED = 12


def runs_page(page: gr.Blocks, context: PageContext) -> None:
    """The address chooses runs and axis: `?runs=a,b&over=tokens`."""
    header("runs", context)
    asked, shown, html = gr.State(None), gr.State(None), live_html()

    def load(request: gr.Request) -> tuple[Any, ...]:
        choice = read_choice(dict(request.query_params))
        return (choice, *changed(or_refusal(lambda: render_runs(context, choice)), None))

    def tick(choice: RunsChoice | None, seen: str | None) -> tuple[Any, ...]:
        return changed(or_refusal(lambda: render_runs(context, choice or RunsChoice())), seen)

    page.load(load, None, [asked, html, shown], **QUIETLY)
    gr.Timer(RUNS_REFRESH_S).tick(tick, [asked, shown], [html, shown], **QUIETLY)


def render_runs(context: PageContext, choice: RunsChoice) -> Html:
    """The page as it is now."""
    names = [name for name in context.training.runs() if not choice.runs or name in choice.runs]
    watched = [run for name in names[:RUNS_WATCHED] if (run := context.training.read(name)) is not None]
    return whole_page(measured_runs(context.board), watched, choice)
