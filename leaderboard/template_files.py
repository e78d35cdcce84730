"""Chat templates in the store, each once under its SHA-256, and how one differs from another."""

from __future__ import annotations

import difflib
import hashlib

from evaluator.types import Templates
from leaderboard.types import TemplateOrigin

TEMPLATES = "templates/"
CONTEXT_LINES = 3


def template_file(sha256: str) -> str:
    """Where the template of a hash lies in the store."""
    return f"{TEMPLATES}{sha256}.jinja"


def template_origin(templates: Templates | None) -> TemplateOrigin | None:
    """What a result says of its template."""
    if templates is None:
        return None
    return TemplateOrigin(
        hash=_hash(templates.text),
        base=templates.base,
        base_commit=templates.base_commit,
        base_hash=None if templates.base_text is None else _hash(templates.base_text),
        unknown=templates.unknown,
    )


def template_files(templates: Templates | None) -> dict[str, bytes | None]:
    """Both templates as files of a commit."""
    texts = () if templates is None else (templates.text, templates.base_text)
    return {template_file(_hash(text)): _bytes(text) for text in texts if text is not None}


def difference(base: str, text: str) -> list[str]:
    """A unified difference, line by line. Templates are often one long line: it is cut where Jinja's tags begin."""
    first, second = (_lines(each) for each in (base, text))
    return list(difflib.unified_diff(first, second, "base model", "this model", lineterm="", n=CONTEXT_LINES))


def _lines(text: str) -> list[str]:
    return [part for line in text.splitlines() for part in line.replace("{%", "\n{%").split("\n") if part]


def _hash(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
