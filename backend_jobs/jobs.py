"""What a worker does for each kind of job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from backend_jobs.checkpoints_out import to_the_board
from backend_jobs.evaluate_job import Ask, run_evaluation
from backend_jobs.generate.job import generate
from backend_jobs.generate.recipe import load_generate_recipe
from backend_jobs.recipes import load_recipe
from backend_jobs.rented_engine import rented_engine
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
from leaderboard.store import Changes, Snapshot
from leaderboard.stores import open_store
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
            elsewhere=rented_engine(self._settings, store, record),
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

        by = submission.submitted_by
        with to_the_board(recipe, self._settings, self._queue, say=context.log, submitted_by=by) as hand_out:

            def follow(event: TrainEvent) -> None:
                if isinstance(event, Stepped):
                    context.report(training=asdict(event))
                else:
                    context.log(as_line(event))
                if isinstance(event, CheckpointReady):
                    hand_out(event)

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
