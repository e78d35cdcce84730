"""A board of any size to measure with: models whose abilities and problems whose difficulties are drawn, then counted.

Every result is what a publication writes (row and counts per problem; no attempts), so that the board reads, ranks and
serves it as any other. Nothing of it is a measurement of a real model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluator import statistics
from evaluator.benchmarks import BENCHMARKS
from evaluator.grading import GRADER_VERSION
from evaluator.plan import generation_key, plan_key, protocol_key
from evaluator.types import Benchmark, EngineFacts, EvalPlan, ModelFacts, ModelKind, Statistics
from leaderboard.results import problems_file, result_file, row_bytes
from leaderboard.sqlite_store import SqliteStore
from leaderboard.table import problems_parquet
from leaderboard.types import ProblemRow, ResultRow

MODELS_PER_COMMIT = 250
OWNERS = (
    "aurora-lab",
    "deepfield",
    "hillside-ai",
    "nmt",
    "open-mind-research",
    "quanta",
    "river-nlp",
    "tundra",
    "zhiyuan-x",
)
WORDS = ("Reason", "Think", "Math", "Zero", "Distill", "Instruct", "Coder", "Prover", "Nova", "Lumen", "Atlas", "Sage")
SIZES = (0.5, 1.5, 1.8, 3.0, 7.6, 8.0, 14.8, 32.8, 70.6)
LICENCES = ("apache-2.0", "mit", "llama3.1", "cc-by-nc-4.0", "gemma", None)


def fill(path: Path, models: int, *, seed: int = 0) -> None:
    """Publish `models` models on every benchmark into a new store."""
    store = SqliteStore(path)
    for start in range(0, models, MODELS_PER_COMMIT):
        changes: dict[str, bytes | None] = {}
        for number in range(start, min(start + MODELS_PER_COMMIT, models)):
            changes |= dict(files_of(number, seed=seed))
        store.commit(changes, parent=store.version(), message=f"models from {start}")


def files_of(number: int, *, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """The files of one model's results on all benchmarks."""
    generator = np.random.default_rng((seed, number))
    size = SIZES[generator.integers(len(SIZES))]
    ability = float(generator.normal(0.35 * np.log2(size), 1.1))
    words = [WORDS[place] for place in generator.integers(len(WORDS), size=2)]
    name = f"{OWNERS[generator.integers(len(OWNERS))]}/{'-'.join(words)}-{size:g}B-{number:05d}"
    kinds = (None, *ModelKind)
    facts = ModelFacts(
        parameters=int(size * 1e9),
        kind=kinds[generator.integers(len(kinds))],
        licence=LICENCES[generator.integers(len(LICENCES))],
    )
    commit = generator.bytes(20).hex()
    for place, bench in enumerate(BENCHMARKS.values()):
        hardness = np.random.default_rng((seed, 10**9 + place)).normal(0.8, 1.6, bench.problems)
        chance = 1 / (1 + np.exp(hardness - ability - generator.normal(0, 0.35)))
        yield from _result(bench, generator.binomial(bench.attempts, chance), name, commit, facts, generator)


def _result(
    bench: Benchmark, right: np.ndarray, name: str, commit: str, facts: ModelFacts, generator: np.random.Generator
) -> Iterator[tuple[str, bytes]]:
    plan = EvalPlan(
        benchmark=bench.name,
        benchmark_version=bench.version,
        model=name,
        commit=commit,
        problems_hash=f"{bench.problems:016x}",
        chat_template_hash=commit[:16],
        prompt_opens_thought=True,
        max_tokens=bench.max_tokens,
        attempts=bench.attempts,
        grader_version=GRADER_VERSION,
    )
    means = right / bench.attempts
    answers = bench.problems * bench.attempts
    cut = int(generator.integers(0, answers // 5))
    tokens = float(np.exp(generator.normal(8.6, 0.6))) if bench.max_tokens > 1000 else float(generator.uniform(30, 90))
    low, high = statistics.interval(means, draws=answers)
    score = float(means.mean()) * 100
    key = plan_key(plan)
    row = ResultRow(
        plan_key=key,
        generation_key=generation_key(plan),
        protocol_key=protocol_key(plan),
        benchmark=bench.name,
        model=name,
        revision="main",
        commit=commit,
        ranked=True,
        not_ranked_because="",
        plan=plan,
        statistics=Statistics(
            score=score,
            stderr_questions=float(means.std(ddof=1)) / bench.problems**0.5 * 100,
            stderr_decoding=float(np.sqrt((means * (1 - means)).sum() / (bench.attempts - 1))) / bench.problems * 100,
            ci95=(low, high),
            pass_at_n=float((right > 0).mean()) * 100,
            maj_at_n=float((means > 0.5).mean()) * 100,
        ),
        problems=bench.problems,
        attempts_per_problem=bench.attempts,
        verdicts={
            "correct": int(right.sum()),
            "incorrect": answers - int(right.sum()) - cut // 2,
            "no_answer": cut // 2,
        },
        truncated=cut,
        truncation_unknown=0,
        answered_in_thought=0,
        mean_completion_tokens=tokens,
        completion_tokens=int(tokens * answers),
        wall_seconds=float(generator.uniform(600, 9000)),
        engine=EngineFacts(engine="vllm", version="0.31.0", tensor_parallel_size=1, device="NVIDIA H100"),
        measured_at=f"2026-{1 + int(generator.integers(10)):02d}-{1 + int(generator.integers(28)):02d}T12:00:00+00:00",
        facts=facts,
    )
    yield result_file(name, key), row_bytes(row)
    yield problems_file(key), problems_parquet(_counts(bench, key, right, tokens))


def _counts(bench: Benchmark, key: str, right: np.ndarray, tokens: float) -> list[ProblemRow]:
    usual = ProblemRow(
        plan_key=key, problem_id="", n=bench.attempts, correct=0, no_answer=0, truncated=0, mean_tokens=tokens
    )
    return [replace(usual, problem_id=f"{bench.name}-{i:04d}", correct=int(count)) for i, count in enumerate(right)]
