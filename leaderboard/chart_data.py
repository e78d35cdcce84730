"""What the charts are drawn from, beside the board's own files: curves of runs and budgets, and published scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from evaluator.benchmarks import BENCHMARKS
from evaluator.statistics import widest_ci95
from leaderboard.board import Curves
from leaderboard.payload import by_score, tenths
from leaderboard.types import ReferenceKind, ReferenceScore, Standing

BUDGET_CURVES = 40
"""Per benchmark and protocol, of the models with the highest scores; the result page shows any other."""


def charts_json(
    standings: Sequence[Standing], curves: Curves, references: Sequence[ReferenceScore], *, version: str
) -> dict[str, Any]:
    """The third file: training curves, accuracy by answer budget, and every published score with its interval."""
    return {
        "version": version,
        "curves": [
            {
                "run": run,
                "benchmark": benchmark,
                "points": [[p.step, p.score, *p.ci95, p.plan_key] for p in points],
            }
            for run, by_benchmark in curves.items()
            for benchmark, points in by_benchmark.items()
        ],
        "budgets": [curve for name in BENCHMARKS for curve in _budgets(standings, name)],
        "published": [_published(reference) for reference in references],
        "reproductions": _reproductions(references),
    }


def _budgets(standings: Sequence[Standing], benchmark: str) -> list[dict[str, Any]]:
    taken: dict[str, int] = defaultdict(int)
    curves = []
    for place, standing in by_score(standings, benchmark):
        budget = standing.results[benchmark].budget
        taken[standing.protocol.id] += bool(budget)
        if budget and taken[standing.protocol.id] <= BUDGET_CURVES:
            points = [[p.tokens, tenths(p.score), *(tenths(b) for b in p.ci95), int(p.exact)] for p in budget]
            curves.append({"row": place, "benchmark": benchmark, "points": points})
    return curves


def _published(reference: ReferenceScore) -> dict[str, Any]:
    low, high = widest_ci95(reference.score, BENCHMARKS[reference.benchmark].problems)
    return {
        "model": reference.model,
        "benchmark": reference.benchmark,
        "title": BENCHMARKS[reference.benchmark].title,
        "score": reference.score,
        "low": round(low, 1),
        "high": round(high, 1),
        "std": reference.std,
        "kind": reference.kind.value,
        "source": reference.source,
        "url": reference.url,
        "date": reference.date,
        "settings": reference.settings,
        "samples": reference.samples_per_problem,
        "budget": reference.max_tokens,
    }


def _reproductions(references: Sequence[ReferenceScore]) -> list[dict[str, Any]]:
    """Places in `published`: a score that authors report beside the newest of the measurements by most attempts."""
    claims: dict[tuple[str, str], int] = {}
    checks: dict[tuple[str, str], int] = {}
    for place, reference in enumerate(references):
        key = (reference.model, reference.benchmark)
        if reference.kind is ReferenceKind.REPORTED:
            claims.setdefault(key, place)
            continue
        known = checks.get(key)
        if known is None or _weight(reference) > _weight(references[known]):
            checks[key] = place
    pairs = ((key, claims[key], checks[key]) for key in claims if key in checks)
    return [
        {"model": model, "benchmark": benchmark, "reported": claim, "measured": check}
        for (model, benchmark), claim, check in pairs
    ]


def _weight(reference: ReferenceScore) -> tuple[int, str]:
    return (reference.samples_per_problem or 0, reference.date)
