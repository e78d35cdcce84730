"""Reasoning data as training examples: what a trainer reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backend_jobs.datasets.types import ReasoningRow


def training_example(row: ReasoningRow) -> dict[str, Any]:
    """A row in TRL's conversational prompt-completion format: the loss is on the assistant's last turn alone."""
    prompt = [{"role": message.role, "content": message.content} for message in row.prompt]
    last = row.messages[-1]
    return {"prompt": prompt, "completion": [{"role": last.role, "content": last.content}]}


def training_examples(rows: Iterator[ReasoningRow], *, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Examples of a dataset's rows, in order; with `limit`, no more than that."""
    for number, row in enumerate(rows):
        if limit is not None and number >= limit:
            return
        yield training_example(row)
