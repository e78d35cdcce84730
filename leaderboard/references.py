"""Published scores: what authors report and what others measured. Shown beside our rows, never mixed with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evaluator.benchmarks import BENCHMARKS
from evaluator.errors import OpenR1Error
from leaderboard.types import ReferenceKind, ReferenceScore

REFERENCE_FILE = Path(__file__).resolve().parent / "data" / "reference_scores.jsonl"
KINDS = {"reported": ReferenceKind.REPORTED, "measured": ReferenceKind.MEASURED_ELSEWHERE}
REQUIRED = {"model", "benchmark", "score", "kind", "source", "url", "date", "settings"}
OPTIONAL = {"samples_per_problem", "max_tokens", "std"}


class ReferencesUnreadable(OpenR1Error):
    """A line of the reference file is not a published score."""

    code = "references_unreadable"


def published_scores(path: Path = REFERENCE_FILE) -> tuple[ReferenceScore, ...]:
    """Every published score, in the file's order. Scores and standard deviations in points.

    Raises:
        ReferencesUnreadable: a line is not JSON, or a field is missing, unknown or out of bounds; names file and line.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(_reference(line, f"{path.name} line {number}") for number, line in enumerate(lines, 1) if line.strip())


def _reference(line: str, place: str) -> ReferenceScore:
    try:
        data = json.loads(line)
    except ValueError as error:
        raise ReferencesUnreadable(f"{place} is not JSON ({error}); expected one object per line") from error
    if not isinstance(data, dict):
        raise ReferencesUnreadable(f"{place} holds {line[:40]!r}, expected one object per line")
    missing, unknown = sorted(REQUIRED - data.keys()), sorted(data.keys() - REQUIRED - OPTIONAL)
    if missing or unknown:
        raise ReferencesUnreadable(
            f"{place}: missing {missing}, unknown {unknown}; expected {sorted(REQUIRED)} and, where published, "
            f"{sorted(OPTIONAL)}"
        )
    _check(data, place)
    return ReferenceScore(**{**data, "kind": KINDS[data["kind"]]})


def _check(data: dict[str, Any], place: str) -> None:
    if data["kind"] not in KINDS:
        raise ReferencesUnreadable(f"{place}: kind is {data['kind']!r}, expected one of {sorted(KINDS)}")
    if data["benchmark"] not in BENCHMARKS:
        raise ReferencesUnreadable(f"{place}: benchmark is {data['benchmark']!r}, expected one of {sorted(BENCHMARKS)}")
    if not isinstance(data["score"], int | float) or not 0 <= data["score"] <= 100:
        raise ReferencesUnreadable(f"{place}: score is {data['score']!r}, expected points from 0 to 100")
    if not str(data["url"]).startswith("https://"):
        raise ReferencesUnreadable(f"{place}: url is {data['url']!r}, expected the https address of the source")
