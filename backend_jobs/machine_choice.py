"""Which machine a job gets: of those that its plan fits, the one on which it is expected to cost least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from backend_jobs.launchers.types import Machine
from backend_jobs.weights import find_weights
from evaluator.benchmarks import BENCHMARKS
from evaluator.checkpoint import ModelShape
from evaluator.engine_plan import plan_engine
from evaluator.errors import CheckpointRejected, PlanRejected
from evaluator.forecast import Work, forecast
from evaluator.lengths import Tokens
from leaderboard.board import Board
from leaderboard.preflight import Cost, cost_of
from leaderboard.types import Submission
from settings import Settings

PROMPT_ALLOWANCE = 1_024
"""Tokens that are kept for the prompt before it is known: more than any problem of ours has."""
SETTING_UP_H = 0.25
"""Until a rented machine asks its first question: image, weights, engine. It is paid for like the rest."""
MARGIN = 2.0
"""A machine is stopped after so many times the longest that is forecast."""
SHORTEST_H = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What a job asks of a machine."""

    shape: ModelShape
    work: Work
    tensor_parallel_size: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A machine, how many of its GPUs the job needs, what that is expected to take, and when it is stopped for good.

    `dollars` is None where nobody bills.
    """

    machine: Machine
    gpus: int
    hours: float
    dollars: float | None
    timeout_s: float


def work_for(costs: Sequence[Cost], max_tokens: int) -> Work:
    """All benchmarks of a submission together, before their prompts are known."""
    asked = sum(cost.requests for cost in costs)
    return Work(
        attempts=asked,
        each=Tokens(
            mean=sum(cost.requests * cost.each.mean for cost in costs) / max(asked, 1),
            low=sum(cost.requests * cost.each.low for cost in costs) / max(asked, 1),
            high=sum(cost.requests * cost.each.high for cost in costs) / max(asked, 1),
        ),
        prompt_tokens=PROMPT_ALLOWANCE,
        max_tokens=max_tokens,
    )


def need_of(submission: Submission, settings: Settings, board: Board) -> Need:
    """What an evaluation needs, from the small files of its checkpoint and this board's earlier results.

    Raises:
        CheckpointRejected: the weights cannot be had.
    """
    pinned = submission.commit if submission.source == submission.model else None
    weights = find_weights(submission.source or submission.model, pinned, settings)
    rows = board.rows()
    costs = [
        cost_of(
            name,
            problems=BENCHMARKS[name].problems,
            attempts=submission.attempts or BENCHMARKS[name].attempts,
            max_tokens=submission.max_tokens or BENCHMARKS[name].max_tokens,
            rows=rows,
            trial=submission.trial,
        )
        for name in submission.benchmarks
    ]
    longest = submission.max_tokens or max(BENCHMARKS[name].max_tokens for name in submission.benchmarks)
    return Need(
        shape=weights.shape, work=work_for(costs, longest), tensor_parallel_size=submission.tensor_parallel_size
    )


def choose(machines: Sequence[Machine], need: Need, *, longest_h: float) -> Choice:
    """The cheapest machine for a job, and of equally cheap ones the fastest, among those that end within `longest_h`.

    Raises:
        PlanRejected: it fits none; says what was tried.
    """
    fitting = [choice for machine in machines if (choice := _fit(machine, need)) is not None]
    in_time = [choice for choice in fitting if choice.hours <= longest_h]
    if not in_time:
        names = ", ".join(machine.name for machine in machines) or "none"
        slow = min((choice.hours for choice in fitting), default=None)
        why = f"the fastest that hold it need {slow:.0f} hours" if slow is not None else "none holds it"
        raise PlanRejected(
            f"no machine there runs this within {longest_h:g} hours ({names}): {why}; run it where larger ones are, or "
            "raise OPEN_R1_MACHINE_HOURS"
        )
    best = min(in_time, key=lambda choice: (choice.dollars or 0.0, choice.hours))
    limit_h = min(max(best.timeout_s / 3600, SHORTEST_H), longest_h)
    return replace(best, timeout_s=limit_h * 3600)


def _fit(machine: Machine, need: Need) -> Choice | None:
    try:
        plan = plan_engine(
            need.shape,
            devices=machine.devices,
            prompt_tokens=need.work.prompt_tokens,
            max_tokens=need.work.max_tokens,
            tensor_parallel_size=need.tensor_parallel_size,
            mean_tokens=need.work.each.mean or None,
        )
    except (PlanRejected, CheckpointRejected):
        return None
    forecasted = forecast(need.work, plan, need.shape, machine.devices)
    if forecasted.hours is None:
        return None
    expected, _, high = forecasted.hours
    hours = expected + SETTING_UP_H
    dollars = None if machine.dollars_per_hour is None else hours * machine.dollars_per_hour
    return Choice(
        machine=machine,
        gpus=plan.gpus_each * plan.replicas if plan.device == "cuda" else 0,
        hours=hours,
        dollars=dollars,
        timeout_s=math.ceil((high * MARGIN + SETTING_UP_H) * 3600),
    )
