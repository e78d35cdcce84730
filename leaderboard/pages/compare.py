"""Two results side by side, chosen from lists or by the address."""

from __future__ import annotations

from typing import Any

import gradio as gr

from leaderboard.compare import compare_results
from leaderboard.pages.frame import QUIETLY, PageContext, header, live_html, or_refusal
from leaderboard.views import compare as compare_view
from leaderboard.views.markup import Html


def compare_page(page: gr.Blocks, context: PageContext) -> None:
    """Two lists to choose from and the comparison of what is chosen; the address may choose already."""
    header("compare", context)
    with gr.Column(elem_classes="form-page"):
        gr.HTML(f'<div class="board">{compare_view.compare_head()}</div>', apply_default_css=False)
        first = gr.Dropdown([], label="First result")
        second = gr.Dropdown([], label="Second result", info="Of the same benchmark.")
    html = live_html()

    def load(request: gr.Request) -> tuple[Any, ...]:
        query = dict(request.query_params)
        a, b = query.get("a"), query.get("b")
        return (*lists(a, b), or_refusal(lambda: render_comparison(context, a, b)))

    def choose(a: str | None, b: str | None) -> tuple[Any, ...]:
        seconds = compare_view.partners(context.board.rows(), a)
        partner = b if b in {key for _, key in seconds} else None
        return (*lists(a, b), or_refusal(lambda: render_comparison(context, a, partner)))

    def lists(a: str | None, b: str | None) -> tuple[Any, Any]:
        rows = context.board.rows()
        return _list(compare_view.choices(rows), a), _list(compare_view.partners(rows, a), b)

    shown = [first, second, html]
    page.load(load, None, shown, **QUIETLY)
    gr.on([first.input, second.input], choose, [first, second], shown, **QUIETLY)


def _list(choices: list[tuple[str, str]], chosen: str | None) -> Any:
    """A list's new choices, with the chosen one where it is among them."""
    return gr.update(choices=choices, value=chosen if chosen in {key for _, key in choices} else None)


def render_comparison(context: PageContext, a: str | None, b: str | None) -> Html:
    """The comparison of two results by their plan keys, or what is missing for one."""
    if not a or not b:
        return compare_view.choose_two()
    return compare_view.comparison_section(compare_results(context.board, a, b))
