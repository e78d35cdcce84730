"""What a job shows beyond its counts: pictures of its run, what to do where it failed, what a trial came to."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.benchmarks import BENCHMARKS, is_private
from evaluator.types import Progress, Verdict
from leaderboard.contracts import LivePoint, LiveState
from leaderboard.live_charts import converging_score, over_time
from leaderboard.trials import Trial
from leaderboard.types import AttemptRow, JobKind, JobRecord, Status, Submission
from leaderboard.views.attempt import literal, prompt_text, reading, verdict_reason
from leaderboard.views.markup import NOTHING, Html, badge, count, duration, facts, fill, join, page_link
from leaderboard.views.prose import typeset
from leaderboard.views.result import VERDICT_WORDS

ADVICE = {
    "engine_failed": "The engine ended or did not come up: its last log lines are below. Answers it gave are kept, and "
    "trying again asks only for the rest. A model that does not fit needs a larger machine.",
    "engine_over_limit": "The engine took far more than its plan needs and was ended, so that the machine lives on. "
    "Answers it gave are kept. Submit with fewer tokens or attempts, or have it run on a larger machine.",
    "engine_unreachable": "See that the server runs and can be reached from the worker, then try again.",
    "engine_refused": "The server did not let the worker in: a person must fix its address or token. Then try again.",
    "incomplete_measurement": "Attempts without a verdict make no score. Trying again asks once more for what was "
    "refused or timed out; everything else is kept.",
    "checkpoint_rejected": "The checkpoint cannot be served as it is. Mend what the reason names and submit the new "
    "commit.",
    "plan_rejected": "It does not fit what was asked for or where it ran. Change what the reason names and submit it "
    "again.",
    "dataset_unavailable": "The benchmark could not be read. Check the worker's network and, for GPQA, that its token "
    "may read the gated dataset; then try again.",
    "dataset_changed": "The benchmark is not the one that this version knows, so nothing was measured. Tell whoever "
    "runs the board.",
    "hub_unreachable": "The Hub did not answer. Try again in some minutes; what was downloaded stays.",
    "journal_busy": "Another run of the same plan holds its answers. Wait until it ended, then try again.",
    "journal_unusable": "The answers could not be written or read. Check the disk of the worker, then try again.",
    "worker_lost": "Workers vanished while they ran it, which is mostly memory that ran out. Read the worker's own log "
    "before trying again.",
    "worker_error": "A fault of this program: the lines below say where. Please report them; trying again may work.",
    "training_failed": "Read the last log lines below. Steps up to the last saved checkpoint are kept.",
    "recipe_rejected": "The recipe cannot be run as it is. Mend what the reason names and submit it again.",
    "store_unusable": "The board's store could not be written. Check its disk or its Hub token, then try again.",
    "partly_done": "A part is done and kept. Trying again continues with the rest.",
}
"""What a person can do about a failure, by its code. What is not listed says what to do in its own reason."""


def advice(code: str) -> Html:
    """What to do about a failure; nothing where its reason says so already."""
    text = ADVICE.get(code)
    return fill("<p><b>What to do</b> {text}</p>", text=text) if text else NOTHING


def run_charts(state: LiveState) -> Html:
    """Pictures of a running evaluation, one row per benchmark; nothing before there are two points."""
    rows = [_benchmark_charts(name, state.history.get(name, ()), state.progress[name]) for name in state.progress]
    shown = [row for row in rows if row]
    return fill('<div class="run-charts" data-key="charts">{rows}</div>', rows=join(shown)) if shown else NOTHING


def _benchmark_charts(name: str, history: Sequence[LivePoint], progress: Progress) -> Html:
    charts = [
        converging_score(history, progress.total),
        over_time(history, lambda point: point.tokens_per_s, title="Tokens per second", unit=""),
        over_time(history, lambda point: point.in_flight, title="Requests in flight", unit=""),
        over_time(history, _percent_full, title="KV cache in use", unit=" %", top=100.0),
    ]
    drawn = [chart for chart in charts if chart]
    if not drawn:
        return NOTHING
    title = BENCHMARKS[name].title if name in BENCHMARKS else name
    return fill('<h4>{title}</h4><div class="small-charts">{charts}</div>', title=title, charts=join(drawn))


def _percent_full(point: LivePoint) -> float | None:
    return None if point.kv_usage is None else 100 * point.kv_usage


def resubmit_link(submission: Submission) -> str:
    """The form, filled with what was asked for, for the full run."""
    return page_link(
        "submit",
        model=submission.source or submission.model,
        revision=submission.revision if submission.source == submission.model else None,
        benchmarks=",".join(submission.benchmarks),
        attempts=submission.attempts,
        max_tokens=submission.max_tokens,
        note=submission.note or None,
    )


def next_steps(job: JobRecord) -> Html:
    """Where a job goes on: the page of what it makes; for the full run after a trial or a mended one, the form."""
    if job.submission.kind is not JobKind.EVALUATE:
        return _made(job)
    if job.status in (Status.PENDING, Status.RUNNING):
        return NOTHING
    if job.submission.trial:
        word = "Submit the full run"
    elif job.status in (Status.FAILED, Status.CANCELLED):
        word = "Submit it again, changed"
    else:
        return NOTHING
    return fill('<p class="next"><a href="{link}">{word}</a></p>', link=resubmit_link(job.submission), word=word)


def _made(job: JobRecord) -> Html:
    """The page of a training's run once it has begun, of a generation's dataset once it is whole."""
    run = job.submission.model.partition("/")[2]
    if job.submission.kind is JobKind.TRAIN and job.status is not Status.PENDING:
        return fill('<p class="next"><a href="{link}">Watch the run</a></p>', link=page_link("runs", runs=run))
    if job.submission.kind is JobKind.GENERATE and job.status is Status.FINISHED:
        return fill('<p class="next"><a href="{link}">Open the dataset</a></p>', link=page_link("datasets", name=run))
    return NOTHING


def trial_note() -> Html:
    """What a trial is, wherever one is shown."""
    return fill(
        '<p class="quiet">{badge} One problem of each benchmark, asked once. Shown here alone: no result, never '
        "ranked. The full run takes its answer over.</p>",
        badge=badge("trial", "trial"),
    )


def trial_section(trials: Sequence[Trial]) -> Html:
    """What each benchmark's one problem came to."""
    return join(_trial(trial, attempt) for trial in trials for attempt in trial.attempts)


def _trial(trial: Trial, attempt: AttemptRow) -> Html:
    title = BENCHMARKS[trial.benchmark].title if trial.benchmark in BENCHMARKS else trial.benchmark
    tokens, seconds = attempt.completion_tokens, attempt.latency_s
    speed = f" at {tokens / seconds:,.0f} tokens/s" if tokens and seconds > 0 else ""
    return fill(
        '<div class="trial"><h4>{title}, problem <bdi>{id}</bdi></h4>{facts}{text}</div>',
        title=title,
        id=attempt.problem_id,
        facts=facts(
            {
                "verdict": fill(
                    "{badge} {why}",
                    badge=badge(VERDICT_WORDS[Verdict(attempt.verdict)][0], attempt.verdict),
                    why=verdict_reason(attempt),
                ),
                "answer found": literal(attempt.answer) or "none",
                "tokens": f"{count(tokens)} in {duration(seconds)}{speed}",
                "finish reason": attempt.finish_reason,
            }
        ),
        text=NOTHING if is_private(trial.benchmark) else _trial_text(attempt),
    )


def _trial_text(attempt: AttemptRow) -> Html:
    read = reading(attempt.text or "", attempt.reasoning)
    passages = (*read.thought, read.rest)
    return fill(
        '<details data-key="trial-{id}"><summary>Problem and answer</summary>{prompt}<h4>Answer, as it came</h4>{text}'
        "</details>",
        id=f"{attempt.problem_id}-{attempt.seed}",
        prompt=prompt_text(attempt.prompt, raw=False),
        text=join(typeset(passage.text) for passage in passages if passage.text.strip()),
    )
