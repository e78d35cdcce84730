"""The nouns of reasoning data: one row, how it came to be, why one was dropped."""

from __future__ import annotations

from dataclasses import dataclass, field

from evaluator.errors import OpenR1Error
from evaluator.types import Sampling

THOUGHT = "<think>\n{reasoning}\n</think>\n\n{answer}"
"""How an assistant's message shows its thought, whatever markup a dataset came with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation. `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """How a row came to be; None where nobody recorded it.

    `commit` names the model's weights. `problem_id` and `attempt` tell samples of one problem apart, `target` is the
    right answer that it was checked against. `original` is JSON: the columns of a foreign row that have no place here.
    """

    model: str | None = None
    commit: str | None = None
    engine: str | None = None
    sampling: Sampling | None = None
    max_tokens: int | None = None
    seed: int | None = None
    finish_reason: str | None = None
    problem_id: str | None = None
    attempt: int | None = None
    target: str | None = None
    original: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasoningRow:
    """One reasoning trace.

    `messages` is the whole conversation, the assistant's last turn in the markup of `THOUGHT`; `reasoning` and `answer`
    are the two parts of that turn. `source` says where the problem is from, `license` travels with the row, `verified`
    is True or False where the answer was checked and None where it was not. `n_tokens` is what the model wrote.
    """

    messages: tuple[Message, ...]
    reasoning: str
    answer: str
    source: str
    license: str
    verified: bool | None = None
    n_tokens: int | None = None
    generation: Generation = field(default_factory=Generation)

    @property
    def prompt(self) -> tuple[Message, ...]:
        """Everything before the assistant's last turn."""
        return self.messages[:-1] if self.messages[-1].role == "assistant" else self.messages

    @property
    def problem(self) -> str:
        """The last thing that the user said."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """Why a row is not in the training set: a named `reason` (`backend_jobs/datasets/filters.py`) and what it saw."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedRow:
    """A row that was kept apart. Where nothing was written, its conversation ends with the user's turn."""

    row: ReasoningRow
    dropped: Dropped


class DatasetRejected(OpenR1Error):
    """A dataset cannot be found or read, or is not of a form that is known here."""

    code = "dataset_rejected"


class RowRejected(DatasetRejected):
    """A row of a dataset does not fit the form that the dataset has; names dataset, row and column."""

    code = "row_rejected"


def answered(prompt: tuple[Message, ...], reasoning: str, answer: str) -> tuple[Message, ...]:
    """A conversation that ends with the assistant's thought and answer."""
    return (*prompt, Message(role="assistant", content=THOUGHT.format(reasoning=reasoning, answer=answer)))
