"""The queue and what runs now; its buttons cancel and retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from evaluator.errors import OpenR1Error
from leaderboard.pages.frame import QUIETLY, PageContext, changed, header, live_html, live_states, or_refusal, visitor
from leaderboard.trials import Trial
from leaderboard.types import JobRecord, Status
from leaderboard.views import queue as queue_view
from leaderboard.views import shell
from leaderboard.views.markup import NOTHING, Html
from leaderboard.views.money import Money
from leaderboard.visitors import Visitor, not_theirs

QUEUE_REFRESH_S = 2.0
TRIALS_SHOWN = 5


def queue_page(page: gr.Blocks, context: PageContext) -> None:
    """Jobs and their progress, refreshed while somebody looks; the address may point at one of them."""
    header("queue", context)
    message = gr.HTML(apply_default_css=False)
    asked, shown, html = gr.State(None), gr.State(None), live_html()

    def render(job_id: str | None, request: gr.Request) -> Html:
        jobs = context.queue.jobs()
        rows = {row.plan_key: row for row in context.board.rows()}
        who = visitor(context, request)
        return queue_view.queue_page(
            jobs,
            live_states(context, jobs),
            rows,
            may_act=who is not None,
            money=Money(context.spending(), who.name if who else None),
            asked=job_id,
            trials=_trials(context, jobs, job_id),
        )

    def load(request: gr.Request) -> tuple[Any, ...]:
        job_id = dict(request.query_params).get("job")
        return (job_id, *changed(or_refusal(lambda: render(job_id, request)), None))

    def tick(job_id: str | None, seen: str | None, request: gr.Request) -> tuple[Any, ...]:
        return changed(or_refusal(lambda: render(job_id, request)), seen)

    def act(job_id: str | None, request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
        html_now = _act(context, event._data, visitor(context, request))
        return (f'<div class="board">{html_now}</div>', *changed(or_refusal(lambda: render(job_id, request)), None))

    page.load(load, None, [asked, html, shown], **QUIETLY)
    gr.Timer(QUEUE_REFRESH_S).tick(tick, [asked, shown], [html, shown], **QUIETLY)
    html.act(act, asked, [message, html, shown], **QUIETLY)


def _trials(context: PageContext, jobs: Sequence[JobRecord], asked: str | None) -> dict[str, tuple[Trial, ...]]:
    """What trials came to: of the job that was asked for, and of the latest."""
    ended = [job.submission.id for job in jobs if job.submission.trial and job.status is Status.FINISHED]
    shown = [job_id for job_id in ended if job_id == asked or job_id in ended[:TRIALS_SHOWN]]
    return {job_id: context.board.trials(job_id) for job_id in shown}


def _act(context: PageContext, asked_for: object, visitor: Visitor | None) -> Html:
    """Carry out what a button of the queue asks for. What it sent is untrusted."""
    words = asked_for if isinstance(asked_for, dict) else {}
    actions = {"cancel": context.queue.cancel, "retry": context.queue.retry}
    action = actions.get(str(words.get("action")))
    if action is None or visitor is None:
        return shell.refused("Sign in first: people cancel and retry their own jobs, maintainers all of them.")
    try:
        job = context.queue.find(str(words.get("job")))
        if not visitor.may_act_on(job):
            return shell.refused(not_theirs(job))
        action(job.submission.id, by=visitor.name)
    except OpenR1Error as refusal:
        return shell.refused(str(refusal))
    return NOTHING
