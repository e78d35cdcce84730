"""Training runs as the board knows them: what their checkpoints scored, and whether that is more than luck.

A run is measured many times, and the best of many is the best partly by luck. So a gain is only called one where the
paired test, corrected for all the comparisons made (Holm), says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from evaluator.checkpoint import board_name, checkpoint_revision
from evaluator.statistics import Comparison, compare, holm
from leaderboard.board import Board, preferred
from leaderboard.types import ProblemRow, ResultRow


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPoint:
    """One measured checkpoint. Score and interval in points; tokens and hours of training behind it where known."""

    step: int
    tokens: int | None
    hours: float | None
    score: float
    ci95: tuple[float, float]
    plan_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gain:
    """A checkpoint against the one that the run began with, over the same problems.

    `significant` is Holm's answer at 5 % over all `comparisons` of the run on this benchmark.
    """

    point: RunPoint
    against: RunPoint
    against_name: str
    comparison: Comparison
    significant: bool
    comparisons: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredRun:
    """A run on one benchmark: its checkpoints by step, and each one's gain over where the run began."""

    run: str
    benchmark: str
    parent: str | None
    data: str | None
    device: str | None
    recipe_hash: str
    points: tuple[RunPoint, ...]
    gains: tuple[Gain, ...] = ()

    @property
    def best(self) -> Gain | None:
        """The largest gain: the best of many."""
        return max(self.gains, key=lambda gain: gain.comparison.difference, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchedStep:
    """One logged step of a run. `metrics` are means since the last one; `reward/<name>` before its weight."""

    step: int
    tokens: int
    hours: float
    loss: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchedSample:
    """One answer that a run drew. Foreign text."""

    step: int
    prompt: str
    completion: str
    gold: str | None
    tokens: int
    truncated: bool
    rewards: Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchedRun:
    """What a run's own process told of it, as long as its files are on this machine."""

    run: str
    steps_in_all: int
    steps: tuple[WatchedStep, ...]
    samples: tuple[WatchedSample, ...] = ()
    alarms: tuple[tuple[int, str], ...] = ()
    notes: tuple[str, ...] = ()
    finished: bool = False


class TrainingLog(Protocol):
    """The runs whose files are on this machine. `backend_jobs/run_log.py` reads them."""

    def runs(self) -> Sequence[str]:
        """The names of the runs, newest first."""
        ...

    def read(self, run: str) -> WatchedRun | None:
        """One run; None where nothing of it is here."""
        ...


def measured_runs(board: Board) -> list[MeasuredRun]:
    """Every run with a measured checkpoint, on every benchmark, newest measurement first."""
    groups: dict[tuple[str, str], list[ResultRow]] = defaultdict(list)
    rows = [row for row in board.rows() if row.superseded_by is None]
    for row in rows:
        if row.lineage is not None:
            groups[row.lineage.run, row.benchmark].append(row)
    begun = {(name, row.benchmark, row.protocol_key): row for row in reversed(rows) for name in _parent_names(row)}
    found = [_measured(board, run, benchmark, group, begun) for (run, benchmark), group in groups.items()]
    newest = {key: max(row.measured_at for row in group) for key, group in groups.items()}
    return sorted(found, key=lambda run: newest[run.run, run.benchmark], reverse=True)


def _parent_names(row: ResultRow) -> tuple[str, ...]:
    """What the lineage of a run that begins with these weights may call them, wherever they were pushed."""
    names = (f"{row.model}@{row.revision}", f"{row.model}@{row.commit}")
    if row.lineage is None:
        return names
    return (*names, f"local/{board_name(row.lineage.run)}@{checkpoint_revision(row.lineage)}")


def _measured(
    board: Board, run: str, benchmark: str, rows: Iterable[ResultRow], begun: Mapping[tuple[str, str, str], ResultRow]
) -> MeasuredRun:
    chosen = _one_protocol(list(rows))
    by_step = {_lineage(row).step: row for row in chosen}
    ordered = [by_step[step] for step in sorted(by_step)]
    first = _lineage(ordered[0])
    parent = begun.get((first.parent or "", benchmark, ordered[0].protocol_key))
    return MeasuredRun(
        run=run,
        benchmark=benchmark,
        parent=first.parent,
        data=first.data,
        device=first.device,
        recipe_hash=first.recipe_hash,
        points=tuple(map(_point, ordered)),
        gains=_gains(board, ordered, parent),
    )


def _one_protocol(rows: list[ResultRow]) -> list[ResultRow]:
    """The rows of one recipe under one protocol: the ranked one if there is one, else the newest. One row per step."""
    groups: dict[tuple[str, str], list[ResultRow]] = defaultdict(list)
    for row in rows:
        groups[_lineage(row).recipe_hash, row.protocol_key].append(row)
    shown = max(groups.values(), key=lambda group: (group[0].ranked, max(row.measured_at for row in group)))
    by_step: dict[int, list[ResultRow]] = defaultdict(list)
    for row in shown:
        by_step[_lineage(row).step].append(row)
    return [preferred(group) for group in by_step.values()]


def _gains(board: Board, ordered: Sequence[ResultRow], parent: ResultRow | None) -> tuple[Gain, ...]:
    """Every checkpoint against the parent, or against the run's first where the parent was not measured so."""
    base = parent or ordered[0]
    others = [row for row in ordered if row is not base]
    base_problems = board.problems(base.plan_key)
    compared = [(row, _paired(board.problems(row.plan_key), base_problems)) for row in others]
    kept = [(row, comparison) for row, comparison in compared if comparison is not None]
    verdicts = holm([comparison.p_value for _, comparison in kept])
    name = "its parent" if parent is not None else "its first checkpoint"
    return tuple(
        Gain(
            point=_point(row),
            against=_point(base),
            against_name=f"{name}, {_called(base)}",
            comparison=comparison,
            significant=significant,
            comparisons=len(kept),
        )
        for (row, comparison), significant in zip(kept, verdicts, strict=True)
    )


def _paired(these: Sequence[ProblemRow], those: Sequence[ProblemRow]) -> Comparison | None:
    """The paired comparison over the same problems; None where they are not the same."""
    a = {row.problem_id: row for row in these}
    b = {row.problem_id: row for row in those}
    if a.keys() != b.keys() or len({row.n for row in these}) != 1 or len({row.n for row in those}) != 1:
        return None
    return compare([_outcomes(a[key]) for key in sorted(a)], [_outcomes(b[key]) for key in sorted(b)])


def _outcomes(row: ProblemRow) -> list[int]:
    return [1] * row.correct + [0] * (row.n - row.correct)


def _called(row: ResultRow) -> str:
    if row.lineage is None:
        return f"{row.model} at {(row.commit or row.revision or 'an unknown commit')[:12]}"
    return f"{row.lineage.run} at step {row.lineage.step:,}"


def _point(row: ResultRow) -> RunPoint:
    """Of weights that no run here has made, step 0."""
    lineage = row.lineage
    return RunPoint(
        step=lineage.step if lineage else 0,
        tokens=lineage.tokens if lineage else None,
        hours=lineage.hours if lineage else None,
        score=row.statistics.score,
        ci95=row.statistics.ci95,
        plan_key=row.plan_key,
    )


def _lineage(row: ResultRow) -> Any:
    assert row.lineage is not None
    return row.lineage
