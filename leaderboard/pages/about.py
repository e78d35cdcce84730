"""What verdicts, intervals and ranks mean, for a newcomer with two minutes."""

from __future__ import annotations

import gradio as gr

from leaderboard.pages.frame import PageContext, header
from leaderboard.views.about import about_page as about_view


def about_page(_page: gr.Blocks, context: PageContext) -> None:
    """One page of words and small pictures; nothing on it changes."""
    header("about", context)
    gr.HTML(f'<div class="board">{about_view()}</div>', apply_default_css=False)
