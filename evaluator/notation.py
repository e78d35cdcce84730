r"""Answers rewritten into notation that math_verify reads as it is meant. Text only; no rule changes a value.

Each rule stands for answers that math_verify 0.5.2 misreads: it drops the sign pair of `\pm 5`, sees `1\,000` as a
product and "19, 46, and 82" as 82, and takes `D = (0, 1)` and `D = (0, 2)` for the same.
"""

from __future__ import annotations

import re

THIN_SPACE_IN_NUMBER = re.compile(r"(?<=[0-9])(?:\\[,;:! ]|~|\{\\,\})(?=[0-9]{3}(?![0-9]))")
SPACED_NUMBER = re.compile(r"-?[0-9]{1,3}(?: [0-9]{3})+(?:\.[0-9]+)?")
DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+")
DECIMAL_COMMA = re.compile(r"-?(?:0,[0-9]+|[0-9]+,(?![0-9]{3}$)[0-9]+)")
DOUBLE_ESCAPE = re.compile(r"\\\\(?=[A-Za-z])")
FORMULA_MARK = re.compile(r"(?<!\\)\$|\\[()]")
TEXT_COMMAND = re.compile(r"\\(?:textnormal|textrm|textsf|texttt|textup|mbox)(?=\s*\{)")
UPRIGHT_LETTER = re.compile(r"\\(?:mathrm|rm|text|operatorname)\s*\{\s*([A-Za-z])\s*\}")
ORDINAL = re.compile(r"(?<=[0-9])\s*\^?\s*\{?\s*(?:\\(?:text|mathrm)\s*\{)?\s*(?:st|nd|rd|th)\b\s*\}{0,2}")
PERCENT_WORD = re.compile(r"\s*(?:\\text\s*\{\s*(?:per\s?cent|percentage|pct)\s*\}|\b(?:per\s?cent|percentage|pct)\b)")
LIST_WORD = re.compile(
    r"\s{0,9},?\s{0,9}(?:\\text\s*\{[\s,]*(?:and|or)\s*\}|\\(?:quad|qquad)|(?<![A-Za-z\\])(?:and|or)(?![a-z]))"
    r"(?:\s|\\quad|\\qquad|\\ |\\text\s*\{[\s,]*(?:and|or)\s*\})*"
)
PLUS_MINUS = re.compile(r"\\pm\s*([^,;=]+)")
NAMED = re.compile(
    r"(?P<name>\\?[A-Za-z]+(?:_(?:\{[A-Za-z0-9]+\}|[A-Za-z0-9]))?(?:\([A-Za-z]\))?)\s*(?P<sign>=|\\in(?![a-z]))(?P<value>[^=<>≤≥]+)"
)
RELATION = re.compile(r"\\(?:le|leq|ge|geq|lt|gt|ne|neq|in|approx|equiv)(?![a-z])")
PERCENT = re.compile(r"\s*\\?%\s*$")
NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
"""In order, so that the place of each is its value."""
WORDS = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf)\s*\{\s*\(?([A-Za-z][A-Za-z ]+?)\)?\s*\}|([A-Za-z][A-Za-z ]*[A-Za-z])"
)


def plain_notation(text: str) -> str:
    """An answer in unambiguous notation: number words, digit groups, ordinals, percent, lists and sign pairs."""
    if (word := words(text)) in NUMBER_WORDS:
        return str(NUMBER_WORDS.index(word))
    if "\\begin" not in text:
        text = DOUBLE_ESCAPE.sub(r"\\", text)
    text = FORMULA_MARK.sub("", text)
    text = TEXT_COMMAND.sub(r"\\text", text)
    text = UPRIGHT_LETTER.sub(r"\1", text)
    text = THIN_SPACE_IN_NUMBER.sub("", text)
    text = ORDINAL.sub(" ", text)
    text = PERCENT_WORD.sub(r"\\%", text)
    if SPACED_NUMBER.fullmatch(text):
        text = text.replace(" ", "")
    # "p = 5, q = 2 or p = 7, q = 2" lists pairs, not four equations.
    separator = "; " if text.count("=") > 1 and "," in text else ", "
    text = LIST_WORD.sub(separator, text).strip(" ,;")
    if pair := PLUS_MINUS.fullmatch(text):
        text = f"{pair[1]}, -({pair[1]})"
    return text


def without_common_name(gold: str, answer: str) -> tuple[str, str]:
    r"""Both sides without the name that they give their value (`x = 5`, `x \in [1, 2]`, `f(x) = ...`).

    A name on one side only is dropped; two different names mean different things and stay.
    """
    gold_named, answer_named = _named(gold), _named(answer)
    if gold_named and answer_named and _squeezed(gold_named["name"]) != _squeezed(answer_named["name"]):
        return gold, answer
    return (
        gold_named["value"].strip() if gold_named and _may_drop(gold_named, answer_named, answer) else gold,
        answer_named["value"].strip() if answer_named and _may_drop(answer_named, gold_named, gold) else answer,
    )


def with_decimal_point(text: str, other: str) -> str:
    """`1,22` as 1.22 where the other side is a decimal: only then is it a number and not a list of two."""
    return text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text) and DECIMAL.fullmatch(other) else text


def words(text: str) -> str | None:
    r"""A word answer (`\text{East}`) in lower case; None for anything else."""
    match = WORDS.fullmatch(text)
    return " ".join((match[1] or match[2]).lower().split()) if match else None


def is_percentage(text: str) -> bool:
    """Whether an answer ends in a percent sign."""
    return PERCENT.search(text) is not None


def without_percent(text: str) -> str:
    """An answer without the percent sign at its end."""
    return PERCENT.sub("", text)


def is_balanced(text: str) -> bool:
    """Whether every brace closes. An answer that was cut in the middle of a formula is not."""
    depth = 0
    for token in re.finditer(r"\\.|[{}]", text):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth < 0:
            return False
    return depth == 0


def _named(text: str) -> re.Match[str] | None:
    match = NAMED.fullmatch(text)
    return match if match and not RELATION.search(match["value"]) else None


def _may_drop(named: re.Match[str], other_named: re.Match[str] | None, other: str) -> bool:
    return named["sign"] != "=" or other_named is not None or not _is_relation(other)


def _is_relation(text: str) -> bool:
    return bool(re.search(r"[=<>≤≥]", text) or RELATION.search(text))


def _squeezed(name: str) -> str:
    return re.sub(r"[\s{}]", "", name)
