"""Rewards for a right answer: the evaluator's grader decides, so that training and the board mean the same by it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator
from typing_extensions import override

from backend_jobs.rewards.lengths import another, boxed
from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout, known
from evaluator.answers import last_box
from evaluator.types import Verdict

ANSWER_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


class Accuracy(Reward):
    """1 where the grader finds the answer equal to the gold one, 0 where not or where none is given.

    None where the row has no gold, or the grader could not decide. Source: Open-R1, `accuracy`; ours is the grader of
    the board.
    """

    judged: ClassVar[bool] = True
    name: Literal["accuracy"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(verdict is Verdict.CORRECT) if known(verdict) else None for verdict in verdicts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=boxed(gold), wrong=boxed(another(gold)))


class BoxedOutcome(Reward):
    """`right`, `wrong`, or `no_box` where nothing is boxed. Source: SimpleRL-reason v0: 1, -0.5, -1."""

    judged: ClassVar[bool] = True
    name: Literal["boxed_outcome"]
    right: float
    wrong: float
    no_box: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.no_box <= self.wrong < self.right:
            raise ValueError(
                f"no_box <= wrong < right must hold, here {self.no_box}, {self.wrong}, {self.right}; "
                "SimpleRL-reason takes -1.0, -0.5, 1.0"
            )
        return self

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [self._one(rollout, verdict) for rollout, verdict in zip(rollouts, verdicts, strict=True)]

    def _one(self, rollout: Rollout, verdict: Verdict) -> float | None:
        if not known(verdict):
            return None
        if last_box(rollout.text) is None:
            return self.no_box
        return self.right if verdict is Verdict.CORRECT else self.wrong

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=boxed(gold), wrong=boxed(another(gold)))


class TaggedAccuracy(Reward):
    """1 where the grader says right, or where the `<answer>` tag holds the gold answer letter for letter; else 0.

    Source: open-r1-multimodal, `accuracy_reward`.
    """

    judged: ClassVar[bool] = True
    name: Literal["tagged_accuracy"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [self._one(rollout, verdict) for rollout, verdict in zip(rollouts, verdicts, strict=True)]

    def _one(self, rollout: Rollout, verdict: Verdict) -> float | None:
        if rollout.gold is None:
            return None
        if verdict is Verdict.CORRECT or tagged_answer(rollout.text) == rollout.gold.strip():
            return 1.0
        return 0.0 if known(verdict) else None

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        right, wrong = (f"<think>so</think> <answer>{text}</answer>" for text in (gold, another(gold)))
        return Planted(right=right, wrong=wrong)


def tagged_answer(text: str) -> str | None:
    """What stands in the last `<answer>` tag; None where there is none."""
    found = ANSWER_TAG.findall(text)
    return str(found[-1]).strip() if found else None
