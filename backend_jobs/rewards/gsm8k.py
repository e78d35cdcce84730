"""Will Brown's five rewards for GSM8K, gist 4676755236bb08cab5f4e54a0475d6fb, with their weights left to the recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from typing_extensions import override

from backend_jobs.rewards.outcomes import tagged_answer
from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout
from evaluator.types import Verdict

# DOTALL, without which the original never fires on a thought of several lines.
STRICT = re.compile(r"<reasoning>\n.*?\n</reasoning>\n<answer>\n.*?\n</answer>\n?", re.DOTALL)
SOFT = re.compile(r"<reasoning>.*?</reasoning>\s*<answer>.*?</answer>", re.DOTALL)
TAGS = ("<reasoning>\n", "\n</reasoning>\n", "\n<answer>\n", "\n</answer>")
TAG_VALUE = 0.125
TRAILING_COST = 0.001
RIGHT = "<reasoning>\nso\n</reasoning>\n<answer>\n{answer}\n</answer>"


class TaggedMatch(Reward):
    """1 where the last `<answer>` is the gold answer, digit for digit (thousands' commas aside); else 0."""

    name: Literal["tagged_match"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [None if rollout.gold is None else float(_same(rollout.text, rollout.gold)) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=RIGHT.format(answer=gold), wrong=RIGHT.format(answer=f"{gold}0"))


class TaggedInteger(Reward):
    """1 where the last `<answer>` is a whole number; else 0."""

    name: Literal["tagged_integer"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [
            float(re.fullmatch(r"[+-]?[0-9]+", tagged_answer(rollout.text) or "") is not None) for rollout in rollouts
        ]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=RIGHT.format(answer=7), wrong=RIGHT.format(answer="seven"))


class StrictXml(Reward):
    """1 where the whole text is reasoning and answer, every tag on a line of its own; else 0."""

    name: Literal["strict_xml"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(STRICT.fullmatch(rollout.text) is not None) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=RIGHT.format(answer=7), wrong="<reasoning>so</reasoning><answer>7</answer>")


class SoftXml(Reward):
    """1 where the text begins with reasoning and an answer in their tags; else 0."""

    name: Literal["soft_xml"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [float(SOFT.match(rollout.text) is not None) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right="<reasoning>so</reasoning><answer>7</answer>", wrong="<reasoning>so 7</answer>")


class XmlCount(Reward):
    """An eighth for each of the four tags that stands exactly once, less 0.001 for every character after the answer."""

    name: Literal["xml_count"]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [_xml_count(rollout.text) for rollout in rollouts]

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        return Planted(right=RIGHT.format(answer=7), wrong="7")


def _same(text: str, gold: str) -> bool:
    answer = tagged_answer(text)
    return answer is not None and answer.replace(",", "") == gold.strip().replace(",", "")


def _xml_count(text: str) -> float:
    value = sum(TAG_VALUE for tag in TAGS if text.count(tag) == 1)
    _, closed, trailing = text.rpartition("\n</answer>")
    return value - (TRAILING_COST * len(trailing.strip("\n")) if closed else 0.0)
