"""LaTeX as MathML, which browsers draw by themselves and screen readers speak. The only door to math_core.

What a model wrote is an attacker's text. A formula is shown only where every tag and attribute of its MathML is one of
those listed here; anything else is left as it was written.
"""

from __future__ import annotations

import re
from functools import lru_cache

from math_core import LatexError, LatexToMathML

from leaderboard.views.markup import DECEPTIVE, Html, fill

LONGEST_FORMULA = 2_000
"""Characters. Deeper nesting than fits in here takes the converter quadratic time."""
TAGS = (
    "math|semantics|mrow|mi|mn|mo|ms|mtext|mspace|mfrac|msqrt|mroot|mstyle|merror|mpadded|mphantom|msub|msup|msubsup"
    "|munder|mover|munderover|mmultiscripts|mprescripts|mtable|mtr|mtd|menclose"
)
ATTRIBUTES = (
    "display|displaystyle|scriptlevel|accent|accentunder|stretchy|symmetric|fence|separator|form|lspace|rspace|width"
    "|height|depth|voffset|minsize|maxsize|linethickness|largeop|movablelimits|mathvariant|columnalign|rowspacing"
    "|columnspacing|notation"
)
STYLED = r"text-align|justify-items|padding(?:-[a-z]+)?|width|margin(?:-[a-z]+)?|border(?:-[a-z]+)?|math-[a-z]+"
STYLE = rf"(?:(?:{STYLED}):[a-z0-9 .%-]*;?)*"
TAG = re.compile(rf'</?(?:{TAGS})(?:\s+(?:(?:{ATTRIBUTES})="[a-z0-9 .%+-]*"|style="{STYLE}"))*\s*/?>')
ANY_TAG = re.compile(r"<[^>]*>?")
# Commands that define others, or name places of a document: none of them typesets an answer.
REFUSED = re.compile(
    r"\\(?:[gex]?def|let|(?:re)?newcommand|providecommand|label|ref|eqref|tag|href|url|input|include)\b"
)
HUGE = re.compile(r"(?<![.0-9])[0-9]{2,}(?:\.[0-9]+)?(?:r?em|pt|cm|mm|in|px)")


@lru_cache(maxsize=4096)
def formula(latex: str, *, display: bool) -> Html | None:
    """A formula as MathML; None where it is not one, is too long, or asks for more than typesetting."""
    if len(latex) > LONGEST_FORMULA or not latex.strip() or REFUSED.search(latex) or DECEPTIVE.search(latex):
        return None
    try:
        made = _converter().convert_with_local_state(latex, displaystyle=display)
    except LatexError:
        return None
    if HUGE.search(made) or not all(TAG.fullmatch(tag) for tag in ANY_TAG.findall(made)):
        return None
    return fill("{made}", made=Html(made))


@lru_cache(maxsize=1)
def _converter() -> LatexToMathML:
    return LatexToMathML(fancy_error=False)
