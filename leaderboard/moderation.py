"""Results that a maintainer took out of the ranks, each with a public reason: `hidden/<plan_key>.json`.

Nothing is deleted: a hidden result keeps its page, which says who hid it, when and why, and it can be shown again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from evaluator.errors import OpenR1Error
from evaluator.types import to_json
from leaderboard.audit import Action, audit_changes
from leaderboard.store import Changes, Snapshot, Store, update
from leaderboard.versions import HIDDEN as VERSIONS
from leaderboard.versions import NewerVersion, upgraded

HIDDEN = "hidden/"
PLAN_KEY = re.compile(r"[0-9a-f]{8,64}")
LONGEST_REASON = 500


class ModerationRefused(OpenR1Error):
    """A result cannot be hidden or shown as asked."""

    code = "moderation_refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hidden:
    """Why a result is not in the ranks. `at` is UTC in ISO 8601."""

    plan_key: str
    reason: str
    by: str
    at: str


_HIDDEN = TypeAdapter(Hidden)


def hide(
    store: Store, plan_key: str, reason: str, *, by: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Hidden:
    """Take a result out of the ranks, with a reason that everybody reads.

    Raises:
        ModerationRefused: no such result, or no reason that fits.
    """
    words = " ".join(reason.split())
    if not 1 <= len(words) <= LONGEST_REASON:
        raise ModerationRefused(f"the reason has {len(words)} characters, expected 1 to {LONGEST_REASON}: all read it")
    moment = now()
    hidden = Hidden(plan_key=plan_key, reason=words, by=by, at=moment.isoformat(timespec="seconds"))
    content = (
        json.dumps(to_json(hidden) | {"schema": VERSIONS.version}, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    ).encode(errors="replace")
    trail = audit_changes(moment, by=by, action=Action.HIDE, subject=plan_key, detail=words)

    def edit(snapshot: Snapshot) -> Changes:
        _check_known(snapshot, plan_key)
        return {_name(plan_key): content, **trail}

    update(store, edit, message=f"hide {plan_key}")
    return hidden


def show(store: Store, plan_key: str, *, by: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
    """Put a hidden result back. Raises ModerationRefused where it is not hidden."""
    trail = audit_changes(now(), by=by, action=Action.SHOW, subject=plan_key)

    def edit(snapshot: Snapshot) -> Changes:
        if _name(plan_key) not in snapshot.names:
            raise ModerationRefused(f"result {plan_key!r} is not hidden")
        return {_name(plan_key): None, **trail}

    update(store, edit, message=f"show {plan_key}")


def read_hidden(snapshot: Snapshot) -> Mapping[str, Hidden]:
    """Every hidden result of a tree, by plan key. A damaged record hides all the same: nothing returns by accident."""
    names = [name for name in snapshot.names if name.startswith(HIDDEN)]
    hidden = (_read(name, snapshot.read(name)) for name in names)
    return {entry.plan_key: entry for entry in hidden}


def _read(name: str, content: bytes) -> Hidden:
    try:
        return _HIDDEN.validate_json(upgraded(content, VERSIONS))
    except (ValidationError, NewerVersion):
        plan_key = name.removeprefix(HIDDEN).removesuffix(".json")
        why = f"the record of why is damaged, or of a newer version ({name})"
        return Hidden(plan_key=plan_key, reason=why, by="unknown", at="unknown")


def _name(plan_key: str) -> str:
    if not PLAN_KEY.fullmatch(plan_key):
        raise ModerationRefused(f"{plan_key[:80]!r} is not the id of a result")
    return f"{HIDDEN}{plan_key}.json"


def _check_known(snapshot: Snapshot, plan_key: str) -> None:
    ending = f"/{plan_key}.json"
    if not any(name.startswith("results/") and name.endswith(ending) for name in snapshot.names):
        raise ModerationRefused(f"there is no result {plan_key!r}")
