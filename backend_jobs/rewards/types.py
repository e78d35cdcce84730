"""The nouns of rewards: a rollout, what is planted to try a reward, and what every reward can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from evaluator.types import Verdict

Rewards = list[float | None]
"""One per rollout, in order. None: a failure of ours, from which nothing may be learned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """One completion of a prompt, as rewards see it.

    `text` is everything that the assistant is taken to have said: what the prompt already opened for it (`<think>`) and
    what the model wrote. `tokens` counts what the model wrote, `truncated` says that the limit cut it off. Rollouts of
    one `group` answer one prompt. `gold` is the right answer as text; None where the dataset has none for this row.
    """

    text: str
    tokens: int
    truncated: bool = False
    group: int = 0
    gold: str | None = None
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """Two answers to one row: the reward must give `right` more than `wrong`. Lengths in tokens."""

    right: str
    wrong: str
    right_tokens: int = 10
    wrong_tokens: int = 10


class Reward(BaseModel):
    """A reward as a recipe asks for it: its name, its weight, and every parameter of its formula. None has a default.

    `judged` rewards need the verdicts of the evaluator's grader; `grouped` ones compare the rollouts of one prompt.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    judged: ClassVar[bool] = False
    grouped: ClassVar[bool] = False

    name: str
    weight: Annotated[float, Field(ge=-100, le=100)]

    @property
    def columns(self) -> tuple[str, ...]:
        """The dataset's columns that the reward reads."""
        return ()

    def score(self, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> Rewards:
        """What each rollout earns, without the weight. `verdicts` are those of the grader, one per rollout."""
        raise NotImplementedError

    def planted(self, row: Mapping[str, Any], gold: str | None) -> Planted:
        """A right and a wrong answer to one row, to try the reward with before any weights are loaded."""
        raise NotImplementedError


def known(verdict: Verdict) -> bool:
    """Whether the grader came to a verdict. UNGRADED is a failure of ours."""
    return verdict is not Verdict.UNGRADED
