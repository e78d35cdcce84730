"""The lengths of a result's answers as a picture: where right answers end, and where wrong ones do."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.types import Verdict
from leaderboard.lengths import OUTCOMES, Bin, Length, histogram
from leaderboard.views.markup import NOTHING, Html, count, fill, join

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 40
WORDS = {Verdict.CORRECT: "correct", Verdict.INCORRECT: "incorrect", Verdict.NO_ANSWER: "no answer"}


def lengths_section(lengths: Sequence[Length], *, level: int = 2) -> Html:
    """The distribution of answer lengths; nothing where the server counted no tokens."""
    bins = histogram(lengths)
    if not bins:
        return NOTHING
    heading = Html("<h2>Length of answers</h2>") if level == 2 else Html("<h3>Length of answers</h3>")
    return fill(
        "<section class='lengths'>{heading}<figure class='curve'>{drawing}<figcaption class='legend'>{legend}"
        "</figcaption></figure></section>",
        heading=heading,
        drawing=_drawing(bins),
        legend=join(
            fill('<span class="{css}"><span class="swatch" aria-hidden="true"></span>{word}</span>', css=v, word=w)
            for v, w in WORDS.items()
        ),
    )


def _drawing(bins: Sequence[Bin]) -> Html:
    most = max(sum(each.counts) for each in bins)
    width = (WIDTH - LEFT - RIGHT) / len(bins)
    return fill(
        '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{words}"><line class="grid" x1="{left}" '
        'x2="{right}" y1="{base}" y2="{base}"/><text class="tick" x="{text}" y="{top}" text-anchor="end">{most}</text>'
        '<text class="tick" x="{text}" y="{base}" text-anchor="end">0</text>{bars}{ticks}'
        '<text class="label" x="{middle}" y="{bottom}" text-anchor="middle">tokens per answer</text></svg>',
        width=WIDTH,
        height=HEIGHT,
        words=in_words(bins),
        left=LEFT,
        right=WIDTH - RIGHT,
        base=HEIGHT - BOTTOM,
        text=LEFT - 6,
        top=TOP + 8,
        most=count(most),
        bars=join(_bar(each, LEFT + place * width, width, most) for place, each in enumerate(bins)),
        ticks=join(
            _tick(LEFT + (place + 1) * width, bins[place].high) for place in range(len(bins)) if (place + 1) % 6 == 0
        ),
        middle=(LEFT + WIDTH - RIGHT) // 2,
        bottom=HEIGHT - 6,
    )


def _bar(each: Bin, x: float, width: float, most: int) -> Html:
    parts, below = [], 0
    for verdict, number in zip(OUTCOMES, each.counts, strict=True):
        if number:
            height = (HEIGHT - TOP - BOTTOM) * number / most
            y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * below / most - height
            parts.append(
                fill(
                    '<rect class="{css}" x="{x}" y="{y}" width="{width}" height="{height}"/>',
                    css=verdict.value,
                    x=f"{x + 1:.1f}",
                    y=f"{y:.1f}",
                    width=f"{max(width - 2, 1):.1f}",
                    height=f"{height:.1f}",
                )
            )
            below += number
    title = "; ".join(f"{n} {WORDS[v]}" for v, n in zip(OUTCOMES, each.counts, strict=True) if n)
    return fill(
        "<g><title>{low} to {high} tokens: {title}</title>{parts}</g>",
        low=count(each.low),
        high=count(each.high),
        title=title or "none",
        parts=join(parts),
    )


def _tick(x: float, tokens: int) -> Html:
    return fill(
        '<text class="tick" x="{x}" y="{y}" text-anchor="end">{tokens}</text>',
        x=f"{x:.1f}",
        y=HEIGHT - BOTTOM + 16,
        tokens=count(tokens),
    )


def in_words(bins: Sequence[Bin]) -> str:
    """The picture as a sentence."""
    told = (
        f"{each.low:,} to {each.high:,}: {sum(each.counts)} answers, {each.counts[0]} right"
        for each in bins
        if any(each.counts)
    )
    return f"Number of answers by length in tokens: {'; '.join(told)}."
