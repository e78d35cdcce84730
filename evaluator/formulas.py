r"""A boxed formula read as math_verify reads it, in about two thirds of the time. The door to latex2sympy2_extended.

Nearly all of math_verify's time goes into ANTLR's full-context (LL) prediction. ANTLR documents of its cheaper SLL
prediction that it gives the tree that LL gives, or a syntax error. So SLL is tried first, and what it cannot read is
left to math_verify.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

OTHER_ANCHORS = re.compile(r"\$|\\\(|\\\[|\\boxed|answer", re.IGNORECASE)
"""Where a text has one of these, math_verify may look elsewhere than at the box around it."""

LONGEST, DEEPEST = 200, 8
"""Characters and nested brackets. Far beyond, math_verify runs out of stack where the cheaper prediction does not."""


def read_boxed(text: str, normalization: Any, is_complex: Callable[[str], bool]) -> list[object] | None:
    r"""What math_verify's search finds in `\boxed{text}`: [expression, normalized text]. None: ask math_verify itself.

    `normalization` is the one of its LatexExtractionConfig, for the last box; `is_complex` is its test for complex
    numbers.
    """
    from latex2sympy2_extended.latex2sympy2 import normalize_latex

    if len(text) > LONGEST or OTHER_ANCHORS.search(text) or _depth(text) > DEEPEST:
        return None
    latex = normalize_latex(f"\\boxed{{{text}}}", config=normalization)
    try:
        expression = _reader()(is_real=not is_complex(latex)).parse(latex)
    except Exception:  # noqa: BLE001  (latex2sympy2 raises nothing narrower; math_verify will meet it again)
        return None
    return None if expression is None or not latex else [expression, latex]


def _depth(text: str) -> int:
    """How many brackets are open at once, at most. A closing one too many does not hide later ones."""
    depth = deepest = 0
    for character in text:
        if character in "{([":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "})]" and depth:
            depth -= 1
    return deepest


@cache
def _reader() -> type[Any]:
    """latex2sympy2's converter with SLL prediction."""
    from antlr4.atn.PredictionMode import PredictionMode
    from latex2sympy2_extended.latex2sympy2 import _Latex2Sympy

    class Reader(_Latex2Sympy):  # type: ignore[misc]
        def create_parser(self, latex_str: str) -> Any:
            parser = super().create_parser(latex_str)
            parser._interp.predictionMode = PredictionMode.SLL
            return parser

    return Reader
