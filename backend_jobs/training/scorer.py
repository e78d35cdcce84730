"""Rewards as TRL calls them: one function per reward, over one batch that is scored once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from backend_jobs.recipe_types import GrpoRecipe
from backend_jobs.rewards.judging import scored
from backend_jobs.rewards.types import Rewards, Rollout
from backend_jobs.training.events import Sample
from evaluator.grading_pool import GraderPool

SAMPLES_KEPT = 4
LONGEST_SAMPLE = 4_000


class BatchScorer:
    """Turns a batch of completions into rollouts and asks every reward once.

    `ends` are the token ids that end an answer: one whose last token is none of them was cut off.
    """

    def __init__(self, recipe: GrpoRecipe, pool: GraderPool) -> None:
        self._recipe, self._pool = recipe, pool
        self._scored_ids: object = None
        self._scores: list[Rewards] = []
        self._shown: tuple[Sequence[Any], Sequence[Rollout]] = ((), ())
        self.ends: frozenset[int] = frozenset()

    def functions(self) -> list[Callable[..., Rewards]]:
        """One function per reward, in the recipe's order, named as the reward is."""
        return [self._function(place) for place in range(len(self._recipe.rewards))]

    def samples(self) -> tuple[Sample, ...]:
        """Some answers of the last batch: of its first prompts, one each, with the sum of their weighted rewards."""
        prompts, rollouts = self._shown
        first = {rollout.group: place for place, rollout in reversed(list(enumerate(rollouts)))}
        chosen = sorted(first.values())[:SAMPLES_KEPT]
        return tuple(
            Sample(
                prompt=_cut(prompts[place] if isinstance(prompts[place], str) else prompts[place][-1]["content"]),
                completion=_cut(rollouts[place].text),
                gold=rollouts[place].gold,
                tokens=rollouts[place].tokens,
                truncated=rollouts[place].truncated,
                rewards={
                    reward.name: scores[place]
                    for reward, scores in zip(self._recipe.rewards, self._scores, strict=True)
                },
            )
            for place in chosen
        )

    def _function(self, place: int) -> Callable[..., Rewards]:
        def reward(prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Any, **row: Any) -> Rewards:
            # TRL hands the same list to every reward of a batch.
            if completion_ids is not self._scored_ids:
                self._score(prompts, completions, completion_ids, row)
            return self._scores[place]

        reward.__name__ = self._recipe.rewards[place].name
        return reward

    def _score(self, prompts: Sequence[Any], completions: Sequence[Any], ids: Any, row: dict[str, Any]) -> None:
        rollouts = [
            Rollout(
                text=row["opened"][place] + (said if isinstance(said, str) else said[0]["content"]),
                tokens=len(ids[place]),
                truncated=bool(self.ends) and ids[place][-1] not in self.ends,
                group=row["group"][place],
                gold=row["gold"][place],
                row=json.loads(row["row"][place]),
            )
            for place, said in enumerate(completions)
        ]
        self._scores = scored(self._recipe.rewards, rollouts, self._pool)
        self._scored_ids, self._shown = ids, (prompts, rollouts)


def _cut(text: Any) -> str:
    shown = str(text)
    return shown if len(shown) <= LONGEST_SAMPLE else f"{shown[:LONGEST_SAMPLE]} …"


def finite(value: Any) -> float | None:
    """A number that JSON can hold; None for anything else."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
