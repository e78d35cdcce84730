"""What the server says of the leaderboard: its heading, and what is on its way while nothing has been measured.

The table itself is drawn in the browser from the files of `leaderboard/payload.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluator.benchmarks import BENCHMARKS
from leaderboard.contracts import LiveState
from leaderboard.types import JobKind, JobRecord, Status
from leaderboard.views.markup import NOTHING, Html, fill, join, model_name, notice, page_link
from leaderboard.views.queue import benchmark_progress, training_progress

LEAD = (
    "How well open reasoning models solve problems whose answers can be checked. A score is pass@1 in points of 100, "
    "the mean over all problems and attempts, with its 95 % interval."
)
OPEN = "Open a score to see every answer behind it."


def board_head() -> Html:
    """The heading, and in two sentences what a number here is."""
    return fill(
        "<h1>Leaderboard</h1><p class='lead'><span>{lead}</span> <span>{open}</span> "
        '<a href="about">What verdicts, intervals and ranks mean</a></p>',
        lead=LEAD,
        open=OPEN,
    )


def nothing_yet(jobs: Sequence[JobRecord], live: Mapping[str, LiveState]) -> Html:
    """What is happening and what to do where nothing has been measured yet."""
    running = [job for job in jobs if job.status is Status.RUNNING]
    waiting = [job for job in jobs if job.status is Status.PENDING]
    return notice(
        fill(
            '<h2>Nothing has been measured yet</h2>{running}{waiting}<p>Watch the <a href="{queue}">queue</a>, or '
            '<a href="{submit}">submit a model</a>. This page shows a result as soon as there is one.</p>',
            running=join(_on_its_way(job, live.get(job.submission.id)) for job in running),
            waiting=fill("<p>Waiting in the queue: {names}.</p>", names=join((_job_name(j) for j in waiting), ", "))
            if waiting
            else NOTHING,
            queue=page_link("queue"),
            submit=page_link("submit"),
        )
    )


def _job_name(job: JobRecord) -> Html:
    doing = {JobKind.TRAIN: "training of ", JobKind.GENERATE: "reasoning data for "}.get(job.submission.kind, "")
    return fill("{doing}{model}", doing=doing, model=model_name(job.submission.model, job.submission.commit))


def _on_its_way(job: JobRecord, state: LiveState | None) -> Html:
    name = fill("<p>Running now: {name}.</p>", name=_job_name(job))
    if state is None:
        return name
    steps = [benchmark_progress(_title(key), progress) for key, progress in state.progress.items()]
    if state.training:
        steps.append(training_progress(state.training))
    return join([name, *steps])


def _title(benchmark: str) -> str:
    return BENCHMARKS[benchmark].title if benchmark in BENCHMARKS else benchmark
