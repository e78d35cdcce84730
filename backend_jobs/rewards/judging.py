"""Verdicts on rollouts by the evaluator's grader, and what a batch of rollouts earns from each reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout
from evaluator.errors import OpenR1Error
from evaluator.grading_pool import GraderPool
from evaluator.types import Extraction, GradeInput, Verdict


class RewardBlind(OpenR1Error):
    """A reward gives a right answer no more than a wrong one: nothing could be learned from it."""

    code = "reward_blind"


def verdicts_of(rollouts: Sequence[Rollout], pool: GraderPool) -> list[Verdict]:
    """The grader's verdict on each rollout; UNGRADED where the row has no gold answer to compare with."""
    asked = [
        None if not rollout.gold else pool.submit(_grade_input(number, rollout, rollout.gold))
        for number, rollout in enumerate(rollouts)
    ]
    return [Verdict.UNGRADED if future is None else future.result().verdict for future in asked]


def _grade_input(number: int, rollout: Rollout, gold: str) -> GradeInput:
    return GradeInput(
        problem_id=str(rollout.group),
        attempt=number,
        text=rollout.text,
        target=gold,
        extraction=Extraction.MATH,
        finish_reason="length" if rollout.truncated else "stop",
    )


def scored(rewards: Sequence[Reward], rollouts: Sequence[Rollout], pool: GraderPool) -> list[Rewards]:
    """What every reward gives every rollout, without weights: one list per reward. The grader is asked once."""
    judged = any(reward.judged for reward in rewards)
    verdicts = verdicts_of(rollouts, pool) if judged else [Verdict.UNGRADED] * len(rollouts)
    return [reward.score(rollouts, verdicts) for reward in rewards]


def check_rewards(
    rewards: Sequence[Reward], row: Mapping[str, Any], gold: str | None, *, opened: str, pool: GraderPool
) -> dict[str, tuple[float, float]]:
    """What each reward gives a planted right and a planted wrong answer to one row.

    `opened` is what the prompt already writes of the answer: a planted answer that does not begin with it could never
    be given, so the reward could never be earned (Open-R1's issue 235: a format reward that stayed 0 for ever).

    Raises:
        RewardBlind: a reward does not give the right one more; the message says what it gave.
    """
    given: dict[str, tuple[float, float]] = {}
    for reward in rewards:
        planted = reward.planted(row, gold)
        rollouts = _as_rollouts(planted, row, gold)
        right, wrong = reward.score(rollouts, verdicts_of(rollouts, pool) if reward.judged else [Verdict.UNGRADED] * 2)
        if right is None or wrong is None:
            raise RewardBlind(
                f"the reward {reward.name} could not judge a planted answer to the first row (gold {gold!r}): "
                f"{_failure_advice(reward)}"
            )
        if right * reward.weight <= wrong * reward.weight:
            raise RewardBlind(
                f"the reward {reward.name} gives {right * reward.weight:g} to a planted right answer and "
                f"{wrong * reward.weight:g} to a wrong one: change its weight, its parameters or its columns"
            )
        if opened and _shaped(reward) and not planted.right.startswith(opened):
            raise RewardBlind(
                f"the prompt opens the answer with {opened!r}, but the reward {reward.name} wants one that begins "
                f"with {planted.right[: len(opened) + 10]!r}: no answer could ever earn it; change the prompt's "
                "`opens` or choose a reward for that shape"
            )
        given[reward.name] = (right, wrong)
    return given


def _shaped(reward: Reward) -> bool:
    return reward.planted.__qualname__.split(".")[0] in SHAPED


SHAPED = frozenset({"Format", "MiniR1Format", "ThoughtFormat", "StrictXml", "SoftXml", "CodeFormat"})


def _failure_advice(reward: Reward) -> str:
    if hasattr(reward, "sandbox_url"):
        return f"is the sandbox {reward.sandbox_url} running?"
    return "name the column of the right answer in `prompt.gold`"


def _as_rollouts(planted: Planted, row: Mapping[str, Any], gold: str | None) -> list[Rollout]:
    both = ((planted.right, planted.right_tokens), (planted.wrong, planted.wrong_tokens))
    return [Rollout(text=text, tokens=tokens, gold=gold, row=row) for text, tokens in both]
