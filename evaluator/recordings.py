"""Recorded completions as something to measure again: rows of a file, the plans they answer, the replies to serve.

A problem's prompt is its id: what was asked stays with whoever recorded the answer, and no model reads it here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator import grading, plan
from evaluator.errors import CompletionsRejected
from evaluator.grade_file import completion_rows, row_field
from evaluator.prepare import Evaluation
from evaluator.replay import Reply, ReplyKey
from evaluator.types import Benchmark, EvalPlan, Extraction, Sample

MAX_TOKENS = 32_768
"""Asked for with every request, as a protocol would; the recorded completions are as long as they are."""

AttemptKey = tuple[str, str, int]
"""(benchmark, problem, attempt)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One recorded completion and what its author's grader said of it. `sample` tells attempts at a problem apart."""

    model: str
    benchmark: str
    problem_id: str
    sample: int
    target: str
    author_correct: bool
    reply: Reply


def read_recordings(files: Iterable[Path]) -> list[Recording]:
    """Every row of some files of completions, in order.

    A row needs model, benchmark, problem_id, completion, gold and author_verdict; it may have sample (0), reasoning,
    finish_reason and n_tokens.

    Raises:
        CompletionsRejected: a row lacks one of them, or an attempt comes twice; the message names file and line.
    """
    found: dict[tuple[str, str, str, int], Recording] = {}
    for path in files:
        for line, row in completion_rows(path):
            recording = _recording(row, f"{path} line {line}")
            key = (recording.model, recording.benchmark, recording.problem_id, recording.sample)
            if key in found:
                raise CompletionsRejected(
                    f"{path} line {line}: sample {key[3]} of problem {key[2]} ({key[1]}, {key[0]}) was read before; "
                    "give every completion a sample number of its own"
                )
            found[key] = recording
    return list(found.values())


def evaluations_of(recordings: Sequence[Recording]) -> list[Evaluation]:
    """One model's benchmarks, ready to run: the recorded samples of a problem are its attempts.

    Raises:
        CompletionsRejected: the problems of a benchmark have different numbers of samples, or a problem has two golds.
    """
    by_benchmark: dict[str, list[Recording]] = defaultdict(list)
    for recording in recordings:
        by_benchmark[recording.benchmark].append(recording)
    return [_evaluation(name, these) for name, these in by_benchmark.items()]


def recorded_attempts(recordings: Iterable[Recording]) -> dict[AttemptKey, Recording]:
    """The recordings of one model by (benchmark, problem, attempt): attempt n is the sample with the n-th number."""
    seen: Counter[tuple[str, str]] = Counter()
    attempts = {}
    for recording in sorted(recordings, key=lambda r: r.sample):
        problem = (recording.benchmark, recording.problem_id)
        attempts[*problem, seen[problem]] = recording
        seen[problem] += 1
    return attempts


def replies_to(evaluations: Iterable[Evaluation], recordings: Iterable[Recording]) -> dict[ReplyKey, Reply]:
    """What a server has to say to each request of one model's evaluations."""
    attempts = recorded_attempts(recordings)
    return {
        (e.plan.model, request.prompt, request.seed): attempts[e.bench.name, request.problem_id, request.attempt].reply
        for e in evaluations
        for request in plan.requests(e.plan, e.samples)
    }


def _evaluation(name: str, recordings: Sequence[Recording]) -> Evaluation:
    samples = _samples(name, recordings)
    bench = Benchmark(
        name=name,
        title=name,
        version=1,
        dataset="recorded completions",
        subset="",
        split="",
        problems=len(samples),
        attempts=len(recordings) // len(samples),
        max_tokens=MAX_TOKENS,
        extraction=Extraction.MATH,
    )
    eval_plan = EvalPlan(
        benchmark=name,
        benchmark_version=bench.version,
        model=recordings[0].model,
        commit=None,
        problems_hash=plan.problems_hash(samples),
        chat_template_hash=None,
        prompt_opens_thought=False,
        max_tokens=MAX_TOKENS,
        attempts=bench.attempts,
        grader_version=grading.GRADER_VERSION,
    )
    return Evaluation(bench=bench, plan=eval_plan, samples=samples)


def _samples(name: str, recordings: Sequence[Recording]) -> tuple[Sample, ...]:
    """One sample per problem, in the order of the recordings; every problem must be recorded alike."""
    golds: dict[str, list[str]] = defaultdict(list)
    for recording in recordings:
        golds[recording.problem_id].append(recording.target)
    attempts = len(next(iter(golds.values())))
    for problem_id, these in golds.items():
        if len(these) != attempts or len(set(these)) != 1:
            raise CompletionsRejected(
                f"{recordings[0].model} on {name}: problem {problem_id} has {len(these)} samples and golds "
                f"{sorted(set(these))}, expected {attempts} samples, as of the first problem, and one gold"
            )
    return tuple(
        Sample(problem_id=problem_id, prompt=f"{name}: {problem_id}", target=these[0])
        for problem_id, these in golds.items()
    )


def _recording(row: dict[str, Any], where: str) -> Recording:
    needed = {
        "model": (str,),
        "benchmark": (str,),
        "problem_id": (str, int),
        "completion": (str,),
        "gold": (str, int, float),
        "author_verdict": (bool,),
    }
    values = {name: row_field(row, name, kinds, where) for name, kinds in needed.items()}
    if missing := [name for name, value in values.items() if value is None]:
        raise CompletionsRejected(f"{where} has no {', '.join(missing)}; a row to replay needs {', '.join(needed)}")
    return Recording(
        model=values["model"],
        benchmark=values["benchmark"],
        problem_id=str(values["problem_id"]),
        sample=row_field(row, "sample", (int,), where) or 0,
        target=str(values["gold"]),
        author_correct=values["author_verdict"],
        reply=Reply(
            text=values["completion"],
            reasoning=row_field(row, "reasoning", (str,), where),
            finish_reason=row_field(row, "finish_reason", (str,), where),
            completion_tokens=row_field(row, "n_tokens", (int,), where),
        ),
    )
