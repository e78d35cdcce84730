"""Whether two mathematical answers are equal. The only module that imports math_verify.

math_verify runs sympy, which can hang or eat all memory: for model output call this where the process may be killed
(`evaluator/grading_pool.py`), except for answers that the exact path decides. Its own alarm-based time limits are off
(0): they fail outside a main thread and do not stop C code. Importing this module imports neither.
"""

from __future__ import annotations

import contextlib
import io
import re
import threading
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

from evaluator.formulas import read_boxed
from evaluator.notation import (
    is_balanced,
    is_percentage,
    plain_notation,
    with_decimal_point,
    without_common_name,
    without_percent,
    words,
)

PLAIN_INTEGER = re.compile(r"-?[0-9]{1,300}")
PROSE = re.compile(r"(?<!\\)\$[^$]+(?<!\\)\$.*[A-Za-z]|[A-Za-z].*(?<!\\)\$[^$]+(?<!\\)\$", re.DOTALL)
LONGEST_ANSWER = 1_000
"""Characters. An answer beyond this and beyond four times its target cannot be the target restyled."""
NO_ALARM = 0
PARSED_KEPT = 4_096
"""Parsed answers remembered: the golds of a benchmark recur with every attempt."""
FIRST_USES = (
    ("\\cot x", "\\frac{\\cos x}{\\sin x}"),
    ("x \\in [-2,7]", "-2 \\le x \\le 7"),
    ("(0,9) \\cup (9,36)", "(0,36)"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 2 \\\\ 1 \\end{pmatrix}"),
)
"""Pairs that need, one after another, all that sympy and latex2sympy2 import only when it is used."""


def decide_exactly(gold: str, answer: str) -> bool | None:
    """The verdict where text alone settles it, else None: equal strings, two plain integers, an endless answer.

    Nothing beyond is safe: decimals, and answers that differ or agree only after normalising, each disagree with
    mathematics somewhere.
    """
    if gold == answer:
        return bool(gold)
    if PLAIN_INTEGER.fullmatch(gold) and PLAIN_INTEGER.fullmatch(answer):
        return int(gold) == int(answer)
    if len(answer) > max(LONGEST_ANSWER, 4 * len(gold)):
        return False
    return None


def warm_up() -> None:
    """Pay for imports now, so that no deadline has to."""
    for a, b in FIRST_USES:
        equal(a, b)
    equal_in_passage("1", "We get 2.")


def equal(a: str, b: str) -> bool:
    """Whether answer `b` equals answer `a`, both LaTeX without delimiters. `a` is the reference where it matters.

    Raises:
        RuntimeError: called outside a main thread for a pair that needs math_verify.
    """
    decided = decide_exactly(a, b)
    return _equal_mathematically(a, b) if decided is None else decided


def equal_in_passage(gold: str, passage: str) -> tuple[str | None, bool]:
    """The answer that math_verify's own search finds in a passage (None: none), and whether it equals the gold one."""
    parsed = _parse(passage)
    if not parsed:
        return None, False
    answer = next((str(item) for item in reversed(parsed) if isinstance(item, str)), str(parsed[0]))
    decided = decide_exactly(gold, answer)
    return answer, _same(_parse_answer(_plain(gold)), parsed) if decided is None else decided


def _equal_mathematically(gold: str, answer: str) -> bool:
    if (gold_words := words(gold)) and (answer_words := words(answer)):
        return gold_words == answer_words
    gold, answer = without_common_name(_plain(gold), _plain(answer))
    gold, answer = with_decimal_point(gold, answer), with_decimal_point(answer, gold)
    if is_percentage(gold) != is_percentage(answer):
        # "What percentage ...": 10 and 10\% are one answer, as 0.1 and 10\% are.
        bare = equal(without_percent(gold), without_percent(answer))
        return bare or _same(_parse_answer(gold), _parse_answer(answer))
    decided = decide_exactly(gold, answer)
    return _same(_parse_answer(gold), _parse_answer(answer)) if decided is None else decided


def _plain(text: str) -> str:
    """An answer in plain notation; a passage with formulas in it (`$125$ miles`) stays as it is, to be searched."""
    return text if PROSE.search(text) else plain_notation(text)


def _same(gold: list[object], answer: list[object]) -> bool:
    """math_verify's verdict, where no cheaper proof settles it first."""
    from evaluator.symbolic import prove

    if not gold or not answer:
        return False
    proven = prove(gold[0], answer[0])
    return _verify(gold, answer) if proven is None else proven


@lru_cache(maxsize=PARSED_KEPT)
def _parse_answer(text: str) -> list[object]:
    """An answer as math_verify sees it: [expression, text], or [text] where it is no mathematics. Not to be changed."""
    for equations in (True, False):
        parsed = _parse_whole(text, equations=equations)
        if all(is_balanced(item) for item in parsed if isinstance(item, str)):
            return parsed
        # It took the "=" of a \sum_{k=0} for that of an equation: what is left is another expression.
    return [text]


def _parse_whole(text: str, *, equations: bool) -> list[object]:
    """A text that is the answer, with no more around it than prose."""
    from math_verify.grader import should_treat_as_complex

    _require_main_thread()
    if PROSE.search(text):
        return _parse(text, equations=equations)
    last_box = replace(_extraction(equations)[0].normalization_config, boxed="last")
    parsed = read_boxed(text, last_box, should_treat_as_complex)
    return _parse(f"\\boxed{{{text}}}", equations=equations) if parsed is None else parsed


def _parse(text: str, *, equations: bool = True) -> list[object]:
    import math_verify

    _require_main_thread()
    with contextlib.redirect_stdout(io.StringIO()):
        parsed: list[object] = math_verify.parse(text, _extraction(equations), parsing_timeout=NO_ALARM)
    return parsed


def _require_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "math_verify works in a main thread only (elsewhere every verdict silently becomes 'different'); "
            "use evaluator.grading_pool.GraderPool"
        )


@cache
def _extraction(equations: bool) -> tuple[Any, ...]:
    """math_verify's default search, and the same without its rule that an equation's value is its right side."""
    import math_verify

    latex = math_verify.LatexExtractionConfig()
    if not equations:
        latex = replace(latex, normalization_config=replace(latex.normalization_config, equations=False))
    return latex, math_verify.ExprExtractionConfig()


def _verify(gold: list[object], answer: list[object]) -> bool:
    import math_verify

    return bool(math_verify.verify(gold, answer, timeout_seconds=NO_ALARM))
