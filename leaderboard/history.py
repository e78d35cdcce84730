"""What became of a result: graded again by a newer grader, measured again with other seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from evaluator.plan import plan_key
from evaluator.statistics import agree
from evaluator.types import Checkpoint, EvalPlan, Measurement, Statistics
from leaderboard.results import problem_rows, problems_file, read_row, result_file, result_files, result_row, row_bytes
from leaderboard.store import Changes, Snapshot
from leaderboard.table import read_problems
from leaderboard.types import AttemptRow, ProblemChange, Regrading, ResultRow


def grader_order(version: str) -> tuple[int, ...]:
    """The numbers of a grader version: newer ones sort after older ones. 1+math-verify-0.5.2 is (1, 0, 5, 2)."""
    return tuple(map(int, re.findall(r"\d+", version)))


def newest(row: ResultRow, rows: Iterable[ResultRow]) -> ResultRow:
    """The result that stands for this one's answers: itself, or the last that regrading put in its place."""
    by_key = {other.plan_key: other for other in rows}
    seen = {row.plan_key}
    while row.superseded_by in by_key and row.superseded_by not in seen:
        row = by_key[row.superseded_by]
        seen.add(row.plan_key)
    return row


def runs_of(row: ResultRow, rows: Iterable[ResultRow]) -> list[ResultRow]:
    """Every published run of one plan, this one among them, by run number."""
    name = _first_run(row.plan)
    return sorted((other for other in rows if _first_run(other.plan) == name), key=lambda other: other.plan.run)


def next_run(row: ResultRow, rows: Iterable[ResultRow]) -> EvalPlan:
    """The plan of a result with the first run number that nobody published yet: every seed differs."""
    last = max((other.plan.run for other in runs_of(row, rows)), default=row.plan.run)
    return replace(row.plan, run=last + 1)


def agreement(first: Statistics, second: Statistics) -> bool | None:
    """Whether two runs agree within their decoding errors; None where one attempt per problem leaves those unknown."""
    known = first.stderr_decoding is not None and second.stderr_decoding is not None
    return agree(first, second) if known else None


def regraded(
    old: ResultRow, measurement: Measurement, *, attempts: Sequence[AttemptRow], at: str, stored: Snapshot
) -> tuple[ResultRow, Changes]:
    """The row that replaces a result after its answers were graded again, and the files that publish both.

    `attempts` are the result's attempts with the verdicts that are stored now; `stored` is the tree that the changes go
    into. The old row and its counts stay and say what replaced them; the attempts carry the newer verdicts from now on.
    """
    weights = Checkpoint(
        model=old.model, revision=old.revision, commit=old.commit, lineage=old.lineage, facts=old.facts
    )
    made = result_row(measurement, checkpoint=weights, measured_at=old.measured_at)
    new = replace(
        made,
        job_id=old.job_id,
        submitted_by=old.submitted_by,
        template=old.template,
        supersedes=Regrading(
            plan_key=old.plan_key,
            grader_version=old.plan.grader_version,
            score=old.statistics.score,
            difference=made.statistics.score - old.statistics.score,
            changed=_changed(old, measurement, attempts, stored),
            at=at,
        ),
    )
    old_file = result_file(old.model, old.plan_key)
    replaced = replace(read_row(stored.read(old_file)), superseded_by=new.plan_key)
    return new, {**result_files(new, measurement, stored=stored), old_file: row_bytes(replaced)}


def _changed(
    old: ResultRow, measurement: Measurement, attempts: Sequence[AttemptRow], stored: Snapshot
) -> tuple[ProblemChange, ...]:
    """The problems whose verdicts moved, in the measurement's order.

    Stored verdicts may be newer than the old row, where another result of the same generation was graded again first:
    then its counts per problem still tell.
    """
    before = {row.problem_id: row for row in read_problems(stored.read(problems_file(old.plan_key)))}
    moved = _moved(measurement, {(a.problem_id, a.attempt): a for a in attempts}, old.plan.grader_version)
    changes = []
    for after in problem_rows(measurement):
        counts = before[after.problem_id]
        if after.problem_id in moved or (counts.correct, counts.no_answer) != (after.correct, after.no_answer):
            changes.append(
                ProblemChange(problem_id=after.problem_id, correct_before=counts.correct, correct_after=after.correct)
            )
    return tuple(changes)


def _moved(measurement: Measurement, stored: Mapping[tuple[str, int], AttemptRow], version: str) -> set[str]:
    def was(problem_id: str, attempt: int) -> str | None:
        row = stored[problem_id, attempt]
        return row.verdict if row.grader_version == version else None

    return {
        score.problem_id
        for score in measurement.scores
        if was(score.problem_id, score.attempt) not in (None, score.verdict.value)
    }


def _first_run(plan: EvalPlan) -> str:
    return plan_key(replace(plan, run=0))
