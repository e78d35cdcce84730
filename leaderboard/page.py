"""The page: five addresses, each a few Gradio components around HTML of `leaderboard/views/`. The only door to gradio.

Everything is served from this machine: no fonts, scripts or telemetry from elsewhere. Foreign text reaches the browser
only inside the views' escaped HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from evaluator.benchmarks import BENCHMARKS
from evaluator.errors import OpenR1Error
from leaderboard.board import Board
from leaderboard.compare import compare_results
from leaderboard.contracts import JobQueue, LiveBoard, LiveState
from leaderboard.submissions import LONGEST_NOTE, LONGEST_PATH
from leaderboard.types import JobRecord, ResultRow, Status
from leaderboard.views import board as board_view
from leaderboard.views import compare as compare_view
from leaderboard.views import history as history_view
from leaderboard.views import problems as problems_view
from leaderboard.views import queue as queue_view
from leaderboard.views import result as result_view
from leaderboard.views import shell
from leaderboard.views.breakdown import breakdown_section
from leaderboard.views.markup import NOTHING, Html, join
from leaderboard.views.selection import Selection, read_query, read_selection

ASSETS = Path(__file__).parent / "assets"
QUEUE_REFRESH_S = 2.0
BOARD_REFRESH_S = 5.0
SYSTEM_FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO_FONTS = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

COLOURS = {
    "body_background_fill": "var(--ground)",
    "body_text_color": "var(--ink)",
    "body_text_color_subdued": "var(--quiet)",
    "block_background_fill": "transparent",
    "block_info_text_color": "var(--quiet)",
    "block_label_text_color": "var(--ink)",
    "block_title_text_color": "var(--ink)",
    "input_background_fill": "var(--ground)",
    "input_border_color": "var(--field)",
    "input_border_color_focus": "var(--accent)",
    "input_placeholder_color": "var(--quiet)",
    "checkbox_background_color": "var(--ground)",
    "checkbox_border_color": "var(--field)",
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_background_fill_selected": "transparent",
    "checkbox_label_text_color_selected": "var(--ink)",
    "button_primary_background_fill": "#2459b3",
    "button_primary_background_fill_hover": "#1c478f",
    "button_primary_text_color": "#ffffff",
}
"""Gradio's names for colours, as the variables of `page.css`, which know light and dark by themselves."""

QUIETLY: Mapping[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""How every event runs: at once, without a spinner over the page, and not as an endpoint of Gradio's own API."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageContext:
    """What the page shows and whom it asks."""

    board: Board
    queue: JobQueue
    live: LiveBoard
    submit: Callable[[dict[str, Any]], JobRecord]
    """Checks a form and queues the job. Raises OpenR1Error with a message for people."""
    local_mode: bool
    """On this machine only, without login: folders may be submitted, and everybody may cancel and retry."""


def build_page(context: PageContext) -> gr.Blocks:
    """The whole site, to be launched with `launch_options()`."""
    script = (ASSETS / "page.js").read_text(encoding="utf-8")
    with gr.Blocks(title="open-r1 leaderboard", analytics_enabled=False) as page:
        _leaderboard_page(page, context, script)
    with page.route("Submit", "submit"):
        _submit_page(context)
    with page.route("Queue", "queue"):
        _queue_page(page, context, script)
    with page.route("Compare", "compare"):
        _compare_page(page, context, script)
    with page.route("Result", "result", show_in_navbar=False):
        _result_page(page, context, script)
    return page


def launch_options() -> dict[str, Any]:
    """Keyword arguments for `Blocks.launch`: our looks, none of Gradio's extras, nothing fetched from elsewhere."""
    return {
        "css": (ASSETS / "page.css").read_text(encoding="utf-8"),
        "theme": theme(),
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "share": False,
        "enable_monitoring": False,
    }


def theme() -> gr.themes.Base:
    """Gradio's own components in the colours of `page.css`, with the system's fonts."""
    base = gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=[gr.themes.Font(name) for name in SYSTEM_FONTS],
        font_mono=[gr.themes.Font(name) for name in MONO_FONTS],
    )
    in_the_dark = {f"{name}_dark": colour for name, colour in COLOURS.items()}
    return base.set(
        **COLOURS,
        **in_the_dark,
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        block_title_text_weight="600",
        input_border_width="1px",
    )


def _header(current: str, context: PageContext) -> None:
    gr.HTML(f'<div class="board">{shell.header(current, local_mode=context.local_mode)}</div>', apply_default_css=False)


def _live_html(script: str, css_class: str = "") -> gr.HTML:
    """A component whose HTML is replaced piece by piece, so that folds, focus and scroll position stay."""
    return gr.HTML(html_template="", js_on_load=script, apply_default_css=False, elem_classes=css_class)


def _or_refusal(render: Callable[[], Html]) -> Html:
    """What `render` shows, or why it cannot be shown: a reader never sits before an empty page."""
    try:
        return render()
    except OpenR1Error as failure:
        return shell.refused(str(failure))


def _changed(html: Html, shown: str | None) -> tuple[Any, Any]:
    """(HTML to send, what the reader now sees), or nothing where they see it already."""
    return (gr.skip(), gr.skip()) if html == shown else (html, html)


def _live_states(context: PageContext, jobs: list[JobRecord]) -> dict[str, LiveState]:
    running = (job.submission.id for job in jobs if job.status is Status.RUNNING)
    return {job_id: state for job_id in running if (state := context.live.read(job_id)) is not None}


def _leaderboard_page(page: gr.Blocks, context: PageContext, script: str) -> None:
    _header("", context)
    shown, html = gr.State(None), _live_html(script)

    def render() -> Html:
        jobs = context.queue.jobs()
        return board_view.leaderboard_page(context.board, jobs, _live_states(context, jobs))

    def show(seen: str | None) -> tuple[Any, Any]:
        return _changed(_or_refusal(render), seen)

    page.load(lambda: show(None), None, [html, shown], **QUIETLY)
    gr.Timer(BOARD_REFRESH_S).tick(show, shown, [html, shown], **QUIETLY)


def _submit_page(context: PageContext) -> None:
    _header("submit", context)
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


def _queue_page(page: gr.Blocks, context: PageContext, script: str) -> None:
    _header("queue", context)
    message = gr.HTML(apply_default_css=False)
    asked, shown, html = gr.State(None), gr.State(None), _live_html(script)

    def render(job_id: str | None) -> Html:
        jobs = context.queue.jobs()
        rows = {row.plan_key: row for row in context.board.rows()}
        return queue_view.queue_page(jobs, _live_states(context, jobs), rows, may_act=context.local_mode, asked=job_id)

    def load(request: gr.Request) -> tuple[Any, ...]:
        job_id = dict(request.query_params).get("job")
        return (job_id, *_changed(_or_refusal(lambda: render(job_id)), None))

    def tick(job_id: str | None, seen: str | None) -> tuple[Any, ...]:
        return _changed(_or_refusal(lambda: render(job_id)), seen)

    def act(job_id: str | None, event: gr.EventData) -> tuple[Any, ...]:
        html_now = _act(context, event._data)
        return (f'<div class="board">{html_now}</div>', *_changed(_or_refusal(lambda: render(job_id)), None))

    page.load(load, None, [asked, html, shown], **QUIETLY)
    gr.Timer(QUEUE_REFRESH_S).tick(tick, [asked, shown], [html, shown], **QUIETLY)
    html.act(act, asked, [message, html, shown], **QUIETLY)


def _act(context: PageContext, asked_for: object) -> Html:
    """Carry out what a button of the queue asks for. What it sent is untrusted."""
    words = asked_for if isinstance(asked_for, dict) else {}
    actions = {"cancel": context.queue.cancel, "retry": context.queue.retry}
    action = actions.get(str(words.get("action")))
    if action is None or not context.local_mode:
        return shell.refused("Jobs can be cancelled and retried only on the machine that runs the board.")
    try:
        action(str(words.get("job")))
    except OpenR1Error as refusal:
        return shell.refused(str(refusal))
    return NOTHING


def _compare_page(page: gr.Blocks, context: PageContext, script: str) -> None:
    _header("compare", context)
    with gr.Column(elem_classes="form-page"):
        gr.HTML(f'<div class="board">{compare_view.compare_head()}</div>', apply_default_css=False)
        first = gr.Dropdown([], label="First result")
        second = gr.Dropdown([], label="Second result", info="Of the same benchmark.")
    html = _live_html(script)

    def load(request: gr.Request) -> tuple[Any, ...]:
        query = dict(request.query_params)
        a, b = query.get("a"), query.get("b")
        return (*lists(a, b), _or_refusal(lambda: render_comparison(context, a, b)))

    def choose(a: str | None, b: str | None) -> tuple[Any, ...]:
        seconds = compare_view.partners(context.board.rows(), a)
        partner = b if b in {key for _, key in seconds} else None
        return (*lists(a, b), _or_refusal(lambda: render_comparison(context, a, partner)))

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


def _result_page(page: gr.Blocks, context: PageContext, script: str) -> None:
    _header("result", context)
    html = _live_html(script, "opens-in-place")

    def load(request: gr.Request) -> Html:
        return _or_refusal(lambda: render_result(context, dict(request.query_params)))

    def follow(event: gr.EventData) -> Html:
        return _or_refusal(lambda: render_result(context, read_query(event._data)))

    page.load(load, None, html, **QUIETLY)
    html.open(follow, None, html, **QUIETLY)


def render_result(context: PageContext, query: Mapping[str, str]) -> Html:
    """The result page for the values of its address."""
    selection = read_selection(query)
    row = next((row for row in context.board.rows() if row.plan_key == selection.plan_key), None)
    if row is None:
        return result_view.unknown_result(selection.plan_key)
    return join(
        [
            result_view.result_head(row),
            history_view.replaced_notice(row),
            history_view.budget_section(row),
            _or_refusal(lambda: breakdown_section(row, context.board.problems(row.plan_key))),
            _problems(context.board, row, selection),
            history_view.history_section(row, context.board.rows()),
            result_view.result_making(row, source=_source(context, row)),
        ]
    )


def _problems(board: Board, row: ResultRow, selection: Selection) -> Html:
    private = row.benchmark in BENCHMARKS and BENCHMARKS[row.benchmark].private
    try:
        problems = board.problems(row.plan_key)
        attempts = board.attempts(row.plan_key, selection.problem_id) if selection.problem_id else []
    except OpenR1Error as failure:
        return shell.refused(str(failure))
    return problems_view.problems_section(problems, attempts, selection, private=private)


def _source(context: PageContext, row: ResultRow) -> str | None:
    """The folder that was served, where this board still knows the job that served it."""
    if row.job_id is None or not context.local_mode:
        return None
    return (
        next((job.submission.source for job in context.queue.jobs() if job.submission.id == row.job_id), None) or None
    )
