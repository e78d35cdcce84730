"""What a model wrote, typeset: formulas drawn, bold words and headings shown as such, the answer marked.

Everything else stays as it was written, line breaks included. Long texts are cut into blocks that a browser lays out
only when they come into sight. All scans are linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from leaderboard.formulas import LONGEST_FORMULA, formula
from leaderboard.views.markup import NOTHING, Html, fill, join

BLOCK_CHARACTERS = 1_500
LONG_CHARACTERS = 40_000
"""From here on blocks are laid out when they come into sight, and wide formulas scroll within theirs."""
PARAGRAPH_END = re.compile(r"\n[ \t]*\n\s*")
# No formula runs over a blank line or over the opening of another: a scan from each opening ends at the next one.
FORMULA = re.compile(
    rf"""
    \$\$(?P<dollars>[^$]{{1,{LONGEST_FORMULA}}})\$\$
    | \\\[(?P<brackets>(?:(?!\\\[|\\\]).){{1,{LONGEST_FORMULA}}})\\\]
    | \\\((?P<round>(?:(?!\\\(|\\\)).){{1,{LONGEST_FORMULA}}})\\\)
    | (?P<env>\\begin\{{(?P<name>(?:align|equation|gather|aligned|cases|array|[bpvBV]?matrix)\*?)\}}
        (?:(?!\\(?:begin|end)\{{(?P=name)\}}).){{1,{LONGEST_FORMULA}}}\\end\{{(?P=name)\}})
    | (?<![\\$\w])\$(?P<dollar>[^\s$](?:[^$\n]{{0,400}}[^\s$\\])?)\$(?![\w$])
    | (?P<box>\\boxed\s?\{{(?:[^{{}}\n]|\{{(?:[^{{}}\n]|\{{[^{{}}\n]{{0,99}}\}}){{0,99}}\}}){{1,200}}\}})
    """,
    re.DOTALL | re.VERBOSE,
)
DISPLAYED = frozenset({"dollars", "brackets", "env"})
HEADING = re.compile(r"^ {0,3}#{1,6} +(?P<words>.*)$", re.MULTILINE)
STRONG = re.compile(r"\*\*")

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """A piece of text of one looks, from character `start` of the whole. `formula` is its MathML where it is one."""

    text: str
    start: int
    bold: bool = False
    formula: Html | None = None

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def typeset(text: str, *, mark: Span | None = None) -> Html:
    """A text for reading. `mark` is the span of the answer in it: a formula that holds part of it is marked whole."""
    blocks = (_block(text[start:end], start, mark) for start, end in _blocks(text))
    return fill(
        '<div class="prose{long}" dir="auto" translate="no" tabindex="0">{blocks}</div>',
        long=" long" if len(text) > LONG_CHARACTERS else "",
        blocks=join(blocks),
    )


def as_written(text: str, *, mark: Span | None = None) -> Html:
    """A text letter by letter, with the answer marked."""
    start, end = mark or (0, 0)
    marked = _marked(fill("{text}", text=text[start:end])) if end > start else NOTHING
    return fill(
        '<pre class="text" dir="auto" tabindex="0">{before}{marked}{after}</pre>',
        before=text[:start],
        marked=marked,
        after=text[end:],
    )


def _blocks(text: str) -> Iterator[Span]:
    """Spans of whole paragraphs, each of at least BLOCK_CHARACTERS, together the whole text."""
    start = 0
    for gap in PARAGRAPH_END.finditer(text):
        if gap.end() - start >= BLOCK_CHARACTERS:
            yield start, gap.end()
            start = gap.end()
    if start < len(text):
        yield start, len(text)


def _block(text: str, offset: int, mark: Span | None) -> Html:
    runs = (piece for run in _strong(_runs(text, offset)) for piece in _cut_at_mark(run, mark))
    return fill('<div class="block">{runs}</div>', runs=join(_shown(run, mark) for run in runs))


def _runs(text: str, offset: int) -> Iterator[_Run]:
    """Formulas, and the text between them."""
    place = 0
    for found in FORMULA.finditer(text):
        drawn = _drawn(found)
        if drawn is None:
            continue
        yield _Run(text=text[place : found.start()], start=offset + place)
        yield _Run(text=found[0], start=offset + found.start(), formula=drawn)
        place = found.end()
    yield _Run(text=text[place:], start=offset + place)


def _drawn(found: re.Match[str]) -> Html | None:
    kind = next(name for name in ("dollars", "brackets", "round", "env", "dollar", "box") if found[name] is not None)
    latex = found[kind]
    if "\n\n" in latex:
        return None
    return formula(latex, display=kind in DISPLAYED)


def _strong(runs: Iterator[_Run]) -> Iterator[_Run]:
    """The runs with bold words and headings told apart; their markers are left out. A paragraph's end ends bold."""
    bold = False
    for run in runs:
        if run.formula is not None:
            yield replace(run, bold=bold)
            continue
        place = 0
        for marker in STRONG.finditer(run.text):
            yield from _headings(replace(run, text=run.text[place : marker.start()], start=run.start + place), bold)
            bold, place = not bold, marker.end()
        rest = replace(run, text=run.text[place:], start=run.start + place)
        if bold and (ended := PARAGRAPH_END.search(rest.text)):
            yield replace(rest, text=rest.text[: ended.start()], bold=True)
            rest, bold = replace(rest, text=rest.text[ended.start() :], start=rest.start + ended.start()), False
        yield from _headings(rest, bold)


def _headings(run: _Run, bold: bool) -> Iterator[_Run]:
    place = 0
    for heading in HEADING.finditer(run.text):
        yield replace(run, text=run.text[place : heading.start()], start=run.start + place, bold=bold)
        yield replace(run, text=heading["words"], start=run.start + heading.start("words"), bold=True)
        place = heading.end()
    yield replace(run, text=run.text[place:], start=run.start + place, bold=bold)


def _cut_at_mark(run: _Run, mark: Span | None) -> Iterator[_Run]:
    """The run in pieces that lie whole inside or outside of the mark."""
    if mark is None or run.formula is not None or mark[1] <= run.start or mark[0] >= run.end:
        yield run
        return
    cuts = sorted({run.start, *(min(max(edge, run.start), run.end) for edge in mark), run.end})
    for start, end in pairwise(cuts):
        yield replace(run, text=run.text[start - run.start : end - run.start], start=start)


def _shown(run: _Run, mark: Span | None) -> Html:
    if not run.text:
        return NOTHING
    content = run.formula if run.formula is not None else fill("{text}", text=run.text)
    if run.bold:
        content = fill("<b>{content}</b>", content=content)
    inside = mark is not None and run.start < mark[1] and run.end > mark[0]
    return _marked(content) if inside else content


def _marked(content: Html) -> Html:
    return fill('<mark class="answer" title="The grader found the answer here">{content}</mark>', content=content)
