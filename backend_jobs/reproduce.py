"""Runs the plan of a published result again, with other seeds, and says whether the two scores agree."""

from __future__ import annotations

import shlex
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend_jobs.evaluate_job import Ask, OnProgress, Prepared, run_evaluation
from evaluator.checkpoint import local_checkpoint
from evaluator.differences import differences, model_differences
from evaluator.errors import CheckpointRejected, OpenR1Error, PlanRejected
from evaluator.plan import generation_key, plan_key
from evaluator.prepare import Options
from evaluator.statistics import NORMAL_975
from evaluator.types import Checkpoint, EvalPlan, Measurement, Statistics, to_json
from leaderboard.history import agreement
from leaderboard.types import ResultRow
from settings import Settings


class WeightsMissing(OpenR1Error):
    """The weights that a result was measured on are not at hand."""

    code = "weights_missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """The second run of a plan beside the first one."""

    first: ResultRow
    second: Measurement
    checkpoint: Checkpoint

    @property
    def agrees(self) -> bool | None:
        """Whether the scores lie within the decoding error; None where one attempt per problem leaves it unknown."""
        return agreement(self.first.statistics, self.second.statistics)


def ask_again(
    row: ResultRow, plan: EvalPlan, *, folder: Path | None, endpoint: str | None, concurrency: int | None
) -> Ask:
    """What to ask for. `folder` is where local weights may lie; `endpoint` stands for the one that served the result.

    Raises:
        WeightsMissing: the result was measured on a local folder which is not there, or holds other weights now.
    """
    server = endpoint or plan.endpoint
    local = server is None and (row.commit is None or row.commit.startswith("sha256:"))
    options = Options(attempts=plan.attempts, max_tokens=plan.max_tokens, run=plan.run)
    return Ask(
        model=str(_checked(folder, row)) if local else row.model,
        revision=None if local else row.commit,
        benchmarks=(plan.benchmark,),
        options=replace(options, concurrency=concurrency) if concurrency else options,
        endpoint=server,
    )


def reproduce(row: ResultRow, plan: EvalPlan, ask: Ask, settings: Settings, *, on_progress: OnProgress) -> Reproduction:
    """Carry out the plan. What was answered stays in the journal, so that the same command continues after a crash.

    Raises:
        PlanRejected: this program or these weights would measure something else; the message says what differs.
        OpenR1Error: as `run_evaluation`.
    """

    def accept(prepared: Prepared) -> None:
        require_the_same(plan, prepared.evaluations[0].plan)

    checkpoint, (second,) = run_evaluation(
        ask, settings, on_progress=on_progress, cancelled=threading.Event(), accept=accept
    )
    # A Hub checkpoint was asked for by commit; people know it by the revision that was submitted.
    return Reproduction(first=row, second=second, checkpoint=replace(checkpoint, revision=row.revision))


def require_the_same(wanted: EvalPlan, made: EvalPlan) -> None:
    """Raises PlanRejected, with what differs in words, where `made` would not measure what `wanted` asks for."""
    if plan_key(wanted) == plan_key(made):
        return
    found = "; ".join(differences(wanted, made) + model_differences(wanted, made))
    raise PlanRejected(
        f"this would not measure the same: {found or 'another plan'} (stored vs here); use the program and the weights "
        "that the result was made with"
    )


def how(row: ResultRow, plan: EvalPlan, *, store: str) -> dict[str, Any]:
    """Everything that somebody needs to make the second run: the command, the weights, every setting."""
    local = plan.endpoint is None and (row.commit is None or row.commit.startswith("sha256:"))
    words = ["python", "-m", "backend_jobs", "reproduce", row.plan_key, "--store", store]
    words += ["--model", "PATH"] if local else []
    settings = to_json(plan)
    weights = f"the folder PATH, whose files hash to {row.commit}" if local else f"{row.model} at {row.commit}"
    return {
        "result": row.plan_key,
        "command": shlex.join(words),
        "weights": f"whatever {plan.endpoint} serves as {row.model}" if plan.endpoint and not row.commit else weights,
        "plan_key": plan_key(plan),
        "generation_key": generation_key(plan),
        "agrees_within": allowed(row.statistics, row.statistics),
        "served_by": to_json(row.engine),
        "settings": settings,
    }


def report(done: Reproduction, *, published: bool) -> dict[str, Any]:
    """Both runs and whether they agree, as one JSON object; scores in points."""
    first, second = done.first.statistics, done.second.statistics
    return {
        "result": done.first.plan_key,
        "benchmark": done.first.benchmark,
        "model": done.first.model,
        "agrees": done.agrees,
        "score": first.score,
        "score_again": second.score,
        "difference": second.score - first.score,
        "agrees_within": allowed(first, second),
        "stderr_decoding": first.stderr_decoding,
        "stderr_decoding_again": second.stderr_decoding,
        "run": done.second.plan.run,
        "plan_key": plan_key(done.second.plan),
        "published": published,
    }


def allowed(first: Statistics, second: Statistics) -> float | None:
    """The largest difference, in points, that two runs of one plan may have; None where an error is unknown."""
    a, b = first.stderr_decoding, second.stderr_decoding
    return None if a is None or b is None else float(NORMAL_975 * (a**2 + b**2) ** 0.5)


def _checked(folder: Path | None, row: ResultRow) -> Path:
    missing = (
        f"result {row.plan_key} was measured on the local checkpoint {row.model} ({row.commit}); "
        f"put it in a folder and add --model PATH (--print shows every setting)"
    )
    if folder is None or not folder.is_dir():
        raise WeightsMissing(missing if folder is None else f"{folder} is not there: {missing}")
    try:
        found = local_checkpoint(folder)
    except CheckpointRejected as error:
        raise WeightsMissing(f"{error}; {missing}") from error
    if found.commit != row.commit:
        raise WeightsMissing(f"{folder} holds other weights ({found.commit}): {missing}")
    return folder
