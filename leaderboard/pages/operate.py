"""The operator's page: for maintainers, on one's own machine for everybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from evaluator.errors import OpenR1Error
from leaderboard.desk import OperatorDesk
from leaderboard.pages.frame import QUIETLY, PageContext, changed, header, live_html, or_refusal, visitor
from leaderboard.views import shell
from leaderboard.views.markup import Html, join
from leaderboard.views.operate import operate_page as whole_page
from leaderboard.visitors import Visitor

REFRESH_S = 10.0
Act = Callable[[OperatorDesk, Visitor], str]


def operate_page(page: gr.Blocks, context: PageContext) -> None:
    """What is going on, refreshed while somebody looks, and three things a maintainer may do about it."""
    header("operate", context)
    shown, html = gr.State(None), live_html()
    message = gr.HTML(apply_default_css=False)
    with gr.Accordion("Change something", open=False):
        key = gr.Textbox(label="Result", info="Its id: the plan in the address of its page.", max_lines=1)
        reason = gr.Textbox(label="Reason", info="Everybody reads it.", max_lines=2, max_length=500)
        with gr.Row():
            hide, show = gr.Button("Hide the result", variant="primary"), gr.Button("Show it again")
        job = gr.Textbox(label="Job", info="The id of one that waits.", max_lines=1)
        priority = gr.Textbox(label="Priority", info="From -100 to 100; 0 is usual.", max_lines=1, value="0")
        order = gr.Button("Set its priority")

    # Gradio hands over the request where a parameter is declared as one.
    def load(request: gr.Request) -> tuple[Any, Any]:
        return changed(or_refusal(lambda: render_operation(context, visitor(context, request))), None)

    def tick(seen: str | None, request: gr.Request) -> tuple[Any, Any]:
        return changed(or_refusal(lambda: render_operation(context, visitor(context, request))), seen)

    def hide_result(plan_key: str, why: str, request: gr.Request) -> str:
        return _act(context, request, lambda desk, who: _hidden(desk, plan_key.strip(), why, who))

    def show_result(plan_key: str, request: gr.Request) -> str:
        return _act(context, request, lambda desk, who: _shown(desk, plan_key.strip(), who))

    def set_priority(job_id: str, number: str, request: gr.Request) -> str:
        return _act(context, request, lambda desk, who: _moved(desk, job_id.strip(), number.strip(), who))

    page.load(load, None, [html, shown], **QUIETLY)
    gr.Timer(REFRESH_S).tick(tick, shown, [html, shown], **QUIETLY)
    hide.click(hide_result, [key, reason], message, **QUIETLY)
    show.click(show_result, key, message, **QUIETLY)
    order.click(set_priority, [job, priority], message, **QUIETLY)


def render_operation(context: PageContext, visitor: Visitor | None) -> Html:
    """The page as it is now, for a maintainer."""
    if context.operator is None or visitor is None or not visitor.maintainer:
        refusal = shell.refused("This page is for the board's maintainers: sign in as one.")
        return join([Html("<h1>Operation</h1>"), refusal])
    return whole_page(context.operator.overview())


def _act(context: PageContext, request: gr.Request, act: Act) -> str:
    who = visitor(context, request)
    if context.operator is None or who is None or not who.maintainer:
        answer = shell.refused("Only the board's maintainers may change this: sign in as one.")
    else:
        try:
            answer = shell.done(act(context.operator, who))
        except OpenR1Error as refusal:
            answer = shell.refused(str(refusal))
    return f'<div class="board">{answer}</div>'


def _hidden(desk: OperatorDesk, plan_key: str, reason: str, who: Visitor) -> str:
    desk.hide(plan_key, reason, who)
    return f"{plan_key} is hidden."


def _shown(desk: OperatorDesk, plan_key: str, who: Visitor) -> str:
    desk.show(plan_key, who)
    return f"{plan_key} is shown again."


def _moved(desk: OperatorDesk, job_id: str, number: str, who: Visitor) -> str:
    if not number.removeprefix("-").isdigit():
        raise NoNumber(f"{number[:40]!r} is not a whole number from -100 to 100")
    desk.prioritize(job_id, int(number[:5]), who)
    return f"{job_id} has priority {number}."


class NoNumber(OpenR1Error):
    """A priority is a whole number."""

    code = "no_number"
