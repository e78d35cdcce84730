"""What a worker does for each kind of job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from backend_jobs.evaluate_job import Ask, run_evaluation
from backend_jobs.generate.job import generate
from backend_jobs.generate.recipe import load_generate_recipe
from backend_jobs.recipes import load_recipe
from backend_jobs.train import train
from backend_jobs.training.events import (
    Alarm,
    CheckpointReady,
    Finished,
    Note,
    Sampled,
    Started,
    Stepped,
    TrainEvent,
)
from backend_jobs.types import Outcome
from backend_jobs.worker import JobContext
from evaluator.errors import PlanRejected
from evaluator.plan import generation_key, plan_key
from evaluator.prepare import Options
from evaluator.types import Progress
from leaderboard import trials
from leaderboard.board import Board
from leaderboard.contracts import JobQueue
from leaderboard.datasets import report_changes
from leaderboard.journal_parts import StoreParts, without_parts
from leaderboard.priors import length_priors
from leaderboard.results import publish_changes
from leaderboard.store import Changes, Snapshot, StoreUnusable, VersionConflict
from leaderboard.stores import open_store
from leaderboard.submissions import SubmissionRejected, check_submission, resolve_folder
from leaderboard.types import JobKind, JobRecord, Submission
from settings import Settings


class JobRunner:
    """Runs one job to its outcome. The worker around it keeps the lease and writes the status."""

    def __init__(self, settings: Settings, queue: JobQueue) -> None:
        self._settings, self._queue = settings, queue

    def run(self, record: JobRecord, context: JobContext) -> Outcome:
        """Carry out one job. Raises OpenR1Error where it fails; the message is what its submitter reads."""
        if record.submission.kind is JobKind.TRAIN:
            return self._train(record.submission, context)
        if record.submission.kind is JobKind.GENERATE:
            return self._generate(record.submission, context)
        return self._evaluate(record, context)

    def _evaluate(self, record: JobRecord, context: JobContext) -> Outcome:
        submission = record.submission

        def show(progress: Mapping[str, Progress]) -> None:
            context.report(progress=dict(progress))

        store = open_store(self._settings.store)
        ask = Ask(
            model=submission.source,
            revision=submission.commit if submission.source == submission.model else None,
            benchmarks=submission.benchmarks,
            retry=f"{submission.id} retry {record.retried}" if record.retried else None,
            patient=True,
            priors=length_priors(Board(store), submission.benchmarks),
            parts=StoreParts(store),
            options=Options(
                run=submission.run,
                attempts=trials.ATTEMPTS if submission.trial else submission.attempts,
                limit=trials.PROBLEMS if submission.trial else None,
                max_tokens=submission.max_tokens,
                tensor_parallel_size=submission.tensor_parallel_size,
            ),
        )
        checkpoint, measurements = run_evaluation(
            ask, self._settings, on_progress=show, cancelled=context.cancelled, expected_commit=submission.commit
        )
        if submission.trial:
            return Outcome(changes=trials.trial_changes(measurements, submission.id))
        measured_at = datetime.now(UTC).isoformat(timespec="seconds")

        def changes(stored: Snapshot) -> Changes:
            published = publish_changes(
                measurements, checkpoint=checkpoint, measured_at=measured_at, submission=submission, stored=stored
            )[1]
            return {**without_parts(stored, [generation_key(done.plan) for done in measurements]), **published}

        return Outcome(results=tuple(plan_key(done.plan) for done in measurements), changes=changes)

    def _train(self, submission: Submission, context: JobContext) -> Outcome:
        if submission.recipe is None:
            raise PlanRejected(f"job {submission.id} names no recipe; submit it again with one")
        recipe = load_recipe(Path(submission.recipe))

        def follow(event: TrainEvent) -> None:
            if isinstance(event, Stepped):
                context.report(training=asdict(event))
            else:
                context.log(as_line(event))
            if isinstance(event, CheckpointReady):
                by = submission.submitted_by
                context.log(submitted_line(self._queue, event.path, recipe.benchmarks, submitted_by=by))

        train(recipe, settings=self._settings, on_event=follow, cancelled=context.cancelled)
        return Outcome()

    def _generate(self, submission: Submission, context: JobContext) -> Outcome:
        if submission.recipe is None:
            raise PlanRejected(f"job {submission.id} names no recipe; submit it again with one")
        made = generate(
            load_generate_recipe(Path(submission.recipe)),
            self._settings,
            on_progress=lambda progress: context.report(generation=progress),
            cancelled=context.cancelled,
        )
        context.log(f"{made.report.rows:,} rows in {made.folder}")
        return Outcome(changes=report_changes(made.report))


def submit_checkpoint(
    queue: JobQueue, folder: Path, benchmarks: Sequence[str], *, submitted_by: str = "local"
) -> JobRecord | None:
    """Queue the evaluation of a checkpoint that was trained here.

    None where the board knows it already: a training that was resumed announces its earlier checkpoints again.
    """
    weights = resolve_folder(folder)
    known = any(job.submission.commit == weights.commit for job in queue.jobs())
    if known or not benchmarks:
        return None
    form = {"model": str(folder), "benchmarks": list(benchmarks)}
    return queue.submit(check_submission(form, local_mode=True, resolve=lambda *_: weights, submitted_by=submitted_by))


def submitted_line(queue: JobQueue, folder: Path, benchmarks: Sequence[str], *, submitted_by: str = "local") -> str:
    """Submit a checkpoint and say what became of it. A refusal is a line too: the training goes on."""
    try:
        submitted = submit_checkpoint(queue, folder, benchmarks, submitted_by=submitted_by)
    except (SubmissionRejected, StoreUnusable, VersionConflict) as refused:
        return f"{folder.name} is not submitted: {refused}"
    return f"{folder.name} is {'submitted' if submitted else 'known to the board'}"


def as_line(event: TrainEvent) -> str:
    """What happened in a training run, for a log or a terminal."""
    match event:
        case Started():
            begin = f"continues from step {event.resumed_at}" if event.resumed_at else "begins"
            first = f"training {begin} on {event.device}: {event.steps} steps, "
            first += f"{event.parameters:,} parameters, {event.examples:,} examples"
            return "\n".join([first, *event.notes])
        case Stepped():
            reward = f", reward {event.metrics['reward']:.3f}" if "reward" in event.metrics else ""
            return f"step {event.step}/{event.steps}: loss {event.loss:.3f}{reward}, {event.eta_s:.0f} s left"
        case Sampled():
            first_sample = event.samples[0] if event.samples else None
            said = " ".join(first_sample.completion.split())[:160] if first_sample else "nothing"
            return f"an answer of step {event.step}: {said}"
        case Alarm():
            return f"ALARM at step {event.step}, {event.name}: {event.message}"
        case Note():
            return event.message
        case CheckpointReady():
            return f"checkpoint of step {event.step}: {event.path}"
        case Finished():
            return f"training finished: {event.steps} steps, {event.tokens:,} tokens in {event.wall_seconds:.0f} s"
