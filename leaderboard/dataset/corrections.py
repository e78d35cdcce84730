"""Corrections: a list that only grows, of results that something else stands in for, and why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from evaluator.errors import OpenR1Error
from evaluator.types import to_json
from leaderboard.moderation import Hidden
from leaderboard.store import Snapshot
from leaderboard.types import ResultRow

CORRECTIONS = "corrections.jsonl"


class Kind(StrEnum):
    """What was corrected."""

    REGRADED = "regraded"
    HIDDEN = "hidden"
    NOTE = "note"


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """One line of the list. `at` is UTC in ISO 8601."""

    at: str
    kind: Kind
    plan_key: str
    replaced_by: str | None
    by: str
    reason: str


class CorrectionsUnreadable(OpenR1Error):
    """The list of corrections is damaged."""

    code = "corrections_unreadable"


_LINE = TypeAdapter(Correction)


def read_corrections(snapshot: Snapshot) -> list[Correction]:
    """The list as it is stored, oldest first; empty where there is none. Raises CorrectionsUnreadable."""
    return parsed(snapshot.read(CORRECTIONS)) if CORRECTIONS in snapshot.names else []


def parsed(content: bytes) -> list[Correction]:
    """The corrections in a list. Raises CorrectionsUnreadable."""
    try:
        return [_LINE.validate_json(line, extra="forbid") for line in content.splitlines()]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CorrectionsUnreadable(f"{CORRECTIONS} is damaged ({first['msg']}); restore it from a backup") from error


def corrected(stored: Snapshot, rows: Sequence[ResultRow], hidden: Mapping[str, Hidden]) -> bytes:
    """The list with what is not on it yet, appended: the stored lines stay as they are, byte by byte."""
    known = {(each.kind, each.plan_key, each.at) for each in read_corrections(stored)}
    new = [each for each in (*_regraded(rows), *_hidden(hidden)) if (each.kind, each.plan_key, each.at) not in known]
    before = stored.read(CORRECTIONS) if CORRECTIONS in stored.names else b""
    return before + b"".join(line(each) for each in sorted(new, key=lambda each: (each.at, each.plan_key)))


def line(correction: Correction) -> bytes:
    """One correction as a line of the file."""
    return (json.dumps(to_json(correction), sort_keys=True) + "\n").encode()


def _regraded(rows: Iterable[ResultRow]) -> Iterable[Correction]:
    for row in rows:
        old = row.supersedes
        if old is not None:
            gives = f"grader {row.plan.grader_version} gives {old.difference:+.4f} points"
            yield Correction(
                at=old.at,
                kind=Kind.REGRADED,
                plan_key=old.plan_key,
                replaced_by=row.plan_key,
                by="regrade",
                reason=f"{gives} over {old.grader_version}",
            )


def _hidden(hidden: Mapping[str, Hidden]) -> Iterable[Correction]:
    for each in hidden.values():
        yield Correction(
            at=each.at, kind=Kind.HIDDEN, plan_key=each.plan_key, replaced_by=None, by=each.by, reason=each.reason
        )
