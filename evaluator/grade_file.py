"""A file of completions, graded: the same grader as a run's, for answers that come from anywhere."""

from __future__ import annotations

import gzip
import json
import os
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from evaluator.errors import CompletionsRejected
from evaluator.grading_pool import GraderPool
from evaluator.types import Extraction, GradeInput, Score, Verdict

IN_FLIGHT = 512
"""Rows read ahead of the oldest one that is not graded yet: what bounds memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradeSummary:
    """What grading a file came to. `verdicts` counts every verdict, those that did not occur too."""

    rows: int
    verdicts: dict[str, int]
    wall_seconds: float


def grade_file(
    completions: Path,
    *,
    extraction: Extraction,
    targets: Mapping[str, str] | Callable[[], Mapping[str, str]] | None,
    pool: GraderPool,
    scores_out: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    graded_row: Callable[[GradeInput, Score], None] | None = None,
) -> GradeSummary:
    """Grade every row of a .jsonl or .jsonl.gz file, in bounded memory.

    A row needs `problem_id` and `completion`, and may have `sample`, `gold`, `finish_reason`, `n_tokens` and
    `prompt_opens_thought`. Its own `gold` wins over `targets` (problem id to target; a
    function is called only where a row needs it). `scores_out` gets one row per
    input row, in order, and appears only when it is whole. `progress` is called with (rows graded, rows read),
    `graded_row` with each row and its score, in order.

    Raises:
        CompletionsRejected: a row that cannot be read, or has no target; the message names the line.
    """
    started = time.monotonic()
    verdicts: Counter[str] = Counter({verdict.value: 0 for verdict in Verdict})
    waiting: deque[tuple[Any, GradeInput, Future[Score]]] = deque()
    graded = 0

    @cache
    def known_targets() -> Mapping[str, str]:
        return targets() if callable(targets) else targets or {}

    def write_oldest(out: IO[str] | None) -> None:
        nonlocal graded
        sample, item, future = waiting.popleft()
        score = future.result()
        verdicts[score.verdict.value] += 1
        graded += 1
        if out is not None:
            out.write(json.dumps(_score_row(score, sample), ensure_ascii=False) + "\n")
        if graded_row is not None:
            graded_row(item, score)
        if progress is not None:
            progress(graded, graded + len(waiting))

    with whole_file(scores_out) if scores_out else nullcontext() as out:
        for line, row in completion_rows(completions):
            item = _grade_input(row, completions, line, extraction, known_targets)
            waiting.append((row.get("sample"), item, pool.submit(item)))
            while len(waiting) >= IN_FLIGHT or (waiting and waiting[0][2].done()):
                write_oldest(out)
        while waiting:
            write_oldest(out)
    return GradeSummary(rows=graded, verdicts=dict(verdicts), wall_seconds=time.monotonic() - started)


def _score_row(score: Score, sample: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "problem_id": score.problem_id,
        "sample": sample,
        "verdict": score.verdict.value,
        "answer": score.answer,
        "truncated": score.truncated,
    }
    if score.reason is not None:
        row |= {"reason": score.reason.value, "note": score.note}
    return row


def completion_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with its line number, from 1. Empty lines are no rows."""
    line = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as stream:
            for line, text in enumerate(stream, start=1):
                if text.strip():
                    yield line, _row(text, path, line)
    except OSError as error:
        raise CompletionsRejected(f"cannot read {path}: {error}") from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CompletionsRejected(f"{path} is damaged after line {line}: {error}; write the file again") from error


def _row(text: str, path: Path, line: int) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CompletionsRejected(f"{path} line {line} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise CompletionsRejected(f"{path} line {line} holds a {type(row).__name__}, expected an object")
    return row


def _grade_input(
    row: dict[str, Any], path: Path, line: int, extraction: Extraction, targets: Callable[[], Mapping[str, str]]
) -> GradeInput:
    where = f"{path} line {line}"
    problem_id = row_field(row, "problem_id", (str, int), where)
    if problem_id is None:
        raise CompletionsRejected(f"{where} has no problem_id; every row needs problem_id and completion")
    completion = row_field(row, "completion", (str,), where)
    if completion is None:
        raise CompletionsRejected(
            f"{where} (problem {problem_id}) has no completion; every row needs one, empty or not"
        )
    gold = row_field(row, "gold", (str, int, float), where)
    target = gold if gold is not None else targets().get(str(problem_id))
    if target is None:
        raise CompletionsRejected(
            f"{where}: problem {problem_id} has no target; give the row a gold, or use a problem id of the benchmark"
        )
    sample = row_field(row, "sample", (int, str), where)
    return GradeInput(
        problem_id=str(problem_id),
        attempt=sample if isinstance(sample, int) else 0,
        text=completion,
        target=str(target),
        extraction=extraction,
        reasoning=row_field(row, "reasoning", (str,), where),
        finish_reason=row_field(row, "finish_reason", (str,), where),
        prompt_opens_thought=bool(row_field(row, "prompt_opens_thought", (bool,), where)),
    )


def row_field(row: dict[str, Any], name: str, kinds: tuple[type, ...], where: str) -> Any:
    """A row's value of one of these types, or None where it is absent or null."""
    value = row.get(name)
    if value is None or (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))):
        return value
    expected = " or ".join(kind.__name__ for kind in kinds)
    raise CompletionsRejected(f"{where}: {name} is {value!r}, expected {expected}")


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that takes its name only when the block ended without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
