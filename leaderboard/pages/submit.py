"""The form of a submission."""

from __future__ import annotations

from typing import Any

import gradio as gr

from evaluator.benchmarks import BENCHMARKS
from evaluator.errors import OpenR1Error
from leaderboard.pages.frame import PageContext, header
from leaderboard.submissions import LONGEST_NOTE, LONGEST_PATH
from leaderboard.views import shell


def submit_page(_page: gr.Blocks, context: PageContext) -> None:
    """The form, and what became of what it sent."""
    header("submit", context)
    with gr.Column(elem_classes="form-page"):
        gr.HTML(
            f'<div class="board">{shell.submit_intro(local_mode=context.local_mode)}</div>', apply_default_css=False
        )
        fields = _form_fields(context)
        button = gr.Button("Submit", variant="primary", elem_id="submit-button")
        message = gr.HTML(apply_default_css=False, elem_id="submit-message")

    def submit(*values: Any) -> str:
        form = {name: value for name, value in zip(fields, values, strict=True) if value not in (None, "", [])}
        try:
            answer = shell.submitted(context.submit(form))
        except OpenR1Error as refusal:
            answer = shell.refused(str(refusal))
        return f'<div class="board">{answer}</div>'

    button.click(submit, list(fields.values()), message, queue=False, show_progress="minimal", api_visibility="private")


def _form_fields(context: PageContext) -> dict[str, gr.components.Component]:
    """The fields of a submission by the names that its checks know."""
    where = "A Hub id such as owner/name" + (", or a folder on this machine." if context.local_mode else ".")
    choices = [(f"{b.title} · {b.problems} × {b.attempts}", b.name) for b in BENCHMARKS.values()]
    fields: dict[str, gr.components.Component] = {
        "model": gr.Textbox(label="Model", info=where, max_lines=1, max_length=LONGEST_PATH),
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
        fields["note"] = gr.Textbox(label="Note", info="Shown in the queue.", lines=2, max_length=LONGEST_NOTE)
    return fields
