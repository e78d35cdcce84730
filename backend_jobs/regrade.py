"""Grades the stored attempts of a result again, without an engine: a better grader never pays for an answer twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from evaluator.benchmarks import benchmark
from evaluator.checkpoint import board_name
from evaluator.errors import OpenR1Error, PlanRejected
from evaluator.grading import GRADER_VERSION
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.measure import measure, running, sample_index
from evaluator.plan import plan_key, problems_hash
from evaluator.samples import load_samples
from evaluator.types import Completion, GradeInput, Measurement, Progress, Sample, Score
from leaderboard.board import Board
from leaderboard.history import grader_order, newest, regraded
from leaderboard.store import Changes, Snapshot, Store, update
from leaderboard.types import AttemptRow, ProblemRow, ResultRow

REPORT_EVERY = 50

OnProgress = Callable[[Mapping[str, Progress]], None]


class RegradeRefused(OpenR1Error):
    """The answers of a result are not at hand as they were measured, so they cannot be graded again."""

    code = "regrade_refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Where answers and questions are found that the store must not keep (private benchmarks)."""

    journals: Path
    """The folder of journals, one per model."""
    journal: Path | None = None
    """One journal, instead of the model's own in that folder."""
    mirror: Path | None = None
    """A folder that stands in for the Hub's datasets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What regrading one result came to. `new` is None where the current grader gave these verdicts already."""

    old: ResultRow
    new: ResultRow | None
    standing: str
    """The plan key of the result that now stands for these answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What a result's attempts were asked and answered, ready to be graded."""

    samples: tuple[Sample, ...]
    completions: tuple[Completion, ...]


def regrade(
    result_id: str,
    store: Store,
    *,
    sources: Sources,
    grader: GraderPool,
    at: str,
    on_progress: OnProgress,
    grader_version: str = GRADER_VERSION,
) -> Outcome:
    """Grade one result again and publish the new row beside the old one, in one commit.

    `at` is UTC in ISO 8601. A result that was replaced already stands for the one that replaced it.

    Raises:
        ResultNotFound: no such result.
        RegradeRefused: its answers are not at hand, differ from what was measured, or a newer grader judged them.
        IncompleteMeasurement: an answer could not be graded; nothing is published.
    """
    board = Board(store)
    row = newest(board.row(result_id), board.rows())
    known = {other.plan_key for other in board.rows()}
    plan = replace(row.plan, grader_version=grader_version)
    if plan_key(plan) in known:
        return Outcome(old=row, new=None, standing=plan_key(plan))
    if grader_order(row.plan.grader_version) > grader_order(grader_version):
        raise RegradeRefused(
            f"result {row.plan_key} was graded by {row.plan.grader_version}, newer than this program's "
            f"{grader_version}; update the program"
        )
    attempts = board.attempts(row.plan_key)
    answers = answers_of(row, board.problems(row.plan_key), attempts, sources)
    measurement = _measured(replace(row, plan=plan), answers, grader, on_progress)
    return Outcome(old=row, new=_publish(store, row, measurement, attempts, at), standing=plan_key(plan))


def behind(rows: Sequence[ResultRow], grader_version: str = GRADER_VERSION) -> list[ResultRow]:
    """The results that another grader judged and that nothing replaced yet, oldest first."""
    waiting = [row for row in rows if row.superseded_by is None and row.plan.grader_version != grader_version]
    return sorted(waiting, key=lambda row: (row.measured_at, row.plan_key))


def require_current(row: ResultRow, grader_version: str = GRADER_VERSION) -> None:
    """Raises PlanRejected where another grader gave the verdicts: new ones could not stand beside them."""
    if row.plan.grader_version != grader_version:
        raise PlanRejected(
            f"result {row.plan_key} was graded by {row.plan.grader_version}, this program has {grader_version}; bring "
            f"it up to date first: python -m backend_jobs regrade {row.plan_key}"
        )


def answers_of(
    row: ResultRow, problems: Sequence[ProblemRow], attempts: Sequence[AttemptRow], sources: Sources
) -> Answers:
    """The answers of a result: from the store, or of a private benchmark from journal and dataset.

    Raises:
        RegradeRefused: an answer is missing, or is not the one that was measured.
    """
    private = benchmark(row.benchmark).private
    answers = _from_journal(row, sources) if private else _from_store(problems, attempts)
    _require_the_same(row, attempts, answers)
    return answers


def _from_store(problems: Sequence[ProblemRow], attempts: Sequence[AttemptRow]) -> Answers:
    asked = {a.problem_id: a for a in attempts}
    return Answers(
        samples=tuple(
            Sample(
                problem_id=p.problem_id,
                prompt=asked[p.problem_id].prompt or "",
                target=asked[p.problem_id].target or "",
                subject=p.subject,
                level=p.level,
            )
            for p in problems
            if p.problem_id in asked
        ),
        completions=tuple(
            Completion(
                problem_id=a.problem_id,
                attempt=a.attempt,
                seed=a.seed,
                text=a.text or "",
                reasoning=a.reasoning,
                finish_reason=a.finish_reason,
                completion_tokens=a.completion_tokens,
                prompt_tokens=a.prompt_tokens,
                latency_s=a.latency_s,
                retries=a.retries,
            )
            for a in attempts
        ),
    )


def _from_journal(row: ResultRow, sources: Sources) -> Answers:
    path = sources.journal or sources.journals / f"{board_name(row.model)}.db"
    if not path.is_file():
        raise RegradeRefused(
            f"{row.benchmark} is private, so the store holds no text of result {row.plan_key}: it is graded again from "
            f"the journal of its run, and {path} is not there; run this where it was measured, or give --journal F"
        )
    bench = benchmark(row.benchmark)
    samples = load_samples(bench, attempts=row.attempts_per_problem, mirror=sources.mirror)
    if problems_hash(samples) != row.plan.problems_hash:
        raise RegradeRefused(
            f"{row.benchmark} as it is read now has other problems or wording than result {row.plan_key} was measured "
            "on (its hash differs): measure it again"
        )
    with Journal(path) as journal:
        wanted = range(row.attempts_per_problem)
        answered = journal.completions(row.generation_key)
    return Answers(samples=samples, completions=tuple(c for c in answered if c.attempt in wanted))


def _require_the_same(row: ResultRow, attempts: Sequence[AttemptRow], answers: Answers) -> None:
    """Every attempt of the row is there, and every text is the one whose hash was published."""
    texts = {(c.problem_id, c.attempt): c.text for c in answers.completions}
    prompts = {key: sample.prompt for key, sample in sample_index(row.plan, answers.samples).items()}
    expected = row.problems * row.attempts_per_problem
    if len(attempts) != expected:
        raise RegradeRefused(
            f"the store holds {len(attempts)} attempts of result {row.plan_key}, expected {expected}; restore "
            f"attempts/{row.generation_key}.parquet"
        )
    for stored in attempts:
        key = (stored.problem_id, stored.attempt)
        same = _hash(texts.get(key)) == stored.text_sha256 and _hash(prompts.get(key)) == stored.prompt_sha256
        if not same:
            raise RegradeRefused(
                f"attempt {stored.attempt} at problem {stored.problem_id} of result {row.plan_key} is missing or is "
                "not the one that was measured (its hash differs); restore the attempts, or measure it again"
            )


def _measured(row: ResultRow, answers: Answers, grader: GraderPool, on_progress: OnProgress) -> Measurement:
    """The measurement of a row's plan from answers that are at hand."""
    futures = [grader.submit(item) for item in grade_inputs(row, answers)]
    return measure(
        row.plan,
        samples=answers.samples,
        completions=answers.completions,
        refusals=(),
        scores=_followed(row, futures, on_progress),
        engine=row.engine,
        wall_seconds=row.wall_seconds,
        streams=row.streams,
        equal=lambda a, b: grader.submit_equal(a, b).result(),
    )


def grade_inputs(row: ResultRow, answers: Answers) -> list[GradeInput]:
    """What the grader needs of each answer, in the answers' order."""
    samples = sample_index(row.plan, answers.samples)
    return [
        GradeInput(
            problem_id=c.problem_id,
            attempt=c.attempt,
            text=c.text,
            reasoning=c.reasoning,
            target=samples[c.problem_id, c.attempt].target,
            extraction=benchmark(row.benchmark).extraction,
            finish_reason=c.finish_reason,
            prompt_opens_thought=row.plan.prompt_opens_thought,
        )
        for c in answers.completions
    ]


def _followed(row: ResultRow, futures: Sequence[Future[Score]], on_progress: OnProgress) -> list[Score]:
    name = f"{row.model} on {row.benchmark}"
    scores: list[Score] = []
    for future in as_completed(futures):
        scores.append(future.result())
        if len(scores) % REPORT_EVERY == 0 or len(scores) == len(futures):
            score, ci95 = running(scores) or (None, None)
            state = Progress(phase="grading", done=len(scores), total=len(futures), graded=len(scores))
            on_progress({name: replace(state, score=score, ci95=ci95)})
    return scores


def _publish(
    store: Store, old: ResultRow, measurement: Measurement, attempts: Sequence[AttemptRow], at: str
) -> ResultRow:
    published: list[ResultRow] = []

    def edit(stored: Snapshot) -> Changes:
        row, changes = regraded(old, measurement, attempts=attempts, at=at, stored=stored)
        published.append(row)
        return changes

    update(store, edit, message=f"graded {old.model} on {old.benchmark} again")
    return published[-1]


def _hash(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
