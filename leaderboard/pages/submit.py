"""The form of a submission, and what is known of it while somebody types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from evaluator.benchmarks import BENCHMARKS
from evaluator.errors import OpenR1Error
from leaderboard.pages.frame import QUIETLY, PageContext, header, live_html, or_refusal, visitor
from leaderboard.submissions import LONGEST_NOTE, LONGEST_PATH
from leaderboard.views import preflight as preflight_view
from leaderboard.views import shell
from leaderboard.views.markup import NOTHING, Html, fill, join
from leaderboard.visitors import Visitor


def submit_page(page: gr.Blocks, context: PageContext) -> None:
    """The form, what became of what it sent, and beside it what is known of it as it stands."""
    header("submit", context)
    with gr.Row(elem_classes="form-and-checks"):
        with gr.Column(elem_classes="form-page", scale=3):
            gr.HTML(
                f'<div class="board">{shell.submit_intro(local_mode=context.local_mode)}</div>', apply_default_css=False
            )
            fields = _form_fields(context)
            with gr.Row(elem_classes="form-buttons"):
                button = gr.Button("Submit", variant="primary", elem_id="submit-button")
                trial = gr.Button("Try one problem first", variant="secondary", elem_id="trial-button")
            message = gr.HTML(apply_default_css=False, elem_id="submit-message")
        with gr.Column(elem_classes="form-checks", scale=2):
            checks, prompt = live_html(scripts=("page.js", "form.js")), live_html()

    # Gradio hands the request to the parameter that is declared as one: it stands first, before the fields' values.
    def submit(request: gr.Request, *values: Any) -> str:
        return _answer(context, _form(fields, values), visitor(context, request))

    def submit_trial(request: gr.Request, *values: Any) -> str:
        return _answer(context, {**_form(fields, values), "trial": True}, visitor(context, request))

    def check(*values: Any) -> Html:
        return or_refusal(lambda: render_checks(context, _form(fields, values)))

    def first_prompt(*values: Any) -> Html:
        return or_refusal(lambda: render_first_prompt(context, _form(fields, values)))

    inputs: list[Any] = list(fields.values())
    sent: Mapping[str, Any] = {"queue": False, "show_progress": "minimal", "api_visibility": "private"}
    button.click(submit, inputs, message, **sent)
    trial.click(submit_trial, inputs, message, **sent)
    checks.typed(check, inputs, checks, **QUIETLY).then(first_prompt, inputs, prompt, **QUIETLY)
    opened = page.load(_prefilled(list(fields)), None, inputs, **QUIETLY)
    opened.then(check, inputs, checks, **QUIETLY).then(first_prompt, inputs, prompt, **QUIETLY)


def render_checks(context: PageContext, form: Mapping[str, Any]) -> Html:
    """What is known of a form as it stands; nothing where this board checks at submission alone."""
    if context.desk is None:
        return NOTHING
    return join([_about(form), preflight_view.preflight_section(context.desk.check(form))])


def render_first_prompt(context: PageContext, form: Mapping[str, Any]) -> Html:
    """The first prompt that a form would send."""
    if context.desk is None:
        return NOTHING
    return join([_about(form), preflight_view.first_prompt_section(context.desk.first_prompt(form))])


def _about(form: Mapping[str, Any]) -> Html:
    """Says of which model something is, so that an answer that comes late is not shown under another name."""
    return fill('<div hidden data-about="{model}"></div>', model=str(form.get("model") or "").strip())


def _answer(context: PageContext, form: dict[str, Any], visitor: Visitor | None) -> str:
    if visitor is None:
        return f'<div class="board">{shell.sign_in("submit")}</div>'
    try:
        answer = shell.submitted(context.submit(form, visitor.name))
    except OpenR1Error as refusal:
        answer = shell.refused(str(refusal))
    return f'<div class="board">{answer}</div>'


def _form(fields: Mapping[str, Any], values: tuple[Any, ...]) -> dict[str, Any]:
    """What was filled in, by the names that the checks know."""
    return {name: value for name, value in zip(fields, values, strict=True) if value not in (None, "", [])}


def _prefilled(names: list[str]) -> Any:
    """A function that fills the form from the address: `submit?model=owner/name&benchmarks=math_500,aime_2024`."""

    def fill_in(request: gr.Request) -> tuple[Any, ...]:
        query = dict(request.query_params)
        known = [name for name in query.get("benchmarks", "").split(",") if name in BENCHMARKS]
        # What the address does not name is left alone: somebody may have begun to type before this answer came.
        return tuple((known if name == "benchmarks" else query.get(name)) or gr.skip() for name in names)

    return fill_in


def _form_fields(context: PageContext) -> dict[str, gr.components.Component]:
    """The fields of a submission by the names that its checks know."""
    where = "A Hub id such as owner/name" + (", or a folder on this machine." if context.local_mode else ".")
    choices = [(f"{b.title} · {b.problems} × {b.attempts}", b.name) for b in BENCHMARKS.values()]
    fields: dict[str, gr.components.Component] = {
        "model": gr.Textbox(label="Model", info=where, max_lines=1, max_length=LONGEST_PATH, elem_id="submit-model"),
        "revision": gr.Textbox(
            label="Revision",
            info="Branch, tag or commit; empty means main. It is pinned to a commit.",
            max_lines=1,
            max_length=200,
        ),
        "benchmarks": gr.CheckboxGroup(choices, label="Benchmarks", info="Problems × attempts at each."),
    }
    with gr.Accordion("Advanced", open=False):
        # Text, not gr.Number: that one shows an empty field as 0, which nobody asked for.
        fields["attempts"] = gr.Textbox(
            label="Attempts per problem",
            info="Empty: as many as the protocol asks for. Fewer: shown, not ranked.",
            max_lines=1,
            max_length=9,
        )
        fields["max_tokens"] = gr.Textbox(
            label="Answer budget, tokens",
            info="Empty: the protocol's. Another: shown, not ranked.",
            max_lines=1,
            max_length=9,
        )
        fields["tensor_parallel_size"] = gr.Textbox(
            label="Tensor parallel size",
            info="GPUs that share the model. Empty: the planner chooses.",
            max_lines=1,
            max_length=9,
        )
        fields["note"] = gr.Textbox(
            label="Note", info="Shown in the queue and with the results.", lines=2, max_length=LONGEST_NOTE
        )
    return fields
