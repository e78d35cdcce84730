"""Two to four published results over the same problems: every pair compared, and who solves what, how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from evaluator import statistics
from leaderboard.board import Board
from leaderboard.compare import ComparisonRefused, ResultComparison, compare_results
from leaderboard.types import ProblemRow, ResultRow

FEWEST, MOST = 2, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two of several results by their places, compared.

    `holds`: the difference stays significant among all pairs that are compared here (Holm at the 5 % level).
    """

    a: int
    b: int
    compared: ResultComparison
    holds: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class MatrixLine:
    """One problem and how each result did on it, in the order of the results."""

    problem_id: str
    cells: tuple[ProblemRow, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of right attempts of each result, 0 to 1."""
        return tuple(cell.correct / cell.n for cell in self.cells)

    @property
    def disagreement(self) -> float:
        """From 0 (all solve it equally often) to 1 (one always, another never)."""
        return max(self.shares) - min(self.shares)


@dataclass(frozen=True, kw_only=True, slots=True)
class ManyCompared:
    """Several results of one benchmark: the rows, every pair of them, and the problems in the benchmark's order."""

    rows: tuple[ResultRow, ...]
    pairs: tuple[Pair, ...]
    lines: tuple[MatrixLine, ...]


def compare_many(board: Board, keys: Sequence[str]) -> ManyCompared:
    """Compare 2 to 4 published results by their plan keys.

    Raises:
        ResultNotFound: one of them is not published.
        ComparisonRefused: too few, too many, one of them twice, or other benchmarks or problems.
    """
    if not FEWEST <= len(keys) <= MOST:
        raise ComparisonRefused(f"{len(keys)} results were named; {FEWEST} to {MOST} can be compared")
    places = list(combinations(range(len(keys)), 2))
    compared = [compare_results(board, keys[a], keys[b]) for a, b in places]
    holds = statistics.holm([each.numbers.p_value for each in compared])
    pairs = (
        Pair(a=a, b=b, compared=each, holds=kept) for (a, b), each, kept in zip(places, compared, holds, strict=True)
    )
    return ManyCompared(
        rows=tuple(board.row(key) for key in keys), pairs=tuple(pairs), lines=_lines([board.problems(k) for k in keys])
    )


def _lines(problems: Sequence[Sequence[ProblemRow]]) -> tuple[MatrixLine, ...]:
    """Equal problems of every result, in the order of the first. `compare_results` has checked that they are equal."""
    by_id = [{row.problem_id: row for row in rows} for rows in problems]
    return tuple(
        MatrixLine(problem_id=row.problem_id, cells=tuple(rows[row.problem_id] for rows in by_id))
        for row in problems[0]
    )
