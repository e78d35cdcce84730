"""The audit trail: who did what to whose job or result, written in the very commit that does it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from evaluator.errors import OpenR1Error
from evaluator.types import to_json
from leaderboard.store import Changes, Store
from leaderboard.versions import AUDIT as VERSIONS
from leaderboard.versions import NewerVersion, upgraded

AUDIT = "audit/"


class Action(StrEnum):
    """What people do to other people's work, and to their own."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    RETRY = "retry"
    PRIORITY = "priority"
    HIDE = "hide"
    SHOW = "show"


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """One act. `at` is UTC in ISO 8601; `subject` a job's id or a result's plan key; `detail` for people."""

    at: str
    by: str
    action: Action
    subject: str
    detail: str = ""


class AuditUnreadable(OpenR1Error):
    """A file of the trail is not an entry of this version."""

    code = "audit_unreadable"


_ENTRY = TypeAdapter(AuditEntry)


def audit_changes(now: datetime, *, by: str, action: Action, subject: str, detail: str = "") -> Changes:
    """The file that records an act, to be committed with it: `audit/<year-month>/<time>-<random>.json`."""
    entry = AuditEntry(at=now.isoformat(timespec="seconds"), by=by, action=action, subject=subject, detail=detail)
    name = f"{AUDIT}{now:%Y-%m}/{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}.json"
    text = (
        json.dumps(to_json(entry) | {"schema": VERSIONS.version}, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
    )
    return {name: text.encode(errors="replace")}


def read_trail(store: Store, *, most: int = 200) -> list[AuditEntry]:
    """The newest entries, newest first.

    Raises:
        AuditUnreadable: names the file that is no entry.
    """
    snapshot = store.snapshot(AUDIT)
    return [_read(name, snapshot.read(name)) for name in sorted(snapshot.names, reverse=True)[:most]]


def _read(name: str, content: bytes) -> AuditEntry:
    try:
        return _ENTRY.validate_json(upgraded(content, VERSIONS))
    except NewerVersion as newer:
        raise AuditUnreadable(f"{name}: {newer}") from newer
    except ValidationError as error:
        raise AuditUnreadable(f"{name} is not an entry of the audit trail ({error.error_count()} faults)") from error
