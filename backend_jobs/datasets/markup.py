"""Thoughts as datasets mark them: an assistant's text taken apart into thought and answer, and put together again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Markup(StrEnum):
    """The ways of marking a thought inside an assistant's text."""

    THINK = "think"
    """`<think> thought </think> answer`"""
    SECTIONS = "sections"
    """`<|begin_of_thought|> thought <|end_of_thought|> <|begin_of_solution|> answer <|end_of_solution|>`"""


# The last closing tag ends the thought, as for the grader: a thought may quote one.
PATTERNS = {
    Markup.THINK: re.compile(
        r"(?P<before>\s*<think>\s*)(?P<reasoning>.*)(?P<between></think>\s*)(?P<answer>.*)(?P<after>)", re.DOTALL
    ),
    Markup.SECTIONS: re.compile(
        r"(?P<before>\s*<\|begin_of_thought\|>\s*)(?P<reasoning>.*)"
        r"(?P<between><\|end_of_thought\|>\s*<\|begin_of_solution\|>\s*)(?P<answer>.*)"
        r"(?P<after><\|end_of_solution\|>\s*)",
        re.DOTALL,
    ),
}
MARKED = re.compile(r"</?think>|<\|(?:begin|end)_of_(?:thought|solution)\|>")


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """An assistant's text: `before + reasoning + between + answer + after` is the text, to the last space."""

    before: str
    reasoning: str
    between: str
    answer: str
    after: str

    @property
    def frame(self) -> tuple[str, str, str]:
        """What stands around thought and answer."""
        return self.before, self.between, self.after


def take_apart(text: str, markup: Markup) -> Parts | None:
    """The parts of a text in this markup; None where it is not in it."""
    found = PATTERNS[markup].fullmatch(text)
    if found is None:
        return None
    reasoning, answer = found["reasoning"], found["answer"]
    space = reasoning[len(reasoning.rstrip()) :]
    end = answer[len(answer.rstrip()) :]
    return Parts(
        before=found["before"],
        reasoning=reasoning.rstrip(),
        between=space + found["between"],
        answer=answer.rstrip(),
        after=end + found["after"],
    )


def put_together(frame: tuple[str, str, str], reasoning: str, answer: str) -> str:
    """The text that `take_apart` was given."""
    before, between, after = frame
    return f"{before}{reasoning}{between}{answer}{after}"
