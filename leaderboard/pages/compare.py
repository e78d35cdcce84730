"""Two to four results side by side, chosen from a list or by the address, and their completions."""

from __future__ import annotations

from typing import Any

import gradio as gr

from leaderboard.matrix import FEWEST, MOST, ManyCompared, compare_many
from leaderboard.pages.frame import QUIETLY, PageContext, header, live_html, or_refusal
from leaderboard.types import AttemptRow
from leaderboard.views import compare as compare_view
from leaderboard.views import matrix as matrix_view
from leaderboard.views.comparing import Comparing, read_comparing
from leaderboard.views.markup import Html, at_address, join
from leaderboard.views.selection import read_query, read_seen


def compare_page(page: gr.Blocks, context: PageContext) -> None:
    """A list to choose from and the comparison of what is chosen; the address may choose already."""
    header("compare", context)
    with gr.Column(elem_classes="form-page"):
        gr.HTML(f'<div class="board">{compare_view.compare_head()}</div>', apply_default_css=False)
        chosen = gr.Dropdown(
            [],
            label="Results",
            info=f"{FEWEST} to {MOST}, of one benchmark.",
            multiselect=True,
            max_choices=MOST,
            elem_id="compared-results",
        )
    html = live_html("opens-in-place")

    def load(request: gr.Request) -> tuple[Any, ...]:
        view = read_comparing(dict(request.query_params))
        return _list(context, view.keys), or_refusal(lambda: render_comparison(context, view))

    def choose(keys: list[str] | None) -> tuple[Any, ...]:
        offered = {key for _, key in compare_view.offered(context.board.rows(), keys or [])}
        view = Comparing(keys=tuple(key for key in keys or [] if key in offered))
        return _list(context, view.keys), or_refusal(
            lambda: join([at_address(view.link()), render_comparison(context, view)])
        )

    def follow(event: gr.EventData) -> Html:
        view, seen = read_comparing(read_query(event._data)), read_seen(event._data)
        return or_refusal(lambda: render_sides(context, view, seen) or render_comparison(context, view))

    page.load(load, None, [chosen, html], **QUIETLY)
    chosen.input(choose, chosen, [chosen, html], **QUIETLY)
    html.open(follow, None, html, **QUIETLY)


def _list(context: PageContext, chosen: tuple[str, ...]) -> Any:
    """The choices that go with those chosen already."""
    choices = compare_view.offered(context.board.rows(), chosen)
    known = {key for _, key in choices}
    return gr.update(choices=choices, value=[key for key in chosen if key in known])


def render_comparison(context: PageContext, view: Comparing) -> Html:
    """The comparison that an address names, or what is missing for one."""
    if len(view.keys) < FEWEST:
        return compare_view.choose_two()
    many = compare_many(context.board, view.keys)
    return join(
        [compare_view.many_section(many), matrix_view.matrix_section(many, view, _attempts(context, many, view))]
    )


def render_sides(context: PageContext, view: Comparing, seen: str) -> Html | None:
    """The opened problem alone, where the reader sees its matrix (`seen` is its key); else None."""
    if not view.problem_id or seen != view.matrix_key:
        return None
    many = compare_many(context.board, view.keys)
    return matrix_view.sides_part(many, view, _attempts(context, many, view))


def _attempts(context: PageContext, many: ManyCompared, view: Comparing) -> list[list[AttemptRow]]:
    if view.problem_id is None:
        return [[] for _ in many.rows]
    return [context.board.attempts(row.plan_key, view.problem_id) for row in many.rows]
