"""The board itself: the table is drawn in the browser; while there is nothing to draw, the server says what happens."""

from __future__ import annotations

from typing import Any

import gradio as gr

from leaderboard.pages.frame import (
    QUIETLY,
    PageContext,
    changed,
    client_html,
    header,
    live_html,
    live_states,
    or_refusal,
)
from leaderboard.views import board as board_view
from leaderboard.views.markup import NOTHING, Html

BOARD_REFRESH_S = 5.0


def leaderboard_page(page: gr.Blocks, context: PageContext) -> None:
    """The heading, what runs now while nothing has been measured, and the table."""
    header("", context)
    gr.HTML(f'<div class="board leaderboard">{board_view.board_head()}</div>', apply_default_css=False)
    shown, html = gr.State(None), live_html()
    client_html("js/board.js", "mountBoard", "lb")

    def render() -> Html:
        if context.board.rows():
            return NOTHING
        jobs = context.queue.jobs()
        return board_view.nothing_yet(jobs, live_states(context, jobs))

    def show(seen: str | None) -> tuple[Any, Any]:
        return changed(or_refusal(render), seen)

    page.load(lambda: show(None), None, [html, shown], **QUIETLY)
    gr.Timer(BOARD_REFRESH_S).tick(show, shown, [html, shown], **QUIETLY)
