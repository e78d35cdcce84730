"""The charts: drawn in the browser from the same files as the table."""

from __future__ import annotations

import gradio as gr

from leaderboard.pages.frame import PageContext, client_html, header
from leaderboard.views import shell


def charts_page(_page: gr.Blocks, context: PageContext) -> None:
    """The heading, and a place that the charts are drawn in."""
    header("charts", context)
    gr.HTML(f'<div class="board">{shell.charts_head()}</div>', apply_default_css=False)
    client_html("js/charts.js", "mountCharts", "chart-page")
