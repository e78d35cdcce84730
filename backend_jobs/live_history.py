"""How a running evaluation went so far, thinned to what a small picture needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

from evaluator.types import Progress
from leaderboard.contracts import LivePoint

MOST_POINTS = 120
SHORTEST_STEP_S = 1.0


class LiveHistory:
    """Points by benchmark. A long run keeps every second one again and again, so that its whole length stays shown."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._begun = clock, clock()
        self._points: dict[str, list[LivePoint]] = {}
        self._step_s: dict[str, float] = {}

    def add(self, progress: Mapping[str, Progress]) -> dict[str, tuple[LivePoint, ...]]:
        """Note how far each benchmark is; returns all points so far."""
        at_s = self._clock() - self._begun
        for name, state in progress.items():
            if state.done or state.graded:
                self._note(name, _point(state, at_s))
        return {name: tuple(points) for name, points in self._points.items()}

    def _note(self, name: str, point: LivePoint) -> None:
        points = self._points.setdefault(name, [])
        step_s = self._step_s.setdefault(name, SHORTEST_STEP_S)
        if points and (points[-1].done, points[-1].graded) == (point.done, point.graded):
            return
        # The newest point always shows where the run is; it stays only where it is a step away from the one before.
        if len(points) > 1 and points[-1].at_s - points[-2].at_s < step_s:
            points.pop()
        points.append(point)
        if len(points) > MOST_POINTS:
            del points[1:-1:2]
            self._step_s[name] = step_s * 2


def _point(state: Progress, at_s: float) -> LivePoint:
    return LivePoint(
        at_s=round(at_s, 1),
        done=state.done,
        graded=state.graded,
        score=state.score,
        ci95=state.ci95,
        tokens_per_s=state.tokens_per_s,
        in_flight=state.in_flight or None,
        kv_usage=state.kv_usage,
    )
