"""The datasets of the board: all of them, or the one that the address names."""

from __future__ import annotations

import gradio as gr

from leaderboard.pages.frame import QUIETLY, PageContext, header, live_html, or_refusal
from leaderboard.views import datasets as datasets_view
from leaderboard.views.markup import Html


def datasets_page(page: gr.Blocks, context: PageContext) -> None:
    """Drawn when it is opened."""
    header("datasets", context)
    html = live_html()

    def load(request: gr.Request) -> Html:
        asked = dict(request.query_params).get("name")
        return or_refusal(lambda: datasets_view.datasets_page(context.board.datasets(), asked))

    page.load(load, None, html, **QUIETLY)
