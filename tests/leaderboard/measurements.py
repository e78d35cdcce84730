"""Measurements for tests, made by the real code from scripted outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evaluator.benchmarks import benchmark
from evaluator.measure import measure
from evaluator.plan import problems_hash
from evaluator.types import (
    Checkpoint,
    Completion,
    EngineFacts,
    EvalPlan,
    Extraction,
    Lineage,
    Measurement,
    Sample,
    Score,
    Verdict,
)
from leaderboard.results import publish_changes
from leaderboard.store import Store, update

COMMIT = "a" * 40
FACTS = EngineFacts(engine="vLLM", version="0.31.0", tensor_parallel_size=2, device="NVIDIA H100")


def samples_of(bench_name: str, problems: int, attempts: int) -> tuple[Sample, ...]:
    """Problems p000, p001, ... ; for letters one sample per attempt, the right option first under a moving letter."""
    ids = [f"p{n:03d}" for n in range(problems)]
    if benchmark(bench_name).extraction is Extraction.LETTER:
        orders = ["0123", "1023", "1203", "1230"]
        return tuple(
            Sample(
                problem_id=problem_id,
                prompt=f"secret question {problem_id}, {order}",
                target="ABCD"[order.index("0")],
                attempt=attempt,
                options=tuple(order),
            )
            for problem_id in ids
            for attempt in range(attempts)
            for order in [orders[attempt % 4]]
        )
    return tuple(Sample(problem_id=i, prompt=f"What is {i}?", target=i.removeprefix("p")) for i in ids)


def measurement(
    correct: Sequence[int], *, bench: str = "arithmetic", attempts: int = 4, model: str = "owner/model", **plan: Any
) -> Measurement:
    """A whole run in which problem n has its first `correct[n]` attempts right. Every answer has 10 tokens."""
    samples = samples_of(bench, len(correct), attempts)
    protocol = benchmark(bench)
    made = EvalPlan(
        benchmark=bench,
        benchmark_version=protocol.version,
        model=model,
        commit=COMMIT,
        problems_hash=problems_hash(samples),
        chat_template_hash="template",
        prompt_opens_thought=True,
        max_tokens=protocol.max_tokens,
        attempts=attempts,
        grader_version="1",
    )
    targets = {(s.problem_id, s.attempt): s.target for s in samples}
    keys = [(f"p{n:03d}", attempt) for n in range(len(correct)) for attempt in range(attempts)]
    return measure(
        replace(made, **plan),
        samples=samples,
        completions=[_completion(problem, attempt) for problem, attempt in keys],
        refusals=(),
        scores=[
            _score(
                problem,
                attempt,
                attempt < correct[int(problem[1:])],
                targets.get((problem, attempt)) or targets[problem, None],
            )
            for problem, attempt in keys
        ],
        engine=FACTS,
        wall_seconds=60.0,
        equal=lambda a, b: a == b,
    )


def _completion(problem_id: str, attempt: int) -> Completion:
    return Completion(
        problem_id=problem_id,
        attempt=attempt,
        seed=1000 + attempt,
        text=f"answer {attempt} to {problem_id}",
        reasoning="a thought",
        finish_reason="stop",
        completion_tokens=10,
        prompt_tokens=5,
        latency_s=0.5,
        retries=1,
    )


def _score(problem_id: str, attempt: int, right: bool, target: str) -> Score:
    return Score(
        problem_id=problem_id,
        attempt=attempt,
        verdict=Verdict.CORRECT if right else Verdict.INCORRECT,
        answer=target if right else "Z",
        truncated=False,
    )


def checkpoint(model: str = "owner/model", *, step: int | None = None, run: str = "demo") -> Checkpoint:
    """Weights of a Hub model, or of a checkpoint trained here."""
    if step is None:
        return Checkpoint(model=model, revision="main", commit=COMMIT)
    lineage = Lineage(run=run, step=step, recipe_hash="recipe", tokens=step * 1000)
    return Checkpoint(model=model, revision=f"step-{step:09d}", commit=COMMIT, lineage=lineage)


def publish(
    store: Store, *measurements: Measurement, at: str = "2026-01-02T03:04:05+00:00", weights: Checkpoint | None = None
) -> tuple[str, ...]:
    """Publish measurements of one model in one commit; returns their plan keys."""
    names: list[tuple[str, ...]] = []

    def edit(snapshot: Any) -> Any:
        keys, changes = publish_changes(
            measurements,
            checkpoint=weights or checkpoint(measurements[0].plan.model),
            measured_at=at,
            stored=snapshot,
        )
        names.append(keys)
        return changes

    update(store, edit, message="published")
    return names[-1]
