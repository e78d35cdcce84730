"""A running evaluation as small pictures: the score as it converges, the speed, and how full the engine is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leaderboard.contracts import LivePoint
from leaderboard.views.markup import NOTHING, Html, count, duration, fill, interval, join, points

WIDTH, HEIGHT = 360, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 30

Value = Callable[[LivePoint], float | None]
Corner = tuple[float, float]


def converging_score(history: Sequence[LivePoint], total: int) -> Html:
    """The provisional score with its 95 % interval over the attempts graded so far; nothing before the second point."""
    known = [(point, point.score, point.ci95) for point in history if point.score is not None and point.ci95]
    if len(known) < 2:
        return NOTHING
    last = max(total, known[-1][0].graded, 1)
    corners = [(point.graded / last, score / 100) for point, score, _ in known]
    upper = [(point.graded / last, ci95[1] / 100) for point, _, ci95 in known]
    lower = [(point.graded / last, ci95[0] / 100) for point, _, ci95 in reversed(known)]
    _, score, ci95 = known[-1]
    return _figure(
        "Score so far, provisional",
        f"Score over attempts graded: now {points(score)}, 95 % interval {interval(ci95)}, after {known[-1][0].graded} "
        f"of {last} attempts.",
        fill(
            '<polygon class="band" points="{band}"/><polyline class="line" points="{line}"/>',
            band=_path([*upper, *lower]),
            line=_path(corners),
        ),
        high="100",
        across=f"{count(last)} attempts",
    )


def over_time(history: Sequence[LivePoint], value: Value, *, title: str, unit: str, top: float | None = None) -> Html:
    """One value over the seconds of the run; nothing where it was never told twice. `top` fixes the scale's end."""
    known = [(point.at_s, seen) for point in history if (seen := value(point)) is not None]
    if len(known) < 2:
        return NOTHING
    begin, end = known[0][0], known[-1][0]
    high = top or max(seen for _, seen in known) or 1.0
    span = max(end - begin, 1.0)
    line = [((at - begin) / span, seen / high) for at, seen in known]
    return _figure(
        title,
        f"{title}: now {count(known[-1][1])}{unit}, at most {count(max(seen for _, seen in known))}{unit}, over "
        f"{duration(span)}.",
        fill('<polyline class="line" points="{line}"/>', line=_path(line)),
        high=f"{count(high)}{unit}",
        across=duration(span),
    )


def _figure(title: str, words: str, content: Html, *, high: str, across: str) -> Html:
    return fill(
        '<figure class="curve small"><figcaption>{title}</figcaption><svg viewBox="0 0 {width} {height}" role="img" '
        'aria-label="{words}">{grid}<text class="tick" x="{text}" y="{top}" text-anchor="end">{high}</text>'
        '<text class="tick" x="{text}" y="{bottom}" text-anchor="end">0</text>'
        '<text class="tick" x="{right}" y="{base}" text-anchor="end">{across}</text>{content}</svg></figure>',
        title=title,
        width=WIDTH,
        height=HEIGHT,
        words=words,
        grid=join(_grid(share) for share in (0.0, 0.5, 1.0)),
        text=LEFT - 6,
        top=TOP + 5,
        high=high,
        bottom=HEIGHT - BOTTOM + 4,
        right=WIDTH - RIGHT,
        base=HEIGHT - BOTTOM + 20,
        across=across,
        content=content,
    )


def _grid(share: float) -> Html:
    return fill(
        '<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>',
        left=LEFT,
        right=WIDTH - RIGHT,
        y=f"{_y(share):.1f}",
    )


def _path(corners: Sequence[Corner]) -> str:
    return " ".join(f"{LEFT + (WIDTH - LEFT - RIGHT) * x:.1f},{_y(y):.1f}" for x, y in corners)


def _y(share: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(1.0, max(0.0, share)))
