"""The queue: every job with where it stands, what it is doing right now, and why it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluator.benchmarks import BENCHMARKS
from evaluator.types import Progress
from leaderboard.contracts import LiveState
from leaderboard.preflight import waiting as waiting_time
from leaderboard.trials import Trial
from leaderboard.types import Failure, JobKind, JobRecord, ResultRow, Status
from leaderboard.views.datasets import generation_progress
from leaderboard.views.live import advice, next_steps, run_charts, trial_note, trial_section
from leaderboard.views.markup import (
    NOTHING,
    Html,
    badge,
    count,
    duration,
    fill,
    interval,
    join,
    model_name,
    moment,
    notice,
    page_link,
    points,
    progress_bar,
    short_commit,
)
from leaderboard.views.money import Money

STATUS_WORDS = {
    Status.PENDING: "waiting",
    Status.RUNNING: "running",
    Status.FINISHED: "finished",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
}
CANCEL_WARNING = {
    JobKind.EVALUATE: "The run stops at once. Answers it already has stay in its journal, so asking for the same "
    "evaluation again continues from there; until then there is no result.",
    JobKind.GENERATE: "The generation stops at once. Every answer it has stays: the same recipe continues from there.",
    JobKind.TRAIN: "The training run stops at once. Checkpoints it has saved stay, steps since the last one are lost.",
}


def queue_page(
    jobs: Sequence[JobRecord],
    live: Mapping[str, LiveState],
    rows: Mapping[str, ResultRow],
    *,
    may_act: bool,
    asked: str | None = None,
    trials: Mapping[str, Sequence[Trial]] | None = None,
    money: Money = Money(),  # noqa: B008  (frozen)
) -> Html:
    """Every job, running ones first, then those that wait in their order, then those that ended, newest first.

    `jobs` come newest submission first; `rows` are published results by plan key. `asked` is the job that a link named:
    it is marked, and its run drawn. `may_act` shows the buttons; `trials` are what trials came to, by job; `money` is
    what rented machines cost.
    """
    if not jobs:
        empty = fill('Nothing has been asked for yet. <a href="{link}">Submit a model</a>.', link=page_link("submit"))
        return fill("{heading}{money}{notice}", heading=_heading(), money=money.month(), notice=notice(empty))
    running = [job for job in jobs if job.status is Status.RUNNING]
    waiting = [job for job in reversed(jobs) if job.status is Status.PENDING]
    ended = [job for job in jobs if job.status not in (Status.RUNNING, Status.PENDING)]
    card = _Card(live=live, rows=rows, may_act=may_act, asked=asked, trials=trials or {}, money=money)
    waits = _waits(waiting, running, jobs, live)
    return fill(
        "{heading}{money}{unknown}{running}{waiting}{ended}",
        heading=_heading(),
        money=money.month(),
        unknown=_unknown_job(asked, jobs),
        running=_section("Running", "running", [card.show(job) for job in running], "No job is running."),
        waiting=_section(
            "Waiting",
            "waiting",
            [card.show(job, position=place, wait_s=waits[place - 1]) for place, job in enumerate(waiting, start=1)],
            "No job is waiting.",
        ),
        ended=_section("Ended", "ended", [card.show(job) for job in ended], "No job has ended yet."),
    )


def _waits(
    waiting: Sequence[JobRecord],
    running: Sequence[JobRecord],
    jobs: Sequence[JobRecord],
    live: Mapping[str, LiveState],
) -> list[float | None]:
    """For each waiting job, about how long until a worker takes it; None where nothing tells."""
    ended = [job for job in jobs if job.status not in (Status.RUNNING, Status.PENDING)]
    states = list(live.values())
    return [waiting_time([*running, *waiting[:place], *ended], states)[1] for place in range(len(waiting))]


def _heading() -> Html:
    return Html(
        "<h1>Queue</h1><p class='lead'>What is being measured and trained. This page keeps itself up to date.</p>"
    )


def _unknown_job(asked: str | None, jobs: Sequence[JobRecord]) -> Html:
    if asked is None or any(job.submission.id == asked for job in jobs):
        return NOTHING
    return notice(fill("There is no job <code>{asked}</code> in this queue.", asked=asked), "bad", role="alert")


def _section(title: str, name: str, cards: Sequence[Html], empty: str) -> Html:
    return fill(
        '<section data-key="section-{name}" aria-labelledby="jobs-{name}">'
        '<h2 id="jobs-{name}">{title} <span class="quiet">{n}</span></h2>{body}</section>',
        name=name,
        title=title,
        n=len(cards),
        body=fill('<ul class="jobs">{cards}</ul>', cards=join(cards))
        if cards
        else fill("<p class='quiet'>{t}</p>", t=empty),
    )


class _Card:
    """One job as a list item."""

    def __init__(
        self,
        *,
        live: Mapping[str, LiveState],
        rows: Mapping[str, ResultRow],
        may_act: bool,
        asked: str | None,
        trials: Mapping[str, Sequence[Trial]],
        money: Money,
    ) -> None:
        self.live = live
        self.rows = rows
        self.may_act = may_act
        self.asked = asked
        self.trials = trials
        self.money = money

    def show(self, job: JobRecord, position: int | None = None, wait_s: float | None = None) -> Html:
        asked = job.submission.id == self.asked
        state = self.live.get(job.submission.id) if job.status is Status.RUNNING else None
        return fill(
            '<li class="job {status}{asked}" data-key="{id}"{scroll}>'
            "{head}{about}{cost}{trial}{state}{charts}{failure}{results}{tried}{next}{buttons}</li>",
            status=STATUS_WORDS[job.status],
            asked=" asked" if asked else "",
            scroll=Html(" data-scroll-here") if asked else NOTHING,
            id=job.submission.id,
            head=_head(job, position, wait_s),
            trial=trial_note() if job.submission.trial else NOTHING,
            charts=self._charts(job, state, asked=asked),
            tried=trial_section(self.trials.get(job.submission.id, ())),
            next=next_steps(job),
            about=_about(job),
            cost=self.money.of_job(job.submission.id),
            state=_live(job, state),
            failure=_failure(job.failure),
            results=self._results(job),
            buttons=_buttons(job) if self.may_act else NOTHING,
        )

    def _charts(self, job: JobRecord, state: LiveState | None, *, asked: bool) -> Html:
        """The run in pictures for the job that the reader follows, else a link to them."""
        if state is None or not state.history:
            return NOTHING
        if asked:
            return run_charts(state)
        link = page_link("queue", job=job.submission.id)
        return fill('<p class="next"><a href="{link}">Watch this run</a></p>', link=link)

    def _results(self, job: JobRecord) -> Html:
        if not job.results:
            return NOTHING
        links = (
            fill('<a href="{link}">{name}</a>', link=page_link("result", plan=key), name=self._result_name(key))
            for key in job.results
        )
        return fill('<p class="results">Results: {links}</p>', links=join(links, " · "))

    def _result_name(self, key: str) -> str:
        row = self.rows.get(key)
        return f"{_title(row.benchmark)} {points(row.statistics.score)}" if row else key


def _head(job: JobRecord, position: int | None, wait_s: float | None) -> Html:
    submission = job.submission
    what = {JobKind.TRAIN: "Training", JobKind.GENERATE: "Reasoning data"}.get(submission.kind) or ", ".join(
        map(_title, submission.benchmarks)
    )
    return fill(
        '<h3>{model} <span class="quiet">{commit}</span></h3><p class="what">{what}{note}</p>'
        '<p class="state">{badge}{place}</p>',
        model=model_name(submission.model, submission.commit),
        commit=submission.revision or (short_commit(submission.commit) if submission.commit else ""),
        what=what,
        note=fill(' · <q dir="auto">{note}</q>', note=submission.note) if submission.note else NOTHING,
        badge=badge(STATUS_WORDS[job.status], STATUS_WORDS[job.status]),
        place=fill(
            ' <span class="place">position {n}{wait}</span>',
            n=position,
            wait=f", about {duration(wait_s)}" if wait_s else "",
        )
        if position
        else NOTHING,
    )


def _title(benchmark: str) -> str:
    return BENCHMARKS[benchmark].title if benchmark in BENCHMARKS else benchmark


def _about(job: JobRecord) -> Html:
    submission = job.submission
    parts = [
        fill('<a href="{link}"><code>{id}</code></a>', link=page_link("queue", job=submission.id), id=submission.id),
        fill("asked {when} by <bdi>{who}</bdi>", when=moment(submission.submitted_at), who=submission.submitted_by),
    ]
    if job.started_at:
        parts.append(fill("started {when}", when=moment(job.started_at)))
    if job.ended_at:
        parts.append(fill("ended {when}", when=moment(job.ended_at)))
    if job.worker and job.status is Status.RUNNING:
        parts.append(fill("worker <bdi>{worker}</bdi>", worker=job.worker))
    if job.attempt > 1:
        parts.append(fill("attempt {k}", k=job.attempt))
    return fill('<p class="about">{parts}</p>', parts=join(parts, " · "))


def _live(job: JobRecord, state: LiveState | None) -> Html:
    if job.status is not Status.RUNNING:
        return NOTHING
    if state is None:
        return Html('<p class="quiet">The worker has not said anything yet.</p>')
    lines = [benchmark_progress(_title(name), progress) for name, progress in state.progress.items()]
    if state.generation is not None:
        lines.append(generation_progress(state.generation))
    if state.training:
        lines.append(training_progress(state.training))
    if not lines and state.phase:
        lines.append(fill('<p class="quiet">{phase}</p>', phase=state.phase))
    log = _log("Log", state.log_tail, key=f"log-{job.submission.id}")
    return fill('<div class="live">{lines}{log}</div>', lines=join(lines), log=log)


def benchmark_progress(title: str, progress: Progress) -> Html:
    """One benchmark of a running evaluation. The running score is provisional and says so."""
    facts = [fill("{done} of {total} attempts", done=count(progress.done), total=count(progress.total))]
    if progress.in_flight:
        facts.append(fill("{in_flight} in flight", in_flight=count(progress.in_flight)))
    if progress.score is not None:
        bounds = fill(" ({bounds})", bounds=interval(progress.ci95)) if progress.ci95 else NOTHING
        facts.append(fill("so far {score}{bounds}, provisional", score=points(progress.score), bounds=bounds))
    if progress.tokens_per_s is not None:
        facts.append(fill("{rate} tokens/s", rate=count(progress.tokens_per_s)))
    if progress.eta_s is not None:
        facts.append(fill("about {left} left", left=duration(progress.eta_s)))
    if progress.message:
        facts.append(fill("<bdi>{message}</bdi>", message=progress.message))
    return fill(
        '<div class="step"><p><b>{title}</b> <span class="quiet">{phase}</span></p>{bar}'
        '<p class="numbers">{facts}</p></div>',
        title=title,
        phase=progress.phase,
        bar=progress_bar(progress.done, progress.total, f"{title}: attempts answered"),
        facts=join(facts, " · "),
    )


def training_progress(training: Mapping[str, Any]) -> Html:
    """A running training job. What the trainer did not say is left out."""
    step, steps = _number(training.get("step")), _number(training.get("steps"))
    facts = [fill("step {step} of {steps}", step=count(step), steps=count(steps))]
    if (loss := _number(training.get("loss"))) is not None:
        facts.append(fill("loss {loss}", loss=f"{loss:.3f}"))
    metrics = training.get("metrics")
    if isinstance(metrics, Mapping) and (reward := _number(metrics.get("reward"))) is not None:
        facts.append(fill("reward {reward}", reward=f"{reward:.3f}"))
    if (left := _number(training.get("eta_s"))) is not None:
        facts.append(fill("about {left} left", left=duration(left)))
    return fill(
        '<div class="step"><p><b>Training</b></p>{bar}<p class="numbers">{facts}</p></div>',
        bar=progress_bar(step or 0, steps or 0, "Training steps done"),
        facts=join(facts, " · "),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _failure(failure: Failure | None) -> Html:
    if failure is None:
        return NOTHING
    return fill(
        '<div class="failure"><p><code>{code}</code> <span dir="auto">{reason}</span></p>{advice}{log}</div>',
        code=failure.code,
        advice=advice(failure.code),
        reason=failure.reason,
        log=_log("Last log lines", failure.log_tail),
    )


def _log(title: str, text: str, key: str = "") -> Html:
    if not text.strip():
        return NOTHING
    return fill(
        '<details class="log"{key}><summary>{title}</summary><pre dir="ltr" tabindex="0">{text}</pre></details>',
        key=fill(' data-key="{key}"', key=key) if key else NOTHING,
        title=title,
        text=text,
    )


def _buttons(job: JobRecord) -> Html:
    if job.status is Status.RUNNING:
        return _button("cancel", "Cancel", job, confirm=CANCEL_WARNING[job.submission.kind])
    if job.status is Status.PENDING:
        return _button("cancel", "Cancel", job)
    if job.status is Status.FAILED:
        return _button("retry", "Try again", job)
    return NOTHING


def _button(action: str, label: str, job: JobRecord, confirm: str = "") -> Html:
    return fill(
        '<p class="buttons"><button type="button" class="plain" data-action="{action}" data-job="{id}"{confirm} '
        'aria-label="{label} job {id}">{label}</button></p>',
        action=action,
        id=job.submission.id,
        confirm=fill(
            ' data-confirm="{text}" data-title="Cancel {model}?" data-go="Cancel the job"',
            text=confirm,
            model=job.submission.model,
        )
        if confirm
        else NOTHING,
        label=label,
    )
