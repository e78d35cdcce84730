"""A job as a file of the store: its name, its bytes, and strict reading back."""

from __future__ import annotations

import json
import re

from pydantic import TypeAdapter, ValidationError

from backend_jobs.types import RecordUnreadable
from evaluator.types import to_json
from leaderboard.store import InvalidName, checked_name
from leaderboard.types import JobRecord, Submission
from leaderboard.versions import REQUEST, NewerVersion, upgraded

REQUESTS = "requests/"
JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

_RECORD = TypeAdapter(JobRecord)


def record_name(submission: Submission) -> str:
    """`requests/<owner>/<model>/<id>.json`.

    Raises:
        InvalidName: the model is not `owner/name`, or a part of it or the id cannot stand in a path.
    """
    if submission.model.count("/") != 1 or not JOB_ID.fullmatch(submission.id):
        raise InvalidName(
            f"job {submission.id!r} of model {submission.model!r} has no place in the store; expected a model named "
            "owner/name and an id of letters, digits, '-' and '_'"
        )
    return checked_name(f"{REQUESTS}{submission.model}/{submission.id}.json")


def record_bytes(record: JobRecord) -> bytes:
    """The record as people and programs read it: JSON with sorted keys. Half characters of a log become `?`."""
    text = json.dumps(to_json(record), sort_keys=True, indent=2, ensure_ascii=False)
    return (text + "\n").encode(errors="replace")


def read_record(name: str, content: bytes) -> JobRecord:
    """The record in a file of the store. Unknown fields are refused: a record is rewritten whole at every move.

    Raises:
        RecordUnreadable: names the file, the field and what is wrong with it.
    """
    try:
        record = _RECORD.validate_json(upgraded(content, REQUEST), strict=True, extra="forbid")
        expected = record_name(record.submission)
    except NewerVersion as newer:
        raise RecordUnreadable(f"{name}: {newer}") from newer
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RecordUnreadable(f"{name} is not a job record: {field}: {first['msg']}; repair or delete it") from error
    except InvalidName as error:
        raise RecordUnreadable(f"{name} is not a job record: {error}; repair or delete it") from error
    if name != expected:
        raise RecordUnreadable(f"{name} is not a job record: its content belongs at {expected}; move or delete it")
    return record
