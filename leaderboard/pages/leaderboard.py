"""The board itself, refreshed while it is looked at."""

from __future__ import annotations

from typing import Any

import gradio as gr

from leaderboard.pages.frame import QUIETLY, PageContext, changed, header, live_html, live_states, or_refusal
from leaderboard.views import board as board_view
from leaderboard.views.markup import Html

BOARD_REFRESH_S = 5.0


def leaderboard_page(page: gr.Blocks, context: PageContext) -> None:
    """The board, drawn anew whenever what it shows has changed."""
    header("", context)
    shown, html = gr.State(None), live_html()

    def render() -> Html:
        jobs = context.queue.jobs()
        return board_view.leaderboard_page(context.board, jobs, live_states(context, jobs))

    def show(seen: str | None) -> tuple[Any, Any]:
        return changed(or_refusal(render), seen)

    page.load(lambda: show(None), None, [html, shown], **QUIETLY)
    gr.Timer(BOARD_REFRESH_S).tick(show, shown, [html, shown], **QUIETLY)
