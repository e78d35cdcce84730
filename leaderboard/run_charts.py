"""Charts of training runs: several runs' accuracy together, and one run's numbers over its steps. Data in, SVG out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import StrEnum

from leaderboard.runs import MeasuredRun, RunPoint
from leaderboard.views.markup import Html, fill, interval, join, page_link, points

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 16, 44
SMALL_WIDTH, SMALL_HEIGHT = 320, 120
SMALL_LEFT, SMALL_BOTTOM = 46, 20
STYLES = 4
"""Runs beyond this many share line styles; each is named beside its line too."""


class Over(StrEnum):
    """What runs from left to right."""

    STEPS = "steps"
    TOKENS = "tokens"
    HOURS = "hours"


LABELS = {
    Over.STEPS: "training step",
    Over.TOKENS: "training tokens",
    Over.HOURS: "hours of all processes (GPU hours on GPUs)",
}


def place_of(point: RunPoint, over: Over) -> float | None:
    """Where a checkpoint lies from left to right; None where the run did not note it."""
    match over:
        case Over.STEPS:
            return float(point.step)
        case Over.TOKENS:
            return None if point.tokens is None else float(point.tokens)
    return point.hours


def runs_chart(benchmark: str, runs: Sequence[MeasuredRun], over: Over) -> Html:
    """Accuracy of several runs with 95 % intervals over steps, tokens or hours, and the same in words."""
    placed = [(run, _dots(run, over)) for run in runs]
    last = max((x for _, dots in placed for x, _ in dots), default=1.0) or 1.0
    ticks = ticks_to(last)

    def x_of(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / ticks[-1]

    return fill(
        '<figure class="curve runs"><figcaption>{title}</figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="group" aria-label="{words}">{grid}{ticks}{labels}{lines}</svg>'
        "</figure>",
        title=f"{benchmark}: accuracy over {LABELS[over]}",
        width=WIDTH,
        height=HEIGHT,
        words=_in_words(benchmark, runs),
        grid=join(_score_line(value) for value in (0, 25, 50, 75, 100)),
        ticks=join(_tick(x_of(value), _short(value)) for value in ticks),
        labels=fill(
            '<text class="label" x="{x}" y="{y}" text-anchor="middle">{text}</text>',
            x=(LEFT + WIDTH - RIGHT) // 2,
            y=HEIGHT - 6,
            text=LABELS[over],
        ),
        lines=join(_line(number, run, dots, x_of) for number, (run, dots) in enumerate(placed)),
    )


def _dots(run: MeasuredRun, over: Over) -> list[tuple[float, RunPoint]]:
    """Where its checkpoints lie; a checkpoint of another run that this one began with lies at its beginning."""
    began = run.gains[0].against if run.gains and run.gains[0].against not in run.points else None
    dots = [(x, point) for point in run.points if (x := place_of(point, over)) is not None]
    return [(0.0, began), *dots] if began is not None and dots else dots


def small_chart(title: str, values: Sequence[tuple[float, float]]) -> Html:
    """One number of a run over its steps: a line, its last value in words, its own scale."""
    low, high = min(0.0, *(y for _, y in values)), max(0.0, *(y for _, y in values))
    if low == high:
        high = 1.0
    last = max(x for x, _ in values) or 1.0
    path = " ".join(
        f"{SMALL_LEFT + (SMALL_WIDTH - SMALL_LEFT - 8) * x / last:.1f},"
        f"{8 + (SMALL_HEIGHT - 8 - SMALL_BOTTOM) * (1 - (y - low) / (high - low)):.1f}"
        for x, y in values
    )
    return fill(
        '<figure class="curve small"><figcaption>{title} <span class="quiet">now {now}</span></figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}: from {first} at step {begin} to {now} at '
        'step {end}, between {low} and {high}">'
        '<text class="tick" x="{edge}" y="14" text-anchor="end">{high}</text>'
        '<text class="tick" x="{edge}" y="{bottom}" text-anchor="end">{low}</text>'
        '<line class="grid" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
        '<text class="tick" x="{right}" y="{under}" text-anchor="end">step {end}</text>'
        '<polyline class="line" points="{path}"/></svg></figure>',
        title=title,
        now=number(values[-1][1]),
        first=number(values[0][1]),
        begin=f"{values[0][0]:,.0f}",
        end=f"{values[-1][0]:,.0f}",
        low=number(low),
        high=number(high),
        width=SMALL_WIDTH,
        height=SMALL_HEIGHT,
        edge=SMALL_LEFT - 6,
        left=SMALL_LEFT,
        right=SMALL_WIDTH - 8,
        bottom=SMALL_HEIGHT - SMALL_BOTTOM,
        under=SMALL_HEIGHT - 4,
        path=path,
    )


def ticks_to(last: float, most: int = 6) -> list[float]:
    """Round values from 0 to at least `last`, at most `most` intervals apart."""
    wanted = last / most
    magnitude = 10.0 ** math.floor(math.log10(wanted))
    width = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= wanted)
    return [width * k for k in range(math.ceil(last / width - 1e-9) + 1)]


def number(value: float) -> str:
    """A number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _line(
    number: int, run: MeasuredRun, dots: Sequence[tuple[float, RunPoint]], x_of: Callable[[float], float]
) -> Html:
    if not dots:
        return Html("")
    path = " ".join(f"{x_of(x):.1f},{_y(p.score):.1f}" for x, p in dots)
    upper = [f"{x_of(x):.1f},{_y(p.ci95[1]):.1f}" for x, p in dots]
    lower = [f"{x_of(x):.1f},{_y(p.ci95[0]):.1f}" for x, p in reversed(dots)]
    end_x, end = dots[-1]
    return fill(
        '<g class="series s{style}"><polygon class="band" points="{band}"/>'
        '<polyline class="line" points="{path}"/>{marks}'
        '<text class="value" x="{x}" y="{y}" text-anchor="end">{name}</text></g>',
        style=number % STYLES,
        band=" ".join([*upper, *lower]),
        path=path,
        marks=join(_mark(x_of(x), p, _called(run, p)) for x, p in dots),
        x=f"{x_of(end_x) - 8:.1f}",
        y=f"{max(_y(end.ci95[1]) - 6, 12):.1f}",
        name=run.run,
    )


def _called(run: MeasuredRun, point: RunPoint) -> str:
    return f"step {point.step:,}" if point in run.points else f"began with {run.gains[0].against_name}"


def _mark(x: float, point: RunPoint, name: str) -> Html:
    return fill(
        '<a href="{href}" aria-label="Result: {name}"><title>{name}: {score} ({bounds})</title>'
        '<line class="whisker" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/><circle class="dot" cx="{x}" cy="{y}" r="4"/>'
        '<circle class="hit" cx="{x}" cy="{y}" r="14"/></a>',
        href=page_link("result", plan=point.plan_key),
        name=name,
        score=points(point.score),
        bounds=interval(point.ci95),
        x=f"{x:.1f}",
        y=f"{_y(point.score):.1f}",
        low=f"{_y(point.ci95[0]):.1f}",
        high=f"{_y(point.ci95[1]):.1f}",
    )


def _score_line(value: int) -> Html:
    return fill(
        '<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
        '<text class="tick" x="{text}" y="{base}" text-anchor="end">{value}</text>',
        left=LEFT,
        right=WIDTH - RIGHT,
        y=f"{_y(value):.1f}",
        text=LEFT - 8,
        base=f"{_y(value) + 4:.1f}",
        value=value,
    )


def _tick(x: float, label: str) -> Html:
    return fill(
        '<text class="tick" x="{x}" y="{y}" text-anchor="middle">{label}</text>',
        x=f"{x:.1f}",
        y=HEIGHT - BOTTOM + 18,
        label=label,
    )


def _y(score: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(100.0, max(0.0, score)) / 100)


def _short(value: float) -> str:
    for size, unit in ((1e9, " B"), (1e6, " M")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def _in_words(benchmark: str, runs: Sequence[MeasuredRun]) -> str:
    told = (
        f"{run.run}: "
        + "; ".join(f"{_called(run, p)}: {points(p.score)} ({interval(p.ci95)})" for _, p in _dots(run, Over.STEPS))
        for run in runs
    )
    return f"Accuracy on {benchmark} in points with 95 % interval. {'. '.join(told)}."
