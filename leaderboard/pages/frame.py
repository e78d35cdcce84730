"""What every page of the site shares: whom it asks, its frame, and how its HTML is kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from evaluator.errors import OpenR1Error
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.contracts import JobQueue, LiveBoard, LiveState
from leaderboard.desk import OperatorDesk
from leaderboard.preflight import SubmissionDesk
from leaderboard.runs import TrainingLog
from leaderboard.site_routes import ASSETS, asset_link
from leaderboard.spending import Spendings
from leaderboard.types import JobRecord, Status
from leaderboard.views import shell
from leaderboard.views.markup import Html
from leaderboard.visitors import Identify, Visitor, local_visitor

QUIETLY: Mapping[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""How every event runs: at once, without a spinner over the page, and not as an endpoint of Gradio's own API."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageContext:
    """What the page shows and whom it asks."""

    board: Board
    files: BoardFiles
    queue: JobQueue
    live: LiveBoard
    submit: Callable[[dict[str, Any], str], JobRecord]
    """Checks a form and queues the job in somebody's name. Raises OpenR1Error with a message for people."""
    training: TrainingLog
    """The training runs whose files are on this machine."""
    local_mode: bool
    """On this machine only, without login: folders may be submitted, and everybody may cancel and retry."""
    identify: Identify = local_visitor
    """Who has signed in, by the session of their request."""
    operator: OperatorDesk | None = None
    """What maintainers see and change; None where the board is only shown."""
    spending: Callable[[], Spendings | None] = lambda: None
    """What rented machines cost this month; None where it cannot be read now."""
    desk: SubmissionDesk | None = None
    """Looks at a form while it is typed; None where forms are checked at submission alone."""


def header(current: str, context: PageContext) -> None:
    """The site's name and its pages above a page; `current` is the page's address."""
    gr.HTML(f'<div class="board">{shell.header(current, local_mode=context.local_mode)}</div>', apply_default_css=False)


def visitor(context: PageContext, request: gr.Request) -> Visitor | None:
    """Who sends a request; None for somebody who has not signed in."""
    inner = request.request
    return context.identify(inner.session if inner is not None and "session" in inner.scope else {})


def live_html(css_class: str = "", *, scripts: Sequence[str] = ("page.js",)) -> gr.HTML:
    """A component whose HTML is replaced piece by piece, so that folds, focus and scroll position stay.

    `scripts` are files of `assets/` that run once, one after the other, for this component.
    """
    script = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in scripts)
    return gr.HTML(html_template="", js_on_load=script, apply_default_css=False, elem_classes=css_class)


def client_html(module: str, mount: str, css: str) -> gr.HTML:
    """A place that a script of ours draws in: `mount` of the asset `module` is called with an empty element."""
    script = f"""
const root = document.createElement("div");
root.className = "board {css}";
element.replaceChildren(root);
import(new URL("{asset_link(module)}", document.baseURI)).then(({{ {mount} }}) => {mount}(root));
"""
    return gr.HTML(html_template="", js_on_load=script, apply_default_css=False)


def or_refusal(render: Callable[[], Html]) -> Html:
    """What `render` shows, or why it cannot be shown: a reader never sits before an empty page."""
    try:
        return render()
    except OpenR1Error as failure:
        return shell.refused(str(failure))


def changed(html: Html, shown: str | None) -> tuple[Any, Any]:
    """(HTML to send, what the reader now sees), or nothing where they see it already."""
    return (gr.skip(), gr.skip()) if html == shown else (html, html)


def live_states(context: PageContext, jobs: list[JobRecord]) -> dict[str, LiveState]:
    """What the running jobs report of themselves, by job."""
    running = (job.submission.id for job in jobs if job.status is Status.RUNNING)
    return {job_id: state for job_id in running if (state := context.live.read(job_id)) is not None}
