"""Published scores: what authors report and what others measured. Shown beside our rows, never mixed with them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evaluator.benchmarks import BENCHMARKS
from evaluator.errors import OpenR1Error
from evaluator.types import to_json
from leaderboard.results import store_folder
from leaderboard.store import Changes, Snapshot, Store
from leaderboard.types import ReferenceKind, ReferenceScore

LOG = logging.getLogger(__name__)
REFERENCES = "references/"

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
    return _references(path.read_text(encoding="utf-8"), path.name)


class StoredReferences:
    """Scores that were read into a store: `references/<owner>/<model>.jsonl`. Files are parsed once per content."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parsed: dict[str, tuple[str, tuple[ReferenceScore, ...]]] = {}

    def all(self) -> tuple[ReferenceScore, ...]:
        """Every stored score. A file that is not one of scores is left out and logged."""
        snapshot = self._store.snapshot(REFERENCES)
        parsed = {name: self._parse(name, snapshot) for name in snapshot.names}
        self._parsed = parsed
        return tuple(score for _, scores in parsed.values() for score in scores)

    def _parse(self, name: str, snapshot: Snapshot) -> tuple[str, tuple[ReferenceScore, ...]]:
        fingerprint = snapshot.fingerprint(name)
        known = self._parsed.get(name)
        if known is not None and known[0] == fingerprint:
            return known
        try:
            return fingerprint, _references(snapshot.read(name).decode("utf-8", "replace"), name, linked=False)
        except ReferencesUnreadable as error:
            LOG.error("left out: %s", error)
            return fingerprint, ()


def add_references(scores: Iterable[ReferenceScore], stored: Snapshot) -> Changes:
    """The files that add some scores to what is stored. What is there already changes nothing."""
    lines: dict[str, set[str]] = {}
    for score in scores:
        lines.setdefault(f"{REFERENCES}{store_folder(score.model)}.jsonl", set()).add(_line(score))
    changes: dict[str, bytes | None] = {}
    for name, new in lines.items():
        old = set(stored.read(name).decode().splitlines()) if name in stored.names else set()
        if new - old:
            changes[name] = ("\n".join(sorted(old | new)) + "\n").encode()
    return changes


def _line(score: ReferenceScore) -> str:
    fields = {name: value for name, value in to_json(score).items() if value is not None}
    return json.dumps(
        {**fields, "kind": next(word for word, kind in KINDS.items() if kind is score.kind)}, sort_keys=True
    )


def _references(text: str, name: str, *, linked: bool = True) -> tuple[ReferenceScore, ...]:
    lines = enumerate(text.split("\n"), 1)
    return tuple(_reference(line, f"{name} line {number}", linked) for number, line in lines if line.strip())


def _reference(line: str, place: str, linked: bool) -> ReferenceScore:
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
    _check(data, place, linked)
    return ReferenceScore(**{**data, "kind": KINDS[data["kind"]]})


def _check(data: dict[str, Any], place: str, linked: bool) -> None:
    if data["kind"] not in KINDS:
        raise ReferencesUnreadable(f"{place}: kind is {data['kind']!r}, expected one of {sorted(KINDS)}")
    if data["benchmark"] not in BENCHMARKS:
        raise ReferencesUnreadable(f"{place}: benchmark is {data['benchmark']!r}, expected one of {sorted(BENCHMARKS)}")
    if not isinstance(data["score"], int | float) or not 0 <= data["score"] <= 100:
        raise ReferencesUnreadable(f"{place}: score is {data['score']!r}, expected points from 0 to 100")
    if not str(data["url"]).startswith("https://") and (linked or data["url"] != ""):
        raise ReferencesUnreadable(f"{place}: url is {data['url']!r}, expected the https address of the source")
