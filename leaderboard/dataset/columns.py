"""The columns of each table people read: one place for their names, types and meaning. The card is written from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from leaderboard.table import ATTEMPTS_SCHEMA, PROBLEMS_SCHEMA
from leaderboard.types import BoardEntry, BoardScore, JobRecord, ResultRow

TABLES_SCHEMA = 1
"""Rises when a column changes its meaning or goes away; a new column does not raise it."""

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table by its name in the dataset's card. `about` says what each column means."""

    name: str
    title: str
    schema: pa.Schema
    about: Mapping[str, str]


def _table(name: str, title: str, columns: Sequence[tuple[str, pa.DataType, str]]) -> Table:
    schema = pa.schema([pa.field(column, kind) for column, kind, _ in columns])
    return Table(name=name, title=title, schema=schema, about={column: about for column, _, about in columns})


TEXT, NUMBER, COUNT, FLAG, TEXTS = pa.string(), pa.float64(), pa.int64(), pa.bool_(), pa.list_(pa.string())

LEADERBOARD = _table(
    "leaderboard",
    "One row per model, commit and benchmark: the result that stands, with its rank.",
    [
        ("benchmark", TEXT, "name of the benchmark"),
        ("model", TEXT, "Hub id, or the name under which it was served"),
        ("revision", TEXT, "branch or tag that was submitted"),
        ("commit", TEXT, "40-character commit, or sha256 of a local folder; null where only a server knows"),
        ("score", NUMBER, "pass@1, mean over problems of the share of right attempts, in points"),
        ("ci95_low", NUMBER, "lower end of the 95 % interval, in points"),
        ("ci95_high", NUMBER, "upper end of the 95 % interval, in points"),
        ("stderr_questions", NUMBER, "how far another set of such problems could move the score, in points"),
        ("stderr_decoding", NUMBER, "how far sampling the same problems again could; null for one attempt"),
        ("maj_at_n", NUMBER, "score of the majority answer over all attempts, in points"),
        ("pass_at_n", NUMBER, "share of problems with at least one right attempt, in points"),
        ("problems", COUNT, "problems in the benchmark"),
        ("attempts_per_problem", COUNT, "attempts at each problem"),
        ("truncated_share", NUMBER, "attempts cut at the answer budget, 0 to 1; null where the server did not say"),
        ("mean_completion_tokens", NUMBER, "tokens per attempt"),
        ("rank_best", COUNT, "best rank that the data allow; null where not ranked"),
        ("rank_worst", COUNT, "worst rank that the data allow"),
        ("compared", COUNT, "ranked results of the same benchmark and protocol"),
        ("ranked", FLAG, "whether it follows the whole protocol of the current version"),
        ("not_ranked_because", TEXT, "why not; empty where ranked"),
        ("measured_at", TEXT, "UTC, ISO 8601"),
        ("plan_key", TEXT, "the result's id: a hash of all that decides the score"),
        ("protocol_key", TEXT, "hash of the plan without the model: only equal ones are comparable"),
    ],
)

RESULTS = _table(
    "results",
    "One row per published result, also those that are not ranked or that a newer grader replaced.",
    [
        ("plan_key", TEXT, "the result's id: a hash of all that decides the score"),
        ("generation_key", TEXT, "hash of all that decides the completions; names the file of attempts"),
        ("protocol_key", TEXT, "hash of the plan without the model"),
        ("benchmark", TEXT, "name of the benchmark"),
        ("benchmark_version", COUNT, "version of its prompts, targets and protocol"),
        ("model", TEXT, "Hub id, or the name under which it was served"),
        ("revision", TEXT, "branch or tag that was submitted"),
        ("commit", TEXT, "40-character commit, or sha256 of a local folder"),
        ("ranked", FLAG, "whether it was ranked when published"),
        ("not_ranked_because", TEXT, "why not; empty where ranked"),
        ("score", NUMBER, "pass@1 in points"),
        ("ci95_low", NUMBER, "lower end of the 95 % interval, in points"),
        ("ci95_high", NUMBER, "upper end of the 95 % interval, in points"),
        ("stderr_questions", NUMBER, "standard error over problems, in points"),
        ("stderr_decoding", NUMBER, "standard error over re-sampling the same problems, in points"),
        ("pass_at_n", NUMBER, "share of problems with at least one right attempt, in points"),
        ("maj_at_n", NUMBER, "score of the majority answer, in points"),
        ("problems", COUNT, "problems in the benchmark"),
        ("attempts_per_problem", COUNT, "attempts at each problem"),
        ("correct", COUNT, "attempts with a right answer"),
        ("incorrect", COUNT, "attempts with another answer"),
        ("no_answer", COUNT, "attempts without an answer; they count as wrong"),
        ("truncated", COUNT, "attempts cut at the answer budget"),
        ("truncation_unknown", COUNT, "attempts whose end the server did not report"),
        ("answered_in_thought", COUNT, "attempts whose answer stands only inside a closed thought"),
        ("mean_completion_tokens", NUMBER, "tokens per attempt"),
        ("completion_tokens", COUNT, "tokens of all attempts"),
        ("wall_seconds", NUMBER, "seconds the measurement took"),
        ("grader_version", TEXT, "the grader that gave the verdicts"),
        ("run", COUNT, "0 for the first run, then its reproductions"),
        ("max_tokens", COUNT, "answer budget in tokens"),
        ("temperature", NUMBER, "sampling temperature"),
        ("top_p", NUMBER, "nucleus sampling"),
        ("dtype", TEXT, "data type of the weights"),
        ("quantization", TEXT, "how the weights were quantized; null for none"),
        ("engine", TEXT, "what served the model"),
        ("engine_version", TEXT, "its version"),
        ("tensor_parallel_size", COUNT, "GPUs that shared the model"),
        ("device", TEXT, "what it ran on"),
        ("measured_at", TEXT, "UTC, ISO 8601"),
        ("submitted_by", TEXT, "who asked for it"),
        ("job_id", TEXT, "the submission that it came from"),
        ("training_run", TEXT, "training run of a checkpoint that was trained here"),
        ("training_step", COUNT, "its step"),
        ("supersedes", TEXT, "plan key of the same answers under an older grader"),
        ("superseded_by", TEXT, "plan key of the same answers under a newer grader"),
    ],
)

REQUESTS = _table(
    "requests",
    "One row per submission with its state when the table was written.",
    [
        ("id", TEXT, "the submission's id; sorts by time"),
        ("kind", TEXT, "evaluate or train"),
        ("model", TEXT, "Hub id"),
        ("revision", TEXT, "branch or tag that was submitted"),
        ("commit", TEXT, "what it was pinned to"),
        ("benchmarks", TEXTS, "what to measure"),
        ("attempts", COUNT, "attempts per problem; null for the protocol's"),
        ("max_tokens", COUNT, "answer budget; null for the protocol's"),
        ("status", TEXT, "PENDING, RUNNING, FINISHED, FAILED or CANCELLED"),
        ("submitted_at", TEXT, "UTC, ISO 8601"),
        ("submitted_by", TEXT, "who asked for it"),
        ("started_at", TEXT, "UTC, ISO 8601"),
        ("ended_at", TEXT, "UTC, ISO 8601"),
        ("worker", TEXT, "who ran it last"),
        ("attempt", COUNT, "how often it was claimed"),
        ("lost", COUNT, "how many workers vanished over it"),
        ("failure_code", TEXT, "why it failed, for programs"),
        ("failure_reason", TEXT, "why it failed, for people"),
        ("results", TEXTS, "plan keys of what it published"),
        ("note", TEXT, "the submitter's words"),
    ],
)

PROBLEMS = Table(
    name="problems",
    title="One row per result and problem: enough to compute every statistic again.",
    schema=PROBLEMS_SCHEMA,
    about={
        "plan_key": "the result",
        "problem_id": "the problem within its benchmark",
        "n": "attempts",
        "correct": "right ones",
        "no_answer": "those without an answer",
        "truncated": "those cut at the answer budget",
        "mean_tokens": "tokens per attempt; null where the server did not count",
        "majority": "the answer most attempts gave; null where nobody answered or several tie",
        "subject": "the dataset's subject; empty where it has none or is private",
        "level": "the dataset's level; empty where it has none or is private",
        "letters": "multiple choice: the letters chosen, in order, - for none",
        "right_letters": "multiple choice: the letters that were right",
    },
)

ATTEMPTS = Table(
    name="attempts",
    title="One row per attempt. Of GPQA no text, prompt, reasoning or target is stored: hashes and verdicts alone.",
    schema=ATTEMPTS_SCHEMA,
    about={
        "problem_id": "the problem within its benchmark",
        "attempt": "number of the attempt, from 0",
        "seed": "the seed sent with the request",
        "prompt_sha256": "SHA-256 of the prompt",
        "prompt": "the prompt; null for a private benchmark",
        "text_sha256": "SHA-256 of the completion",
        "text": "the completion; null for a private benchmark",
        "reasoning": "what a server with a reasoning parser returned apart; null otherwise",
        "finish_reason": "stop or length, as the server said; null where it did not",
        "completion_tokens": "tokens of the completion",
        "prompt_tokens": "tokens of the prompt",
        "latency_s": "seconds from request to answer",
        "retries": "how often the request was sent again",
        "answer": "the extracted answer",
        "verdict": "correct, incorrect or no_answer",
        "truncated": "whether the answer was cut at its budget",
        "answered_in_thought": "whether the answer stands only inside a closed thought",
        "target": "the right answer; null for a private benchmark",
        "grader_version": "the grader that gave the verdict",
    },
)

CORRECTIONS = _table(
    "corrections",
    "One row per correction, oldest first: what something else stands in for, and why. The list only grows.",
    [
        ("at", TEXT, "UTC, ISO 8601"),
        ("kind", TEXT, "regraded, hidden or note"),
        ("plan_key", TEXT, "the result that was corrected"),
        ("replaced_by", TEXT, "the result that stands in its place; null for none"),
        ("by", TEXT, "who did it"),
        ("reason", TEXT, "why"),
    ],
)

TABLES = (LEADERBOARD, RESULTS, ATTEMPTS, PROBLEMS, REQUESTS, CORRECTIONS)


def leaderboard_records(entries: Sequence[BoardEntry]) -> list[Record]:
    """The board as rows of LEADERBOARD, in the entries' order."""
    return [_leaderboard_record(entry, score) for entry in entries for score in entry.scores.values()]


def _leaderboard_record(entry: BoardEntry, shown: BoardScore) -> Record:
    low, high = shown.ci95
    best, worst = shown.rank or (None, None)
    own = {"model": entry.model, "revision": entry.revision, "commit": entry.commit}
    ends = {"ci95_low": low, "ci95_high": high, "rank_best": best, "rank_worst": worst}
    return {name: own[name] if name in own else ends[name] if name in ends else getattr(shown, name) for name in _BOARD}


_BOARD = LEADERBOARD.schema.names


def result_record(row: ResultRow) -> Record:
    """One result as a row of RESULTS."""
    plan, numbers, served = row.plan, row.statistics, row.engine
    low, high = numbers.ci95
    values = {
        "benchmark_version": plan.benchmark_version,
        "score": numbers.score,
        "ci95_low": low,
        "ci95_high": high,
        "stderr_questions": numbers.stderr_questions,
        "stderr_decoding": numbers.stderr_decoding,
        "pass_at_n": numbers.pass_at_n,
        "maj_at_n": numbers.maj_at_n,
        **{verdict: row.verdicts.get(verdict, 0) for verdict in ("correct", "incorrect", "no_answer")},
        "grader_version": plan.grader_version,
        "run": plan.run,
        "max_tokens": plan.max_tokens,
        "temperature": plan.sampling.temperature,
        "top_p": plan.sampling.top_p,
        "dtype": plan.dtype,
        "quantization": plan.quantization,
        "engine": served.engine,
        "engine_version": served.version,
        "tensor_parallel_size": served.tensor_parallel_size,
        "device": served.device,
        "training_run": row.lineage.run if row.lineage else None,
        "training_step": row.lineage.step if row.lineage else None,
        "supersedes": row.supersedes.plan_key if row.supersedes else None,
    }
    return {name: values[name] if name in values else getattr(row, name) for name in RESULTS.schema.names}


def request_record(job: JobRecord) -> Record:
    """One submission as a row of REQUESTS."""
    asked = job.submission
    values = {
        "kind": asked.kind.value,
        "status": job.status.value,
        "benchmarks": list(asked.benchmarks),
        "results": list(job.results),
        "failure_code": job.failure.code if job.failure else None,
        "failure_reason": job.failure.reason if job.failure else None,
    }
    return {
        name: values[name] if name in values else getattr(asked if hasattr(asked, name) else job, name)
        for name in REQUESTS.schema.names
    }
