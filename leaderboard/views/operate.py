"""The operator's page: checks in words, workers and leases, what waits, what failed, what is hidden, who did what."""

from __future__ import annotations

from collections.abc import Sequence

from leaderboard.audit import AuditEntry
from leaderboard.desk import Overview
from leaderboard.health import Check
from leaderboard.moderation import Hidden
from leaderboard.types import JobRecord
from leaderboard.views.markup import (
    Column,
    Html,
    Row,
    badge,
    fill,
    join,
    model_name,
    moment,
    page_link,
    table,
)


def operate_page(overview: Overview) -> Html:
    """The whole page."""
    state = "ready" if overview.health.ready else "not ready"
    return join(
        [
            fill("<h1>Operation</h1><p class='lead'>The board is {state}. Maintainers see this page.</p>", state=state),
            _checks(overview.health.checks),
            _running(overview.running),
            _waiting(overview.waiting),
            _failures(overview.failures),
            _hidden(overview.hidden),
            _trail(overview.trail),
        ]
    )


def _checks(checks: Sequence[Check]) -> Html:
    rows = [
        [check.name, badge("well" if check.ok else "look here", "correct" if check.ok else "incorrect"), check.detail]
        for check in checks
    ]
    return _section("Checks", ("check", "state", "found"), rows)


def _running(jobs: Sequence[JobRecord]) -> Html:
    rows = [[_job(job), job.worker, job.attempt, job.beat, moment(job.started_at), job.lost] for job in jobs]
    return _section("Workers and leases", ("job", "worker", "attempt", "beat", "since", "workers lost"), rows)


def _waiting(jobs: Sequence[JobRecord]) -> Html:
    rows = [[_job(job), job.submission.submitted_by, job.priority, moment(job.submission.submitted_at)] for job in jobs]
    return _section("Waiting, in their order", ("job", "from", "priority", "since"), rows)


def _failures(jobs: Sequence[JobRecord]) -> Html:
    rows = [
        [_job(job), job.failure.code, job.failure.reason, moment(job.ended_at)]
        for job in jobs
        if job.failure is not None
    ]
    return _section("Recent failures", ("job", "code", "reason", "ended"), rows)


def _hidden(hidden: Sequence[Hidden]) -> Html:
    rows = [[_result(entry.plan_key), entry.reason, entry.by, moment(entry.at)] for entry in hidden]
    return _section("Hidden results", ("result", "reason that everybody reads", "by", "since"), rows)


def _trail(entries: Sequence[AuditEntry]) -> Html:
    rows = [[moment(entry.at), entry.by, entry.action, entry.subject, entry.detail] for entry in entries]
    return _section("Who did what", ("when", "who", "what", "to", "detail"), rows)


def _section(title: str, names: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    if not rows:
        return fill("<h2>{title}</h2><p>Nothing.</p>", title=title)
    return table(
        caption=title,
        columns=[Column(head=name) for name in names],
        rows=[Row(cells=cells) for cells in rows],
        css="plain-words",
        cards=True,
    )


def _job(job: JobRecord) -> Html:
    link = page_link("queue", job=job.submission.id)
    return fill(
        '<a href="{link}"><code>{id}</code></a> {model}',
        link=link,
        id=job.submission.id,
        model=model_name(job.submission.model, job.submission.commit),
    )


def _result(plan_key: str) -> Html:
    return fill('<a href="{link}"><code>{key}</code></a>', link=page_link("result", plan=plan_key), key=plan_key[:12])
