"""Where a completion gives its answer, and what that answer is as text. Nothing here knows mathematics.

All scans are linear in the length of the text: a completion may be a 100,000-character loop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from evaluator.letters import lone_letter, stated_letter

THOUGHT_OPENS = re.compile(r"<think>|<\|begin_of_thought\|>")
THOUGHT_CLOSES = re.compile(r"<\\?/think>|<\|end_of_thought\|>")
# A backslash pair is consumed whole, so that \{ and \\ never count as braces.
BOX_TOKENS = re.compile(r"(?P<box>\\{1,2}(?:boxed|fbox)\s*\{)|\\.|[{}]", re.DOTALL)
# With the whole run of backslashes before it, so that a scan from here pairs them as one from the start would.
BOX_OPENS = re.compile(r"(?<!\\)\\+(?:boxed|fbox)\s*\{")
BARE_BOX = re.compile(r"\\boxed\s*(-?[0-9][0-9.,]*(?<![.,])|[A-Za-z](?![A-Za-z]))")
EMPTY_BOX = re.compile(r"\\boxed\s*\{\s*\}")
# What a model boxes when it quotes the instructions.
PLACEHOLDERS = frozenset({"", "ANSWER", "...", "\\ldots", "\\dots", "answer", "\\text{ANSWER}"})
TAG_BOX = re.compile(r"<boxed>((?:(?!\\boxed)[^<]){1,2000})</boxed>")
BOX_JOINT = re.compile(
    r"(?:[\s$,;]|\\[()\[\], ;!]|\\quad|\\text\s*\{\s*(?:and|or)\s*\}|\band\b|\bor\b|\b[A-Za-z](?:_\{?[0-9]\}?)?\s*=)*"
)
# "1 papers and 2 bins": a few words of one sentence that end in "and", none of which judges or concludes.
WORDS_JOINT = re.compile(
    r"(?:[\s$}]|\\text\s*\{)*(?:(?!(?:is|are|not|wrong|so|thus|then|hence|therefore|answer)\b)[A-Za-z()]+\s+){1,4}"
    r"(?:and|or)\s*\}?[\s$]*",
    re.IGNORECASE,
)
JOINS = re.compile(r",|;|\band\b|\bor\b")
LONGEST_JOINT = 40
# The first letter stands apart because re looks for a set of letters far faster than for one whose case is ignored.
FINAL_LINE = re.compile(r"[Ff](?i:inal\s+answer\s+is\s*:?\s*)")
HOPE = re.compile(r"\s{0,4}\.?\s{0,4}I hope (?:it|this) is correct.*", re.IGNORECASE | re.DOTALL)
SPECIAL_TOKENS = re.compile(r"<[|｜][^|｜<>\n]{1,40}[|｜]>|</s>|<eos>")
# Whole-string delimiters of one formula; `\$` (a currency) never counts as one.
FORMULA = re.compile(r"(?:\$\$|\$|\\\(|\\\[)(?P<inner>(?:[^$\\]|\\[^()\[\]])+)(?:\$\$|\$|\\\)|\\\])", re.DOTALL)
TEXT_GROUP = re.compile(r"\\(?:text|textbf|mathrm|mbox|begin|end|operatorname)\s*\{[^{}]*\}")
WORD = re.compile(
    r"(?<![\\A-Za-z])[A-Za-z]{2,}|[\u0400-\u04ff]{2,}|[\u0600-\u06ff\u0900-\u0dff\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)
"""Two letters in a row, or one of a script in which no formula is written."""
LONGEST_LINE = 2_000
LONGEST_PASSAGE = 4_000
"""Characters of a region's end that are searched where it holds neither box nor final line."""


class Place(StrEnum):
    """Where an answer was found, in the order in which the places are tried."""

    BOX = "box"
    FINAL_LINE = "final_line"
    THOUGHT_BOX = "thought_box"
    REGION = "region"


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """What a completion says after thinking.

    `text` is None where the model never came to an answer: a thought that the token limit cut off. `thought` is the
    text of the closed thought before it, empty where none was closed. `start` is where the region begins in the
    completion's text; `apart` how many characters of the thought came apart from that text.
    """

    text: str | None
    thought: str = ""
    start: int = field(default=0, compare=False)
    apart: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer as text. `exact` is False where `text` is a passage that still has to be searched for the answer."""

    text: str
    place: Place
    exact: bool = True


def answer_region(
    text: str, *, reasoning: str | None = None, finish_reason: str | None = None, prompt_opens_thought: bool = False
) -> Region:
    """Split a completion into its closed thought and the region that may hold the answer.

    `reasoning` is what a server with a reasoning parser returned apart: a closed thought before the text. A
    `finish_reason` of None counts as "stop".
    """
    cut_off = finish_reason == "length"
    if reasoning and not text.strip():
        return Region(text=None) if cut_off else Region(text="", thought=reasoning, apart=len(reasoning))
    before = f"{reasoning}\n" if reasoning else ""
    closings = list(THOUGHT_CLOSES.finditer(text))
    if not closings:
        opened = not reasoning and (prompt_opens_thought or THOUGHT_OPENS.search(text) is not None)
        return Region(text=None) if opened and cut_off else Region(text=text, thought=before, apart=len(before))
    last = closings[-1]
    region = text[last.end() :]
    if cut_off and (again := THOUGHT_OPENS.search(region)):
        region = region[: again.start()]
    return Region(text=region, thought=before + text[: last.start()], start=last.end(), apart=len(before))


def math_answer(region: Region) -> Answer | None:
    """The answer of a completion to a mathematical problem, or None where it gives none.

    First that applies: the last box in the region, the template's last line in it, the last box inside a closed
    thought, the region as a whole.
    """
    if region.text is None:
        return None
    if (boxed := last_box(region.text)) is not None:
        return Answer(text=boxed, place=Place.BOX)
    if (line := _final_line(region.text)) is not None:
        return line
    if (boxed := last_box(region.thought)) is not None:
        return Answer(text=boxed, place=Place.THOUGHT_BOX)
    passage = EMPTY_BOX.sub("", region.text) if "\\boxed" in region.text else region.text
    if (bare := clean(passage)) and _is_expression(bare):
        return Answer(text=bare, place=Place.REGION)
    if bare:
        return Answer(text=passage[-LONGEST_PASSAGE:], place=Place.REGION, exact=False)
    return None


def letter_answer(region: Region) -> Answer | None:
    """The option letter (A to D) that a completion settles on, or None: see `evaluator.letters`."""
    if region.text is None:
        return None
    if (letter := stated_letter(region.text) or lone_letter(region.text)) is not None:
        return Answer(text=letter, place=Place.FINAL_LINE)
    if (letter := stated_letter(region.thought)) is not None:
        return Answer(text=letter, place=Place.THOUGHT_BOX)
    return None


def last_box(text: str) -> str | None:
    r"""The content of the last closed `\boxed{...}` or `<boxed>...</boxed>` that is not empty, or None.

    Boxes joined only by "and", "or" or a comma are one answer, given as a comma-separated list.
    """
    last_of_each = dict.fromkeys(content for _, content in reversed(_last_boxes(text)))
    return ", ".join(reversed(last_of_each)) or None


def last_box_span(text: str) -> tuple[int, int] | None:
    """Where the boxes that `last_box` reads begin and end, or None."""
    found = _last_boxes(text)
    return (found[0][0].start, found[-1][0].end) if found else None


def _last_boxes(text: str) -> list[tuple[_Box, str]]:
    """The boxes that are the last answer, in their order, each with its content; empty where there is none."""
    found: list[tuple[_Box, str]] = []
    for box in reversed(_boxes(text)):
        if found and not _joins(text[box.end : found[0][0].start]):
            break
        content = clean(text[box.inner_start : box.inner_end])
        if content not in PLACEHOLDERS:
            found.insert(0, (box, content))
    return found


def _joins(joint: str) -> bool:
    """Whether two boxes with this text between them are one answer."""
    if len(joint) > LONGEST_JOINT or (joint and not JOINS.search(joint)):
        return False
    return bool(BOX_JOINT.fullmatch(joint) or WORDS_JOINT.fullmatch(joint))


@dataclass(slots=True)
class _Box:
    start: int
    inner_start: int
    inner_end: int = -1
    end: int = -1
    holds_another: bool = False


def _boxes(text: str) -> list[_Box]:
    """Every closed box that holds no other, in the order in which they start."""
    if "box" not in text:
        return []
    found = [_Box(box.start(), box.start(1), box.end(1), box.end()) for box in BARE_BOX.finditer(text)]
    found += [_Box(box.start(), box.start(1), box.end(1), box.end()) for box in TAG_BOX.finditer(text)]
    first = BOX_OPENS.search(text)
    if first is None:
        return sorted(found, key=lambda box: box.start)
    braces: list[_Box | None] = []
    open_boxes: list[_Box] = []
    for token in BOX_TOKENS.finditer(text, first.start()):
        if token[0] == "{":
            braces.append(None)
        elif token[0] == "}":
            if braces and (box := braces.pop()) is not None:
                open_boxes.pop()
                box.inner_end, box.end = token.span()
                if open_boxes:
                    open_boxes[-1].holds_another = True
                if not box.holds_another:
                    found.append(box)
        elif token.lastgroup == "box":
            braces.append(box := _Box(*token.span()))
            open_boxes.append(box)
    return sorted(found, key=lambda box: box.start)


def clean(text: str) -> str:
    """An answer without what typesets it as a whole: formula delimiters, bold, a final full stop, special tokens."""
    text = SPECIAL_TOKENS.sub("", text).strip()
    while len(text) <= LONGEST_LINE:
        shorter = text[2:-2].strip() if text.startswith("**") and text.endswith("**") and len(text) > 4 else text
        if shorter.endswith(".") and not shorter.endswith(("..", "\\.")):
            shorter = shorter[:-1].rstrip()
        if formula := FORMULA.fullmatch(shorter):
            shorter = formula["inner"].strip()
        if shorter == text:
            break
        text = shorter
    return text


def unwrap(target: str) -> str:
    r"""A target as plain LaTeX: without `\boxed{}` (closed or not) or formula delimiters around it."""
    boxed = last_box(target)
    if boxed is None and (opened := BOX_OPENS.match(target.strip())):
        return clean(target.strip()[opened.end() :])
    return clean(target) if boxed is None else boxed


def _is_expression(text: str) -> bool:
    """Whether a text is one formula, number or word, with no sentence around it."""
    if len(text) > LONGEST_LINE or "\n\n" in text or not FORMULA.fullmatch(f"${text}$"):
        return False
    outside = TEXT_GROUP.sub(" ", text)
    return WORD.search(outside) is None or text.isalpha()


def final_line_span(region: str) -> tuple[int, int] | None:
    """Where the line of the last "final answer is" begins and ends, or None where no answer stands there."""
    if _final_line(region) is None:
        return None
    begin = [match.start() for match in FINAL_LINE.finditer(region)][-1]
    length = re.match(r".*(?:\n\s*(?:\$\$|\\\[)[^$\]]*)?", region[begin : begin + LONGEST_LINE])
    return begin, begin + (len(length[0].rstrip()) if length else 0)


def _final_line(region: str) -> Answer | None:
    """What stands after the last "final answer is": its formula or number, or the line where it is neither."""
    ends = [match.end() for match in FINAL_LINE.finditer(region)]
    if not ends:
        return None
    rest = SPECIAL_TOKENS.sub("", region[ends[-1] : ends[-1] + LONGEST_LINE])
    if displayed := re.match(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]", rest, re.DOTALL):
        return Answer(text=clean(displayed[1] or displayed[2]), place=Place.FINAL_LINE)
    line = clean(HOPE.sub("", rest.partition("\n")[0]))
    if not line:
        return None
    if _is_expression(line):
        return Answer(text=line, place=Place.FINAL_LINE)
    return Answer(text=f"final answer is {line}", place=Place.FINAL_LINE, exact=False)
