"""From measurements to the files of one commit, and back from a file to a row.

A result is three files: `results/<owner>/<model>/<plan_key>.json` (the row), `problems/<plan_key>.parquet` (counts per
problem, enough for every statistic and rank) and `attempts/<generation_key>.parquet` (every attempt). Counts have a
file of their own per result, a few kilobytes, because one file for the whole board would have to be read, rewritten and
raced for at every publication; `problems/*.parquet` still reads as one table.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby

from pydantic import TypeAdapter, ValidationError

from evaluator import budget
from evaluator.benchmarks import benchmark
from evaluator.errors import OpenR1Error
from evaluator.measure import sample_index
from evaluator.plan import generation_key, plan_key, protocol_key
from evaluator.types import (
    CapPoint,
    Checkpoint,
    Completion,
    EvalPlan,
    Measurement,
    Sample,
    Sampling,
    Score,
    StreamRecord,
    Verdict,
    to_json,
)
from leaderboard.store import Changes, Snapshot
from leaderboard.table import attempts_parquet, problems_parquet, read_attempts
from leaderboard.template_files import template_files, template_origin
from leaderboard.types import AttemptRow, ProblemRow, ResultRow, Submission
from leaderboard.versions import RESULT, NewerVersion, upgraded

SCHEMA = RESULT.version
PROTOCOL_DTYPE = "bfloat16"
RESULTS, PROBLEMS, ATTEMPTS = "results/", "problems/", "attempts/"
NO_LETTER = "-"
UNKNOWN = frozenset({"unexpected_keyword_argument", "extra_forbidden"})
MOST_STREAMS, MOST_POINTS = 8, 120
"""Of the streams that a result came from the last ones are kept, and of each server's history so many points."""


class PublicationRefused(OpenR1Error):
    """A measurement that must not be published: it covers a part of its benchmark only."""

    code = "publication_refused"


class ResultUnreadable(OpenR1Error):
    """A stored result is not a row of this version."""

    code = "result_unreadable"


def publish_changes(
    measurements: Sequence[Measurement],
    *,
    checkpoint: Checkpoint,
    measured_at: str,
    submission: Submission | None = None,
    stored: Snapshot | None = None,
) -> tuple[tuple[str, ...], Changes]:
    """The plan keys of some measurements and the files that publish them, to be committed together.

    `measured_at` is UTC in ISO 8601. `stored` is the tree that the changes go into. A result that it holds is kept as
    it is, links and all, and only named: a result is published once. So are stored attempts of the same generation.

    Raises:
        PublicationRefused: a measurement is limited to some of the problems.
    """
    changes: dict[str, bytes | None] = {}
    names = []
    for measurement in measurements:
        row = result_row(measurement, checkpoint=checkpoint, measured_at=measured_at, submission=submission)
        if row.plan.limit is not None:
            raise PublicationRefused(
                f"{row.benchmark} was measured on {row.problems} problems only (limit {row.plan.limit}); such a run is "
                "never published: measure without a limit"
            )
        if not is_published(row.model, row.plan_key, stored):
            changes |= result_files(row, measurement, stored=stored) | template_files(checkpoint.templates)
        names.append(row.plan_key)
    return tuple(names), changes


def is_published(model: str, key: str, stored: Snapshot | None) -> bool:
    """Whether a tree holds the result of a model and plan key."""
    return stored is not None and result_file(model, key) in stored.names


def result_files(row: ResultRow, measurement: Measurement, *, stored: Snapshot | None) -> dict[str, bytes | None]:
    """The three files of one result. Attempts that `stored` holds stay; another grader's verdicts replace theirs."""
    attempts_name = attempts_file(row.generation_key)
    return {
        result_file(row.model, row.plan_key): row_bytes(row),
        problems_file(row.plan_key): problems_parquet(problem_rows(measurement)),
        attempts_name: _attempts_file(measurement, attempts_name, stored),
    }


def result_row(
    measurement: Measurement, *, checkpoint: Checkpoint, measured_at: str, submission: Submission | None = None
) -> ResultRow:
    """One measurement as the board shows it."""
    plan = measurement.plan
    why_not = not_ranked_because(plan)
    return ResultRow(
        schema=SCHEMA,
        plan_key=plan_key(plan),
        generation_key=generation_key(plan),
        protocol_key=protocol_key(plan),
        benchmark=plan.benchmark,
        model=plan.model,
        # A job fetches its weights by commit; what people know them by is the revision that was submitted.
        revision=submission.revision if submission else checkpoint.revision,
        commit=plan.commit,
        ranked=not why_not,
        not_ranked_because=why_not,
        plan=plan,
        statistics=measurement.statistics,
        problems=measurement.problems,
        attempts_per_problem=plan.attempts,
        verdicts=dict(measurement.verdicts),
        truncated=measurement.truncated,
        truncation_unknown=measurement.truncation_unknown,
        answered_in_thought=measurement.answered_in_thought,
        mean_completion_tokens=measurement.mean_completion_tokens,
        completion_tokens=measurement.completion_tokens,
        wall_seconds=measurement.wall_seconds,
        engine=measurement.engine,
        measured_at=measured_at,
        job_id=submission.id if submission else None,
        submitted_by=submission.submitted_by if submission else None,
        lineage=checkpoint.lineage or (submission.lineage if submission else None),
        facts=checkpoint.facts,
        budget=budget.curve(plan, measurement.completions, measurement.scores),
        streams=tuple(map(thinned, measurement.streams[-MOST_STREAMS:])),
        template=template_origin(checkpoint.templates),
    )


def thinned(record: StreamRecord) -> StreamRecord:
    """What a stream did, with no more points of its history than a picture shows."""
    return replace(record, replicas=tuple(replace(each, history=_some(each.history)) for each in record.replicas))


def _some(history: tuple[CapPoint, ...]) -> tuple[CapPoint, ...]:
    while len(history) > MOST_POINTS:
        history = (*history[:-1:2], history[-1])
    return history


def not_ranked_because(plan: EvalPlan) -> str:
    """Why a plan is shown but not ranked; empty where it is ranked.

    Ranked is who was measured under the whole protocol of the current benchmark version, with known weights. A
    demonstration benchmark is ranked in its own table alone: ranks never span benchmarks or protocols.
    """
    protocol = benchmark(plan.benchmark)
    reasons = {
        "the commit of the weights is unknown": plan.commit is None,
        f"measured on version {plan.benchmark_version} of the benchmark, version {protocol.version} is current": (
            plan.benchmark_version != protocol.version
        ),
        f"only {plan.limit} of {protocol.problems} problems": plan.limit is not None,
        f"measured with {plan.attempts} attempts, the protocol has {protocol.attempts}": (
            plan.attempts != protocol.attempts
        ),
        f"an answer budget of {plan.max_tokens:,} tokens, the protocol's is {protocol.max_tokens:,}": (
            plan.max_tokens != protocol.max_tokens
        ),
        "a system prompt, the protocol has none": plan.system_prompt is not None,
        "sampling parameters other than the protocol's": plan.sampling != Sampling(),
        f"weights served as {plan.quantization or plan.dtype}, the protocol's are {PROTOCOL_DTYPE}": (
            plan.dtype != PROTOCOL_DTYPE or plan.quantization is not None
        ),
    }
    return "; ".join(reason for reason, applies in reasons.items() if applies)


def problem_rows(measurement: Measurement) -> list[ProblemRow]:
    """The counts per problem, in the order of the measurement."""
    key = plan_key(measurement.plan)
    samples = sample_index(measurement.plan, measurement.samples)
    shown = not benchmark(measurement.plan.benchmark).private
    pairs = zip(measurement.scores, measurement.completions, strict=True)
    return [
        _problem_row(
            key,
            list(group),
            samples,
            majority=measurement.majority.get(problem_id),
            shown=shown,
        )
        for problem_id, group in groupby(pairs, key=lambda pair: pair[0].problem_id)
    ]


def _problem_row(
    key: str,
    attempts: Sequence[tuple[Score, Completion]],
    samples: Mapping[tuple[str, int], Sample],
    *,
    majority: str | None,
    shown: bool,
) -> ProblemRow:
    counts = [completion.completion_tokens for _, completion in attempts]
    known = [count for count in counts if count is not None]
    sample = samples[attempts[0][0].problem_id, attempts[0][0].attempt]
    asked = [(score, samples[score.problem_id, score.attempt]) for score, _ in attempts]
    return ProblemRow(
        plan_key=key,
        problem_id=sample.problem_id,
        n=len(attempts),
        correct=sum(score.verdict is Verdict.CORRECT for score, _ in attempts),
        no_answer=sum(score.verdict is Verdict.NO_ANSWER for score, _ in attempts),
        truncated=sum(score.truncated is True for score, _ in attempts),
        mean_tokens=sum(known) / len(known) if len(known) == len(counts) else None,
        majority=majority,
        subject=sample.subject if shown else "",
        level=sample.level if shown else "",
        letters="".join(_letter(score.answer) for score, _ in asked) if sample.options else "",
        right_letters="".join(_letter(asked_for.target) for _, asked_for in asked) if sample.options else "",
    )


def _letter(answer: str | None) -> str:
    letter = (answer or "").strip().upper()
    return letter if len(letter) == 1 else NO_LETTER


def attempt_rows(measurement: Measurement) -> list[AttemptRow]:
    """Every attempt as it is stored. Of a private benchmark only hashes, verdicts and single letters are."""
    return list(_attempts(measurement, [slice(0, len(measurement.scores))]))


def _attempts(measurement: Measurement, parts: Iterable[slice]) -> Iterator[AttemptRow]:
    """The attempts of some parts of a measurement; one part's texts are in memory at a time."""
    private = benchmark(measurement.plan.benchmark).private
    samples = sample_index(measurement.plan, measurement.samples)
    for part in parts:
        for completion, score in zip(measurement.completions[part], measurement.scores[part], strict=True):
            sample = samples[score.problem_id, score.attempt]
            yield _attempt_row(completion, score, sample, measurement.plan.grader_version, private)


def _attempt_row(
    completion: Completion, score: Score, sample: Sample, grader_version: str, private: bool
) -> AttemptRow:
    a_letter = score.answer is not None and len(score.answer) == 1
    return AttemptRow(
        problem_id=completion.problem_id,
        attempt=completion.attempt,
        seed=completion.seed,
        prompt_sha256=_sha256(sample.prompt),
        prompt=None if private else sample.prompt,
        text_sha256=_sha256(completion.text),
        text=None if private else completion.text,
        reasoning=None if private else completion.reasoning,
        finish_reason=completion.finish_reason,
        completion_tokens=completion.completion_tokens,
        prompt_tokens=completion.prompt_tokens,
        latency_s=completion.latency_s,
        retries=completion.retries,
        answer=score.answer if a_letter or not private else None,
        verdict=score.verdict.value,
        truncated=score.truncated,
        answered_in_thought=score.answered_in_thought,
        target=None if private else sample.target,
        grader_version=grader_version,
    )


def _attempts_file(measurement: Measurement, name: str, stored: Snapshot | None) -> bytes:
    if stored is None or name not in stored.names:
        return attempts_parquet(_by_problem(measurement), ordered=True)
    return attempts_parquet(_with_stored(attempt_rows(measurement), stored.read(name)))


def _by_problem(measurement: Measurement) -> Iterator[AttemptRow]:
    """Every attempt, problems in the order of their ids."""
    each = measurement.plan.attempts
    starts = {measurement.scores[at].problem_id: at for at in range(0, len(measurement.scores), each)}
    return _attempts(measurement, (slice(at, at + each) for _, at in sorted(starts.items())))


def _with_stored(rows: list[AttemptRow], stored: bytes) -> list[AttemptRow]:
    """The attempts of a generation after a publication: an answer never changes, its verdict may."""
    merged = {(row.problem_id, row.attempt): row for row in rows}
    for old in read_attempts(stored):
        new = merged.get((old.problem_id, old.attempt), old)
        if new.text_sha256 != old.text_sha256 or new.grader_version == old.grader_version:
            merged[old.problem_id, old.attempt] = old
    return list(merged.values())


def row_bytes(row: ResultRow) -> bytes:
    """A result row as the bytes of its file: JSON, sorted keys."""
    return (json.dumps(to_json(row), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def read_row(data: bytes) -> ResultRow:
    """The row in a result file. Strict: nothing is coerced, dropped or guessed.

    Raises:
        ResultUnreadable: not JSON, a newer schema, or a field that is missing, unknown or of another type.
    """
    try:
        return _adapter().validate_json(upgraded(data, RESULT), strict=True, extra="forbid")
    except NewerVersion as newer:
        raise ResultUnreadable(str(newer)) from newer
    except ValidationError as error:
        raise ResultUnreadable(_faults(error)) from error


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[ResultRow]:
    return TypeAdapter(ResultRow)


def _faults(error: ValidationError) -> str:
    """What is wrong with a row's file, its unknown fields first: dataclasses would drop them in silence."""
    places = [(".".join(map(str, each["loc"])), each["type"], each["msg"]) for each in error.errors()]
    if places[0][1] == "json_invalid":
        return f"the result file is not JSON ({places[0][2]}); publish the result again"
    unknown = sorted(place for place, kind, _ in places if kind in UNKNOWN)
    if unknown:
        return f"the result file has fields that schema {SCHEMA} does not know: {', '.join(unknown)}"
    faults = "; ".join(f"{place}: {message}" for place, _, message in places[:5])
    return f"the result file is not a row of schema {SCHEMA}: {faults}"


def result_file(model: str, key: str) -> str:
    """Where the row of a model and plan key lies in the store."""
    return f"{RESULTS}{store_folder(model)}/{key}.json"


def problems_file(key: str) -> str:
    """Where the counts per problem of a plan key lie in the store."""
    return f"{PROBLEMS}{key}.parquet"


def attempts_file(key: str) -> str:
    """Where the attempts of a generation key lie in the store."""
    return f"{ATTEMPTS}{key}.parquet"


def store_folder(model: str) -> str:
    """`<owner>/<model>` as a path of the store.

    A server may list its model under any name at all: what is not plainly `owner/name` is filed under `_/`, by the
    letters a path may hold and a hash that keeps names apart.
    """
    part = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
    if re.fullmatch(f"{part}/{part}", model) and ".." not in model and not model.startswith("_/"):
        return model
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", model).strip("-")[:60]
    return f"_/{cleaned or 'model'}-{_sha256(model)[:8]}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
