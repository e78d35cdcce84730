"""Data in, SVG out. Colours are CSS variables of the page, so a chart follows light and dark by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluator.types import BudgetPoint
from leaderboard.types import CurvePoint
from leaderboard.views.markup import Html, fill, interval, join, page_link, points

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 16, 44


def interval_bar(score: float, ci95: tuple[float, float]) -> Html:
    """A score on a line from 0 to 100 points with its 95 % interval; decoration, as the numbers stand beside it."""
    low, high = (_clamp(bound) for bound in ci95)
    return fill(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="track" x="0" y="3" width="100" height="2"/>'
        '<rect class="score" x="0" y="3" width="{score}" height="2"/>'
        '<rect class="interval" x="{low}" y="1" width="{span}" height="6"/>'
        '<rect class="mark" x="{mark}" y="0" width="0.8" height="8"/></svg>',
        score=_number(_clamp(score)),
        low=_number(low),
        span=_number(max(high - low, 0.4)),
        mark=_number(min(_clamp(score), 99.2)),
    )


def training_curve(title: str, curve: Sequence[CurvePoint]) -> Html:
    """Accuracy over training steps with 95 % intervals, axes, labels, and the same in words for screen readers."""
    ordered = sorted(curve, key=lambda point: point.step)
    steps = step_ticks(max((point.step for point in ordered), default=1))
    scale = Scale(last_step=steps[-1])
    return fill(
        '<figure class="curve"><figcaption>{title}</figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="group" aria-label="{words}">'
        "{grid}{axes}{band}{line}{marks}</svg></figure>",
        title=title,
        width=WIDTH,
        height=HEIGHT,
        words=in_words(title, ordered),
        grid=join(_score_tick(scale, value) for value in (0, 25, 50, 75, 100)),
        axes=join([*(_tick(scale.x(step), f"{step:,}") for step in steps), _axis_labels("training step")]),
        band=_band(scale, ordered),
        line=_line(scale, ordered),
        marks=join(_mark(scale, point) for point in ordered),
    )


def budget_curve(curve: Sequence[BudgetPoint]) -> Html:
    """The score over answer budgets, doubling from left to right: the lower bound as a line, exact points as dots."""
    ordered = sorted(curve, key=lambda point: point.tokens)
    bound, exact = [p for p in ordered if not p.exact], [p for p in ordered if p.exact]
    last = ordered[-1].tokens
    octaves = max(1, math.ceil(math.log2(last / ordered[0].tokens)))
    scale = Scale(last_step=octaves)

    def at(tokens: int, score: float) -> tuple[float, float]:
        return scale.x(octaves + math.log2(tokens / last)), scale.y(score)

    ticks = join(_tick(scale.x(octaves - k), f"{last / 2**k:,.0f}") for k in range(octaves + 1) if last >= 2**k)
    corners = [at(p.tokens, p.ci95[1]) for p in bound] + [at(p.tokens, p.ci95[0]) for p in reversed(bound)]
    return fill(
        '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{words}">{grid}{ticks}{labels}'
        '<polygon class="band" points="{band}"/><polyline class="line" points="{line}"/>{dots}</svg>',
        width=WIDTH,
        height=HEIGHT,
        words=budget_in_words(ordered),
        grid=join(_score_tick(scale, value) for value in (0, 25, 50, 75, 100)),
        ticks=ticks,
        labels=_axis_labels("answer budget, tokens"),
        band=_path(corners),
        line=_path([at(p.tokens, p.score) for p in bound]),
        dots=join(_dot(p, at(p.tokens, p.score), [at(p.tokens, bound)[1] for bound in p.ci95]) for p in exact),
    )


def budget_in_words(curve: Sequence[BudgetPoint]) -> str:
    """The budget curve as a sentence."""
    values = "; ".join(
        f"{p.tokens:,} tokens: {'' if p.exact else 'at least '}{points(p.score)} ({interval(p.ci95)})" for p in curve
    )
    return f"Accuracy in points with 95 % interval by answer budget: {values}."


def _dot(point: BudgetPoint, place: tuple[float, float], bounds: Sequence[float]) -> Html:
    return fill(
        "<g><title>exactly {score} ({interval}) within {tokens} tokens</title>"
        '<line class="whisker" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
        '<circle class="dot" cx="{x}" cy="{y}" r="4"/></g>',
        score=points(point.score),
        interval=interval(point.ci95),
        tokens=f"{point.tokens:,}",
        x=_number(place[0]),
        y=_number(place[1]),
        low=_number(bounds[0]),
        high=_number(bounds[1]),
    )


def in_words(title: str, curve: Sequence[CurvePoint]) -> str:
    """A chart as a sentence: what a reader who cannot see it needs to know."""
    values = "; ".join(f"step {p.step}: {points(p.score)} ({interval(p.ci95)})" for p in curve)
    return f"{title}. Accuracy in points with 95 % interval by training step: {values or 'no checkpoint measured yet'}."


def step_ticks(last: int, most: int = 6) -> list[int]:
    """Round steps from 0 to at least `last`, at most `most` intervals apart."""
    wanted = max(last, 1) / most
    magnitude = 10 ** math.floor(math.log10(wanted)) if wanted >= 1 else 1
    width = next(
        int(factor * magnitude)
        for factor in (1, 1.5, 2, 2.5, 5, 10)
        if factor * magnitude >= wanted and _whole(factor * magnitude)
    )
    return list(range(0, math.ceil(max(last, 1) / width) * width + 1, width))


def _whole(value: float) -> bool:
    return value == int(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """From steps and points to the coordinates of the drawing."""

    last_step: int

    def x(self, step: float) -> float:
        """Where a step lies, from left to right."""
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self.last_step

    def y(self, score: float) -> float:
        """Where a score lies; 100 is on top."""
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - _clamp(score) / 100)


def _score_tick(scale: Scale, value: int) -> Html:
    return fill(
        '<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
        '<text class="tick" x="{text}" y="{base}" text-anchor="end">{value}</text>',
        left=LEFT,
        right=WIDTH - RIGHT,
        y=_number(scale.y(value)),
        text=LEFT - 8,
        base=_number(scale.y(value) + 4),
        value=value,
    )


def _tick(x: float, label: str) -> Html:
    return fill(
        '<text class="tick" x="{x}" y="{y}" text-anchor="middle">{label}</text>',
        x=_number(x),
        y=HEIGHT - BOTTOM + 18,
        label=label,
    )


def _axis_labels(across: str) -> Html:
    return fill(
        '<text class="label" x="{x}" y="{y}" text-anchor="middle">{across}</text>'
        '<text class="label" transform="rotate(-90)" x="{middle}" y="12" text-anchor="middle">accuracy, points</text>',
        x=(LEFT + WIDTH - RIGHT) // 2,
        y=HEIGHT - 6,
        across=across,
        middle=-(TOP + HEIGHT - BOTTOM) // 2,
    )


def _band(scale: Scale, curve: Sequence[CurvePoint]) -> Html:
    upper = [(scale.x(p.step), scale.y(p.ci95[1])) for p in curve]
    lower = [(scale.x(p.step), scale.y(p.ci95[0])) for p in reversed(curve)]
    return fill('<polygon class="band" points="{path}"/>', path=_path([*upper, *lower]))


def _line(scale: Scale, curve: Sequence[CurvePoint]) -> Html:
    return fill(
        '<polyline class="line" points="{path}"/>', path=_path([(scale.x(p.step), scale.y(p.score)) for p in curve])
    )


def _mark(scale: Scale, point: CurvePoint) -> Html:
    x, low, high, y = scale.x(point.step), scale.y(point.ci95[0]), scale.y(point.ci95[1]), scale.y(point.score)
    return fill(
        '<a href="{href}" aria-label="Result at step {step}"><title>step {step}: {score} ({bounds})</title>'
        '<line class="whisker" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
        '<circle class="dot" cx="{x}" cy="{y}" r="4"/><circle class="hit" cx="{x}" cy="{y}" r="14"/>'
        '<text class="value" x="{x}" y="{above}" text-anchor="middle">{score}</text></a>',
        href=page_link("result", plan=point.plan_key),
        step=point.step,
        score=points(point.score),
        bounds=interval(point.ci95),
        x=_number(x),
        y=_number(y),
        low=_number(low),
        high=_number(high),
        above=_number(max(high - 6, 10)),
    )


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in corners)


def _clamp(score: float) -> float:
    return min(100.0, max(0.0, score))


def _number(value: float) -> str:
    return f"{value:.1f}"
