"""The verbs that go back to a published result: grade it again, measure it again, score it at smaller budgets."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend_jobs import reproduce as reproduction
from backend_jobs.progress import Bars
from backend_jobs.queue import StoreQueue
from backend_jobs.regrade import Outcome, Sources, answers_of, behind, grade_inputs, require_current
from backend_jobs.regrade import regrade as regrade_result
from backend_jobs.types import JobNotFound, PartlyDone
from evaluator.budget import Answered, exact
from evaluator.errors import OpenR1Error, PlanRejected
from evaluator.grading_pool import GraderPool
from evaluator.template import token_starts
from evaluator.types import BudgetPoint, Verdict
from leaderboard.board import Board
from leaderboard.history import newest, next_run
from leaderboard.results import publish_changes, read_row, result_file, row_bytes
from leaderboard.store import Changes, Snapshot, Store, update
from leaderboard.stores import open_store
from leaderboard.types import ResultRow
from settings import Settings

Result = dict[str, Any]


def regrade(options: argparse.Namespace, settings: Settings) -> Result:
    """Grade stored attempts again with the current grader, without an engine."""
    store = open_store(options.store, settings)
    bars = Bars()
    with GraderPool(workers=len(os.sched_getaffinity(0)), cpu_limit_s=settings.grading_limit_s) as grader:

        def one(result_id: str) -> Outcome:
            return regrade_result(
                result_id,
                store,
                sources=_sources(options, settings),
                grader=grader,
                at=_now(),
                on_progress=bars.show,
            )

        if not options.all:
            outcome = one(options.result)
            bars.end()
            return _regraded(outcome)
        rows = behind(Board(store).rows())
        done, failed = [], []
        for row in rows:
            try:
                done.append(_regraded(one(row.plan_key)))
            except OpenR1Error as error:
                failed.append({"result": row.plan_key, "error": str(error)})
            bars.end()
    result: Result = {"regraded": done, "failed": failed}
    if failed:
        names = ", ".join(entry["result"] for entry in failed)
        raise PartlyDone(f"{len(failed)} of {len(rows)} results could not be regraded: {names}", result)
    return result if rows else {**result, "message": "every result has the verdicts of the current grader already"}


def _regraded(outcome: Outcome) -> Result:
    if outcome.new is None or outcome.new.supersedes is None:
        message = "nothing to do: these answers have the verdicts of the current grader"
        return {"result": outcome.standing, "regraded": False, "message": message}
    change = outcome.new.supersedes
    return {
        "result": outcome.new.plan_key,
        "regraded": True,
        "supersedes": change.plan_key,
        "model": outcome.new.model,
        "benchmark": outcome.new.benchmark,
        "grader_version_before": change.grader_version,
        "grader_version": outcome.new.plan.grader_version,
        "score_before": change.score,
        "score": outcome.new.statistics.score,
        "difference": change.difference,
        "changed": [asdict(problem) for problem in change.changed],
    }


def reproduce(options: argparse.Namespace, settings: Settings) -> Result:
    """Run a stored plan again with other seeds, and say whether the two scores agree."""
    store = open_store(options.store, settings)
    board = Board(store)
    row = newest(board.row(options.result), board.rows())
    require_current(row)
    plan = next_run(row, board.rows())
    if options.print:
        return reproduction.how(row, plan, store=options.store)
    ask = reproduction.ask_again(
        row,
        plan,
        folder=options.model or _submitted_folder(store, row),
        endpoint=options.endpoint,
        concurrency=options.concurrency,
    )
    bars = Bars()
    done = reproduction.reproduce(row, plan, ask, settings, on_progress=bars.show)
    bars.end()
    if options.publish:

        def edit(stored: Snapshot) -> Changes:
            return publish_changes([done.second], checkpoint=done.checkpoint, measured_at=_now(), stored=stored)[1]

        update(store, edit, message=f"measured {row.model} again")
    return reproduction.report(done, published=options.publish)


def budget(options: argparse.Namespace, settings: Settings) -> Result:
    """The score under smaller answer budgets: longer answers are cut there and graded again."""
    store = open_store(options.store, settings)
    board = Board(store)
    row = newest(board.row(options.result), board.rows())
    require_current(row)
    folder = options.model or _submitted_folder(store, row) or _downloaded(settings, row)
    starts = token_starts(folder) if folder is not None else None
    if starts is None:
        raise PlanRejected(
            f"the tokenizer of {row.model} is not at hand: add --model PATH, a folder with its tokenizer.json. The "
            "lower bound on the result's page needs none"
        )
    attempts = board.attempts(row.plan_key)
    answers = answers_of(row, board.problems(row.plan_key), attempts, _sources(options, settings))
    right = {(a.problem_id, a.attempt): a.verdict == Verdict.CORRECT for a in attempts}
    answered = [
        Answered(item=item, tokens=completion.completion_tokens, right=right[item.problem_id, item.attempt])
        for item, completion in zip(grade_inputs(row, answers), answers.completions, strict=True)
        if completion.completion_tokens is not None
    ]
    if len(answered) < len(attempts):
        raise PlanRejected(f"the server of result {row.plan_key} did not count its tokens, so nothing can be cut")
    with GraderPool(workers=len(os.sched_getaffinity(0)), cpu_limit_s=settings.grading_limit_s) as grader:
        points = exact(
            answered,
            sorted(set(options.at)),
            per_problem=row.attempts_per_problem,
            token_starts=starts,
            grade=grader.submit,
        )
    if options.publish:
        _keep_points(store, row, points)
    return {
        "result": row.plan_key,
        "score": row.statistics.score,
        "points": [asdict(point) for point in points],
        "published": options.publish,
    }


def _keep_points(store: Store, row: ResultRow, points: Sequence[BudgetPoint]) -> None:
    name = result_file(row.model, row.plan_key)

    def edit(stored: Snapshot) -> Changes:
        current = read_row(stored.read(name))
        kept = {(p.tokens, p.exact): p for p in (*current.budget, *points)}
        return {name: row_bytes(replace(current, budget=tuple(kept[key] for key in sorted(kept))))}

    update(store, edit, message=f"scored {row.model} at smaller budgets")


def _submitted_folder(store: Store, row: ResultRow) -> Path | None:
    """The folder that the job of a result served, where this store still knows the job and the folder is there."""
    if row.job_id is None:
        return None
    try:
        folder = Path(StoreQueue(store).find(row.job_id).submission.source)
    except JobNotFound:
        return None
    return folder if folder.is_dir() else None


def _downloaded(settings: Settings, row: ResultRow) -> Path | None:
    """Where a Hub checkpoint of this commit lies, if it was downloaded for an evaluation."""
    folder = settings.data_dir / "hub" / row.model.replace("/", "--") / (row.commit or "unknown")
    return folder if folder.is_dir() else None


def _sources(options: argparse.Namespace, settings: Settings) -> Sources:
    return Sources(journals=settings.data_dir / "journals", journal=options.journal, mirror=settings.benchmark_mirror)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
