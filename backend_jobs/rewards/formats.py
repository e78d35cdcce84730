"""Rewards for the shape of an answer. Each looks at the whole text, what the prompt opened included."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from typing_extensions import override

from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout
from evaluator.types import Verdict

R1_FORMAT = re.compile(r"<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>", re.DOTALL)
# A thought that opens no other one, then an answer up to the very end.
MINI_R1_FORMAT = re.compile(
    r"<think>[^<]*(?:<(?!/?think>)[^<]*)*</think>\n<answer>(?:(?!</?answer>).)*</answer>", re.DOTALL
)
TAGS = ("<think>\n", "\n</think>\n", "\n<answer>\n", "\n</answer>")
STEP = re.compile(r"Step \d+:|^\d+\.|\n-|\n\*|First,|Second,|Next,|Finally,", re.MULTILINE)
STEPS_WANTED = 3


class Format(Reward):
    """1 where the whole text is a thought and an answer, each tag on a line of its own; else 0.

    Source: Open-R1, `format`. Unlike there, nothing may stand before the thought or after the answer.
    """

    name: Literal["format"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(R1_FORMAT.fullmatch(rollout.text.strip()) is not None) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right="<think>\nso\n</think>\n<answer>\n42\n</answer>", wrong="<think>\nso\n42")


class MiniR1Format(Reward):
    """1 where the text is one thought and one answer, tags on the lines of their content allowed; else 0.

    Source: Mini-R1, `format_reward_func`.
    """

    name: Literal["mini_r1_format"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(MINI_R1_FORMAT.fullmatch(rollout.text.strip()) is not None) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right="<think>so</think>\n<answer>1 + 2</answer>", wrong="<think>so <answer>1 + 2</answer>")


class TagCount(Reward):
    """A quarter for each of the four tags that stands exactly once, with its line breaks. Source: Open-R1."""

    name: Literal["tag_count"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [sum(0.25 for tag in TAGS if rollout.text.count(tag) == 1) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right="<think>\nso\n</think>\n<answer>\n42\n</answer>", wrong="42")


class ReasoningSteps(Reward):
    """min(1, n / 3) for n marks of a step: `Step 1:`, `1.` or a bullet at a line's begin, First, Next, Finally.

    Source: Open-R1, `reasoning_steps`.
    """

    name: Literal["reasoning_steps"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [min(1.0, len(STEP.findall(rollout.text)) / STEPS_WANTED) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right="First, add.\nNext, halve.\nFinally, 42.", wrong="42.")


class ThoughtFormat(Reward):
    """1 where a single thought is closed and something follows it; else 0. Source: Text2Graph-R1's think format."""

    name: Literal["thought_format"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(_one_thought(rollout.text.strip())) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right="<think>so</think>\n{}", wrong="<think>so {}")


def _one_thought(text: str) -> bool:
    head, closed, rest = text.partition("</think>")
    return bool(
        closed and rest.strip() and head.startswith("<think>") and head.count("<think>") == 1 and "think>" not in rest
    )
