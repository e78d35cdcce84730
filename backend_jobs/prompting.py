"""How a recipe's prompt and gold answer are read out of a row. No heavy import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from backend_jobs.recipe_types import Gold

FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\}")
THOUGHT = "<think>"


def filled(template: str, row: Mapping[str, Any]) -> str:
    """The template with every `{column}` replaced by the row's value. Raises KeyError for a missing column."""
    return FIELD.sub(lambda found: str(value_at(row, found[1])), template)


def value_at(row: Mapping[str, Any], name: str) -> Any:
    """A column of a row; `a.b` is key b of column a. Raises KeyError where it is not there."""
    column, *keys = name.split(".")
    value = row[column]
    for key in keys:
        if not isinstance(value, Mapping):
            raise KeyError(name)
        value = value[key]
    return value


def opened_answer(opens: str) -> str:
    """What a prompt opens of the answer as rewards see it: from the thought on, where it opens one."""
    return opens[opens.find(THOUGHT) :] if THOUGHT in opens else opens


def fields(template: str) -> tuple[str, ...]:
    """The columns that a template names, in order, each once."""
    return tuple(dict.fromkeys(FIELD.findall(template)))


def gold_of(row: Mapping[str, Any], gold: Gold | None) -> str | None:
    """The right answer of a row as text; None where the recipe names none, or the row's is empty."""
    if gold is None:
        return None
    value = value_at(row, gold.column)
    text = "" if value is None else str(value)
    if gold.after is not None:
        _, found, text = text.rpartition(gold.after)
        text = text if found else ""
    if gold.before is not None:
        text = text.partition(gold.before)[0]
    return text.strip() or None
