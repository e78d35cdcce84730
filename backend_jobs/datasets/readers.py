"""Readers of the reasoning datasets that the community made: each row to our schema, and back without loss.

Three ways of marking a thought and two conventions for messages, written out per dataset in `DATASETS`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from backend_jobs.datasets.markup import MARKED, Markup, put_together, take_apart
from backend_jobs.datasets.types import Generation, Message, ReasoningRow, RowRejected, answered

Columns = Mapping[str, Any]
ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


class RowFault(Exception):
    """A column of one row is not what its form has: (column, what is wrong)."""

    def __init__(self, column: str, what: str) -> None:
        super().__init__(column, what)
        self.column, self.what = column, what


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a form finds in a row. `restore` holds what `write` needs beside the parts, as JSON values."""

    prompt: tuple[Message, ...]
    reasoning: str
    answer: str
    restore: dict[str, Any]


class Form(Protocol):
    """One layout of rows: which columns hold the conversation, and how."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that this form takes over; all others are kept as they are."""
        ...

    def read(self, row: Columns) -> Content:
        """Take the conversation out of a row. Raises RowFault."""
        ...

    def write(self, content: Content) -> dict[str, Any]:
        """The columns as they were."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """A list of turns whose last one holds thought and answer in one text; with `system`, a column beside it."""

    column: str
    author: str
    text: str
    markup: Markup
    system: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """See Form."""
        return (self.column, self.system) if self.system else (self.column,)

    def read(self, row: Columns) -> Content:
        """See Form."""
        messages, authors = _messages(row, self.column, self.author, self.text)
        *prompt, last = messages
        if last.role != "assistant" or not prompt or prompt[-1].role != "user":
            raise RowFault(self.column, f"ends with the turns {authors[-2:]}, expected a user's and an assistant's")
        for turn in prompt:
            if turn.role == "assistant" and MARKED.search(turn.content):
                raise RowFault(self.column, "holds a thought in an earlier turn, expected one in the last turn alone")
        parts = take_apart(last.content, self.markup)
        if parts is None:
            raise RowFault(self.column, f"ends with {_shown(last.content)}, expected a thought marked as {self.markup}")
        system = _system(row, self.system)
        return Content(
            prompt=(*system, *prompt),
            reasoning=parts.reasoning,
            answer=parts.answer,
            restore={
                "frame": list(parts.frame),
                "authors": authors,
                "system": None if self.system is None else row[self.system],
            },
        )

    def write(self, content: Content) -> dict[str, Any]:
        """See Form."""
        before, between, after = content.restore["frame"]
        text = put_together((before, between, after), content.reasoning, content.answer)
        authors = content.restore["authors"]
        turns = [message.content for message in content.prompt[-(len(authors) - 1) :]] + [text]
        columns: dict[str, Any] = {
            self.column: [{self.author: a, self.text: t} for a, t in zip(authors, turns, strict=True)]
        }
        return columns | ({self.system: content.restore["system"]} if self.system else {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A problem in one column and a text with thought and answer in another."""

    problem: str
    response: str
    markup: Markup

    @property
    def columns(self) -> tuple[str, ...]:
        """See Form."""
        return self.problem, self.response

    def read(self, row: Columns) -> Content:
        """See Form."""
        text = _text(row, self.response)
        parts = take_apart(text, self.markup)
        if parts is None:
            raise RowFault(self.response, f"is {_shown(text)}, expected a thought marked as {self.markup}")
        return Content(
            prompt=(Message(role="user", content=_text(row, self.problem)),),
            reasoning=parts.reasoning,
            answer=parts.answer,
            restore={"frame": list(parts.frame)},
        )

    def write(self, content: Content) -> dict[str, Any]:
        """See Form."""
        before, between, after = content.restore["frame"]
        text = put_together((before, between, after), content.reasoning, content.answer)
        return {self.problem: content.prompt[0].content, self.response: text}


@dataclass(frozen=True, kw_only=True, slots=True)
class Apart:
    """Thought and answer in columns of their own, beside a problem's text or (`turns`) a list of messages."""

    prompt: str
    reasoning: str
    answer: str
    turns: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """See Form."""
        return self.prompt, self.reasoning, self.answer

    def read(self, row: Columns) -> Content:
        """See Form."""
        restore: dict[str, Any] = {}
        if self.turns:
            prompt, restore["authors"] = _messages(row, self.prompt, "role", "content")
            if prompt[-1].role != "user":
                raise RowFault(self.prompt, f"ends with a turn of {prompt[-1].role!r}, expected the user's")
        else:
            prompt = [Message(role="user", content=_text(row, self.prompt))]
        return Content(
            prompt=tuple(prompt),
            reasoning=_text(row, self.reasoning),
            answer=_text(row, self.answer),
            restore=restore,
        )

    def write(self, content: Content) -> dict[str, Any]:
        """See Form."""
        prompt: Any = content.prompt[0].content
        if self.turns:
            authors = content.restore["authors"]
            prompt = [{"role": a, "content": m.content} for a, m in zip(authors, content.prompt, strict=True)]
        return {self.prompt: prompt, self.reasoning: content.reasoning, self.answer: content.answer}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """A dataset as its makers publish it: licence, the model that wrote it, and the forms of its configs.

    `source`, `target` and `verified` name columns where a form has them. The first form whose columns a row has is its.
    """

    name: str
    license: str
    model: str | None
    forms: tuple[Form, ...]
    source: tuple[str, ...] = ()
    target: str | None = None
    verified: str | None = None

    def read(self, row: Columns, *, number: int) -> ReasoningRow:
        """One row in our schema; `number` is its place in the dataset, from 0.

        Raises:
            RowRejected: names the dataset, the row, the column, what it holds and what was expected.
        """
        form = self._form(row, number)
        try:
            content = form.read(row)
            verified = None if self.verified is None else _truth(row, self.verified)
        except RowFault as fault:
            raise RowRejected(f"{self.name}, row {number}, column {fault.column!r}: {fault.what}") from fault
        rest = {name: value for name, value in row.items() if name not in form.columns}
        try:
            original = json.dumps(
                {"form": self.forms.index(form), "restore": content.restore, "columns": rest}, ensure_ascii=False
            )
        except TypeError as error:
            raise RowRejected(f"{self.name}, row {number}: a column cannot be kept as JSON: {error}") from error
        source = next((row[name] for name in self.source if row.get(name)), self.name)
        target = row.get(self.target) if self.target else None
        return ReasoningRow(
            messages=answered(content.prompt, content.reasoning, content.answer),
            reasoning=content.reasoning,
            answer=content.answer,
            source=str(source),
            license=self.license,
            verified=verified,
            generation=Generation(
                model=self.model,
                problem_id=str(row["id"]) if row.get("id") is not None else str(number),
                target=target if isinstance(target, str) else None,
                original=original,
            ),
        )

    def write(self, row: ReasoningRow) -> dict[str, Any]:
        """The row as the dataset had it. Raises RowRejected for a row that was not read from this dataset."""
        if row.generation.original is None:
            raise RowRejected(f"the row was not read from {self.name}: it brings none of its columns")
        original = json.loads(row.generation.original)
        content = Content(prompt=row.prompt, reasoning=row.reasoning, answer=row.answer, restore=original["restore"])
        columns: dict[str, Any] = original["columns"]
        form: Form = self.forms[original["form"]]
        return columns | form.write(content)

    def _form(self, row: Columns, number: int) -> Form:
        for form in self.forms:
            if all(name in row for name in form.columns):
                return form
        wanted = " or ".join(str(list(form.columns)) for form in self.forms)
        missing = next(name for name in self.forms[0].columns if name not in row)
        raise RowRejected(
            f"{self.name}, row {number}, column {missing!r}: is missing; the row has {sorted(row)}, expected {wanted}"
        )


BESPOKE_STRATOS = Dataset(
    name="bespokelabs/Bespoke-Stratos-17k",
    license="apache-2.0",
    model="deepseek-ai/DeepSeek-R1",
    forms=(Conversation(column="conversations", author="from", text="value", markup=Markup.SECTIONS, system="system"),),
)
OPEN_THOUGHTS = Dataset(
    name="open-thoughts/OpenThoughts-114k",
    license="apache-2.0",
    model="deepseek-ai/DeepSeek-R1",
    forms=(
        Conversation(column="conversations", author="from", text="value", markup=Markup.SECTIONS, system="system"),
        Apart(prompt="problem", reasoning="deepseek_reasoning", answer="deepseek_solution"),
    ),
    source=("source",),
    target="ground_truth_solution",
)
DOLPHIN_R1 = Dataset(
    name="cognitivecomputations/dolphin-r1",
    license="apache-2.0",
    model=None,  # DeepSeek-R1 or Gemini, by config
    forms=(Apart(prompt="messages", reasoning="reasoning", answer="answer", turns=True),),
)
R1_DISTILL_SFT = Dataset(
    name="ServiceNow-AI/R1-Distill-SFT",
    license="cc-by-nc-sa-4.0",
    model="deepseek-ai/DeepSeek-R1-Distill-Qwen-32B",
    forms=(
        Conversation(column="reannotated_messages", author="role", text="content", markup=Markup.THINK),
        Pair(problem="problem", response="reannotated_assistant_content", markup=Markup.THINK),
    ),
    source=("source_dataset", "source"),
    target="solution",
    verified="verified",
)
SKY_T1 = Dataset(
    name="NovaSky-AI/Sky-T1_data_17k",
    license="apache-2.0",
    model="Qwen/QwQ-32B-Preview",
    forms=(Conversation(column="conversations", author="from", text="value", markup=Markup.SECTIONS, system="system"),),
)
MAGPIE_REASONING = Dataset(
    name="Magpie-Align/Magpie-Reasoning-V2-250K-CoT-Deepseek-R1-Llama-70B",
    license="llama3.3",
    model="deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    forms=(Conversation(column="conversations", author="from", text="value", markup=Markup.THINK),),
)
DATASETS = {d.name: d for d in (BESPOKE_STRATOS, OPEN_THOUGHTS, DOLPHIN_R1, R1_DISTILL_SFT, SKY_T1, MAGPIE_REASONING)}
ALSO_KNOWN_AS = {
    "HuggingFaceH4/Bespoke-Stratos-17k": BESPOKE_STRATOS.name,
    "QuixiAI/dolphin-r1": DOLPHIN_R1.name,
}


def _messages(row: Columns, column: str, author: str, text: str) -> tuple[list[Message], list[str]]:
    """The turns of a list of {author, text}, and their authors in the dataset's own words."""
    turns = row[column]
    if not isinstance(turns, list) or not turns:
        raise RowFault(column, f"is {_shown(turns)}, expected a list of turns")
    messages, authors = [], []
    for place, turn in enumerate(turns):
        if not isinstance(turn, Mapping) or set(turn) != {author, text}:
            raise RowFault(column, f"turn {place} is {_shown(turn)}, expected the keys {author!r} and {text!r}")
        if turn[author] not in ROLES:
            raise RowFault(column, f"turn {place} is by {turn[author]!r}, expected one of {', '.join(ROLES)}")
        if not isinstance(turn[text], str):
            raise RowFault(column, f"turn {place} says {_shown(turn[text])}, expected text")
        messages.append(Message(role=ROLES[turn[author]], content=turn[text]))
        authors.append(str(turn[author]))
    return messages, authors


def _system(row: Columns, column: str | None) -> tuple[Message, ...]:
    if column is None or row[column] is None:
        return ()
    return (Message(role="system", content=_text(row, column)),)


def _text(row: Columns, column: str) -> str:
    value = row[column]
    if not isinstance(value, str):
        raise RowFault(column, f"is {_shown(value)}, expected text")
    return value


def _truth(row: Columns, column: str) -> bool | None:
    value = row.get(column)
    if value is None or isinstance(value, bool):
        return value
    raise RowFault(column, f"is {_shown(value)}, expected true, false or nothing")


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
