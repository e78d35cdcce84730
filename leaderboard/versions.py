"""The versions of what a store keeps as JSON, and how what an earlier program wrote becomes what this one reads.

A file says its version under `schema`; the first ones said none. Files are never rewritten for a new version alone:
each is brought forward whenever it is read. A file of a newer version is refused by name, and stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evaluator.errors import OpenR1Error

Step = Callable[[Any], dict[str, Any]]


class NewerVersion(OpenR1Error):
    """A file was written by a newer program than this."""

    code = "newer_version"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """One kind of file: its newest version, and the step to the next from every earlier one."""

    name: str
    version: int
    steps: Mapping[int, Step]


def _result_1(stored: Any) -> dict[str, Any]:
    """Version 2 keeps the chat template; of earlier results its hash alone is known."""
    return {**stored, "template": None}


def _request_1(stored: Any) -> dict[str, Any]:
    """Version 2 says its version; trials, retries, priorities and run numbers had come without a word."""
    asked = {"trial": False, "run": 0, **stored["submission"]}
    return {"retried": 0, "priority": 0, **stored, "submission": asked}


def _trials_1(stored: Any) -> dict[str, Any]:
    """Version 1 was a bare list, which has no place for a version."""
    return {"trials": stored}


RESULT = Shape(name="result", version=2, steps={1: _result_1})
REQUEST = Shape(name="job record", version=2, steps={1: _request_1})
TRIALS = Shape(name="trial", version=2, steps={1: _trials_1})
HIDDEN = Shape(name="hidden result", version=1, steps={})
AUDIT = Shape(name="entry of the audit trail", version=1, steps={})
REPORT = Shape(name="dataset report", version=1, steps={})
SPENT = Shape(name="record of a rented machine", version=1, steps={})
SHAPES = (RESULT, REQUEST, TRIALS, HIDDEN, AUDIT, REPORT, SPENT)


def upgraded(content: bytes, shape: Shape) -> bytes:
    """A file's content as the newest version has it. What is no JSON object stays as it is, for its reader to judge.

    Raises:
        NewerVersion: this program does not know the version that the file says.
    """
    try:
        stored = json.loads(content)
    except (ValueError, RecursionError):
        return content
    version = stored.get("schema", 1) if isinstance(stored, dict) else 1
    if not isinstance(version, int) or version < 1:
        return content
    if version > shape.version:
        raise NewerVersion(
            f"the {shape.name} has schema {version}, this version reads up to {shape.version}; update the board: "
            "nothing was changed"
        )
    if version == shape.version:
        return content
    try:
        for number in range(version, shape.version):
            stored = shape.steps[number](stored)
    except (KeyError, TypeError):
        return content
    return json.dumps(stored | {"schema": shape.version}).encode()
