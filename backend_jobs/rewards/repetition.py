"""The reward against loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import override

from backend_jobs.rewards.types import Planted, Reward, Rewards, Rollout
from evaluator.types import Verdict


class RepetitionPenalty(Reward):
    """(1 - different n-grams / n-grams) * max_penalty over the words; 0 for an answer shorter than n words.

    Source: arXiv 2502.03373, appendix; Open-R1, `repetition_penalty`. Words are what stands between spaces.
    """

    name: Literal["repetition_penalty"]
    ngram: Annotated[int, Field(ge=1, le=64)]
    max_penalty: Annotated[float, Field(ge=-100, lt=0)]

    @override
    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        return [self._penalty(rollout.text) for rollout in rollouts]

    def _penalty(self, text: str) -> float:
        words = text.lower().split()
        count = len(words) - self.ngram + 1
        if count < 1:
            return 0.0
        different = len({tuple(words[start : start + self.ngram]) for start in range(count)})
        return (1 - different / count) * self.max_penalty

    @override
    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        varied = " ".join(f"word{number}" for number in range(2 * self.ngram))
        return Planted(right=varied, wrong="wait " * 4 * self.ngram)
