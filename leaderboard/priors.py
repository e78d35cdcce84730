"""How long earlier models thought about each problem: what decides which answers are asked for first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from leaderboard.board import Board

MODELS = 5
"""The newest results of a benchmark that are looked at."""


def length_priors(board: Board, benchmarks: Collection[str]) -> dict[str, dict[str, float]]:
    """Mean tokens by benchmark and problem id, over the newest results that counted tokens.

    Every result counts alike: its lengths are taken in units of its own mean, so that a long-winded model does not
    drown the others.
    """
    newest = sorted(board.rows(), key=lambda row: row.measured_at, reverse=True)
    priors = {}
    for name in benchmarks:
        rows = [row for row in newest if row.benchmark == name and row.mean_completion_tokens][:MODELS]
        relative: dict[str, list[float]] = defaultdict(list)
        for row in rows:
            for problem in board.problems(row.plan_key):
                if problem.mean_tokens is not None and row.mean_completion_tokens:
                    relative[problem.problem_id].append(problem.mean_tokens / row.mean_completion_tokens)
        typical = sum(row.mean_completion_tokens or 0.0 for row in rows) / max(len(rows), 1)
        priors[name] = {problem_id: typical * sum(each) / len(each) for problem_id, each in relative.items()}
    return priors
