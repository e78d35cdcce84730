"""The validator: does a store hold what it says? Every file is read, and every number that can be is computed again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from evaluator.benchmarks import BENCHMARKS
from evaluator.errors import OpenR1Error
from evaluator.plan import generation_key, plan_key, protocol_key
from leaderboard.dataset.card import CARD, FILES
from leaderboard.dataset.columns import TABLES, TABLES_SCHEMA
from leaderboard.dataset.corrections import read_corrections
from leaderboard.dataset.formats import parquet_columns
from leaderboard.results import RESULTS, attempts_file, problems_file, read_row, result_file
from leaderboard.store import Snapshot
from leaderboard.table import read_attempts, read_problems
from leaderboard.types import AttemptRow, ResultRow

TOLERANCE = 1e-6
MOST_FAULTS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """What was looked at, and what is wrong: one sentence each, with the file's name first."""

    files: int
    results: int
    attempts: int
    faults: tuple[str, ...]


def validate(snapshot: Snapshot) -> Validation:
    """Check every result of a tree with all that stands behind it, and the tables if there are any."""
    names = set(snapshot.names)
    faults: list[str] = []
    results = attempts = 0
    for name in sorted(name for name in names if name.startswith(RESULTS)):
        results += 1
        try:
            row = read_row(snapshot.read(name))
            found = list(_row_faults(name, row))
            counted, more = _behind(row, snapshot, names)
            attempts += counted
            faults += [*found, *more]
        except OpenR1Error as error:
            faults.append(f"{name}: {error}")
    faults += _table_faults(snapshot, names)
    return Validation(files=len(names), results=results, attempts=attempts, faults=tuple(faults[:MOST_FAULTS]))


def _row_faults(name: str, row: ResultRow) -> Iterator[str]:
    if name != result_file(row.model, row.plan_key):
        yield f"{name}: its content belongs at {result_file(row.model, row.plan_key)}"
    keys = {"plan_key": plan_key, "generation_key": generation_key, "protocol_key": protocol_key}
    for key, compute in keys.items():
        if getattr(row, key) != compute(row.plan):
            yield f"{name}: {key} is {getattr(row, key)}, its plan gives {compute(row.plan)}"
    low, high = row.statistics.ci95
    if not 0 <= low <= row.statistics.score <= high <= 100:
        yield f"{name}: the interval [{low}, {high}] does not hold the score {row.statistics.score}"


def _behind(row: ResultRow, snapshot: Snapshot, names: set[str]) -> tuple[int, list[str]]:
    """How many attempts a result has, and what is wrong with its two files."""
    problems_name, attempts_name = problems_file(row.plan_key), attempts_file(row.generation_key)
    missing = [name for name in (problems_name, attempts_name) if name not in names]
    if missing:
        return 0, [f"{name}: missing, although result {row.plan_key} is published" for name in missing]
    faults = _count_faults(problems_name, row, snapshot)
    stored = read_attempts(snapshot.read(attempts_name))
    own = [attempt for attempt in stored if attempt.attempt < row.attempts_per_problem]
    expected = row.problems * row.attempts_per_problem
    if len(own) != expected:
        faults.append(f"{attempts_name}: has {len(own)} attempts of result {row.plan_key}, expected {expected}")
    private = row.benchmark not in BENCHMARKS or BENCHMARKS[row.benchmark].private
    return len(own), faults + [fault for attempt in own for fault in _attempt_faults(attempts_name, attempt, private)]


def _count_faults(name: str, row: ResultRow, snapshot: Snapshot) -> list[str]:
    problems = read_problems(snapshot.read(name))
    score, said = (
        100 * fmean(each.correct / each.n for each in problems) if problems else math.nan,
        row.statistics.score,
    )
    if len(problems) == row.problems and math.isclose(score, said, abs_tol=TOLERANCE):
        return []
    return [f"{name}: gives {score:.4f} over {len(problems)} problems, the result says {said:.4f} over {row.problems}"]


def _attempt_faults(name: str, attempt: AttemptRow, private: bool) -> Iterator[str]:
    at = f"{name}: problem {attempt.problem_id}, attempt {attempt.attempt}"
    if private and any((attempt.text, attempt.prompt, attempt.reasoning, attempt.target)):
        yield f"{at}: holds text of a private benchmark; delete it from the store and its history"
    for text, expected in ((attempt.text, attempt.text_sha256), (attempt.prompt, attempt.prompt_sha256)):
        if text is not None and hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() != expected:
            yield f"{at}: its text does not have the SHA-256 that stands beside it"


def _table_faults(snapshot: Snapshot, names: set[str]) -> list[str]:
    faults = []
    for table in TABLES:
        name = FILES[table.name]
        if name in names:
            lacking = set(table.schema.names) - set(parquet_columns(snapshot.read(name)))
            if lacking:
                faults.append(f"{name}: lacks the columns {', '.join(sorted(lacking))}; compact the store again")
    if CARD in names and f"Schema version {TABLES_SCHEMA}." not in snapshot.read(CARD).decode("utf-8", "replace"):
        faults.append(f"{CARD}: is not of schema version {TABLES_SCHEMA}; compact the store again")
    known = {name.rpartition("/")[2].removesuffix(".json") for name in names if name.startswith(RESULTS)}
    try:
        corrections = read_corrections(snapshot)
    except OpenR1Error as error:
        return [*faults, str(error)]
    return faults + [
        f"corrections.jsonl: names result {each.plan_key}, which is not published"
        for each in corrections
        if each.plan_key not in known
    ]
