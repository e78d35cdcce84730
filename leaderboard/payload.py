"""What the board's table is drawn from: two columnar JSON files, made once per set of results.

`board.json` holds what every reader sees first, `details.json` the columns that few ask for. Both are keyed by the same
row numbers and carry the same `version`. Numbers are whole: scores in hundredths of a point, their bounds as distances
in tenths, parameters in thousands, so that ten thousand models are a few hundred kilobytes. The cells of a benchmark
follow the score, highest first, and name their rows: in that order ranks hardly change from one to the next.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluator.benchmarks import BENCHMARKS
from evaluator.statistics import within_resampling
from leaderboard.types import BoardScore, ReferenceKind, ReferenceScore, ResultRow, Standing

GZIP_LEVEL = 9
COMMIT_SHOWN = 8

Cells = Sequence[tuple[int, Standing]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A file ready to send: its bytes, compressed with gzip, and the tag that names its content."""

    content: bytes
    etag: str
    size: int


def prepare(value: Mapping[str, Any]) -> Prepared:
    """JSON in its shortest form, compressed."""
    plain = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    tag = hashlib.sha256(plain).hexdigest()[:32]
    return Prepared(content=gzip.compress(plain, GZIP_LEVEL, mtime=0), etag=f'"{tag}"', size=len(plain))


def board_json(standings: Sequence[Standing], references: Sequence[ReferenceScore], *, version: str) -> dict[str, Any]:
    """The first file: names, facts, scores with bounds, ranks, and what authors report of the same models."""
    protocols = list(dict.fromkeys(standing.protocol for standing in standings))
    places = {protocol: place for place, protocol in enumerate(protocols)}
    kinds, kind = _coded(s.facts.kind.value if s.facts.kind else None for s in standings)
    licences, licence = _coded(s.facts.licence for s in standings)
    days, day = _coded(_measured(s) for s in standings)
    return {
        "version": version,
        "benchmarks": [
            {
                "name": b.name,
                "title": b.title,
                "problems": b.problems,
                "attempts": b.attempts,
                "demonstration": b.demonstration,
            }
            for b in BENCHMARKS.values()
        ],
        "protocols": [{"id": p.id, "title": p.title, "words": p.words} for p in protocols],
        "rows": {
            "model": [s.model for s in standings],
            "protocol": [places[s.protocol] for s in standings],
            "kinds": kinds,
            "kind": kind,
            "licences": licences,
            "licence": licence,
            "days": days,
            "day": day,
            "parameters": [_rounded(s.facts.parameters, 1e-3) for s in standings],
            "weights": _told_apart(standings),
        },
        "cells": {name: _first_cells(standings, name) for name in BENCHMARKS},
        "reported": _reported(standings, references),
    }


def details_json(standings: Sequence[Standing], *, version: str) -> dict[str, Any]:
    """The second file: what names each result, and how its answers were."""
    return {
        "version": version,
        "rows": {
            "commit": [(s.commit or "").removeprefix("sha256:")[:COMMIT_SHOWN] for s in standings],
            "revision": [s.revision or "" for s in standings],
            "base": [s.facts.base or (s.lineage.parent if s.lineage else None) or "" for s in standings],
            "released": [s.facts.released or "" for s in standings],
            "run": [s.lineage.run if s.lineage else "" for s in standings],
        },
        "cells": {name: _detail_cells(standings, name) for name in BENCHMARKS},
    }


def _told_apart(standings: Sequence[Standing]) -> dict[int, str]:
    """Row number to what names the weights, where several rows of a protocol bear one model's name."""
    alike = Counter((s.model, s.protocol) for s in standings)
    return {place: _weights_name(s) for place, s in enumerate(standings) if alike[s.model, s.protocol] > 1}


def _weights_name(standing: Standing) -> str:
    if standing.lineage is not None:
        return f"step {standing.lineage.step:,}"
    return standing.revision or (standing.commit or "").removeprefix("sha256:")[:COMMIT_SHOWN]


def by_score(standings: Sequence[Standing], benchmark: str) -> Cells:
    """(row number, row) of every result on one benchmark, highest score first, then by row number."""
    there = [(place, s) for place, s in enumerate(standings) if benchmark in s.scores]
    return sorted(there, key=lambda cell: (-hundredths(cell[1].scores[benchmark].score), cell[0]))


def _first_cells(standings: Sequence[Standing], benchmark: str) -> dict[str, Any]:
    cells = by_score(standings, benchmark)
    shown = [s.scores[benchmark] for _, s in cells]
    whys, why = _coded(None if score.ranked else score.not_ranked_because for score in shown)
    return {
        "row": _steps([place for place, _ in cells]),
        "score": _steps([hundredths(score.score) for score in shown]),
        "low": [tenths(score.score) - tenths(score.ci95[0]) for score in shown],
        "high": [tenths(score.ci95[1]) - tenths(score.score) for score in shown],
        "best": _steps([score.rank[0] if score.rank else 0 for score in shown]),
        "worst": _steps([score.rank[1] if score.rank else 0 for score in shown]),
        "compared": _steps([score.compared for score in shown]),
        "whys": whys,
        "why": why,
    }


def _detail_cells(standings: Sequence[Standing], benchmark: str) -> dict[str, Any]:
    """In the order of the first file's cells."""
    cells = [(s.scores[benchmark], s.results[benchmark]) for _, s in by_score(standings, benchmark)]
    days, day = _coded(score.measured_at[:10] for score, _ in cells)
    devices, device = _coded(row.engine.device for _, row in cells)
    return {
        "plan": [score.plan_key for score, _ in cells],
        "attempts": [score.attempts_per_problem for score, _ in cells],
        "tokens": [_rounded(score.mean_completion_tokens) for score, _ in cells],
        "cut": [_rounded(score.truncated_share, 1000) for score, _ in cells],
        "silent": [_rounded(_silent(row), 1000) for _, row in cells],
        "majority": [tenths(score.maj_at_n) for score, _ in cells],
        "any": [tenths(score.pass_at_n) for score, _ in cells],
        "days": days,
        "day": day,
        "cost": [_rounded(gpu_seconds(row), 100) for _, row in cells],
        "devices": devices,
        "device": device,
    }


def gpu_seconds(row: ResultRow) -> float | None:
    """Seconds of one device per answer: wall time times devices over answers; None where the device is unknown."""
    answers = sum(row.verdicts.values())
    if not answers or row.wall_seconds <= 0 or row.engine.device is None:
        return None
    return row.wall_seconds * (row.engine.tensor_parallel_size or 1) / answers


def _silent(row: ResultRow) -> float | None:
    answers = sum(row.verdicts.values())
    return row.verdicts.get("no_answer", 0) / answers if answers else None


def _reported(standings: Sequence[Standing], references: Sequence[ReferenceScore]) -> dict[str, Any]:
    """Per benchmark the rows whose authors report a score, that score, and how our measurement compares.

    `within` is 1 where re-sampling the same problems explains the gap, 0 where it does not, and null where one attempt
    per problem leaves that unknown.
    """
    claims: dict[tuple[str, str], ReferenceScore] = {}
    for reference in references:
        if reference.kind is ReferenceKind.REPORTED:
            claims.setdefault((reference.model.lower(), reference.benchmark), reference)
    reported: dict[str, dict[str, list[Any]]] = {}
    for place, standing in enumerate(standings):
        for name, score in standing.scores.items():
            claim = claims.get((standing.model.lower(), name))
            if claim is not None:
                columns = reported.setdefault(name, {"row": [], "score": [], "within": [], "source": []})
                columns["row"].append(place)
                columns["score"].append(tenths(claim.score))
                columns["within"].append(_within(score, claim))
                columns["source"].append(f"{claim.source}, {claim.date}")
    return reported


def _within(score: BoardScore, claim: ReferenceScore) -> int | None:
    explained = within_resampling(
        score.score - claim.score,
        stderr=score.stderr_decoding,
        attempts=score.attempts_per_problem,
        other_attempts=claim.samples_per_problem,
    )
    return None if explained is None else int(explained)


def hundredths(points: float) -> int:
    """A score in hundredths of a point, such that rounding it half up to tenths gives what `points` shows elsewhere."""
    shown, value = tenths(points), round(points * 100)
    return min(max(value, 10 * shown - 5), 10 * shown + 4)


def tenths(points: float) -> int:
    """Points in tenths, rounded as they are written everywhere."""
    return int(f"{points:.1f}".replace(".", ""))


def _rounded(value: float | None, scale: float = 1) -> int | None:
    return None if value is None else round(value * scale)


def _measured(standing: Standing) -> str:
    return max(score.measured_at for score in standing.scores.values())[:10]


def _coded(values: Iterable[str | None]) -> tuple[list[str], list[int]]:
    """Each different text once, and for every value its place among them; -1 for None."""
    known: dict[str, int] = {}
    codes = [-1 if value is None else known.setdefault(value, len(known)) for value in values]
    return list(known), codes


def _steps(values: Sequence[int]) -> list[int]:
    """The first value, then each one's distance from the one before: small numbers where neighbours are alike."""
    return [value - before for value, before in zip(values, [0, *values[:-1]], strict=True)] if values else []
