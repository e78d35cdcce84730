"""From a checkpoint and a list of benchmarks to plans that are ready to run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluator import grading, plan, template
from evaluator.benchmarks import benchmark
from evaluator.checkpoint import read_quantization
from evaluator.errors import PlanRejected
from evaluator.samples import load_samples
from evaluator.types import Benchmark, Checkpoint, EvalPlan, Sample, Sampling


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a person may ask for beside model and benchmarks.

    None means the protocol's own value, what is planned, and for `concurrency` what the servers' metrics allow.
    """

    attempts: int | None = None
    max_tokens: int | None = None
    limit: int | None = None
    tensor_parallel_size: int | None = None
    replicas: int | None = None
    concurrency: int | None = None
    run: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptFacts:
    """What is known of how the model sees a prompt. `tokens` is the longest prompt's length; None where unknown."""

    chat_template_hash: str | None = None
    opens_thought: bool = False
    tokens: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One benchmark of one checkpoint, ready to run: its plan and the samples that the plan's hash covers."""

    bench: Benchmark
    plan: EvalPlan
    samples: tuple[Sample, ...]


def load_all(
    names: Sequence[str], options: Options, mirror: Path | None
) -> list[tuple[Benchmark, int, tuple[Sample, ...]]]:
    """(benchmark, attempts, every sample) for each name, in the order given."""
    loaded = []
    for name in dict.fromkeys(names):
        bench = benchmark(name)
        attempts = options.attempts or bench.attempts
        loaded.append((bench, attempts, load_samples(bench, attempts=attempts, mirror=mirror)))
    return loaded


def local_prompt_facts(folder: Path, samples: Sequence[Sample]) -> PromptFacts:
    """Template, thought and longest prompt, read from the checkpoint that will be served."""
    chat_template = template.read_template(folder)
    prompts = [sample.prompt for sample in samples]
    rendered = chat_template.render(prompts)
    template.check_frame(rendered, prompts)
    return PromptFacts(
        chat_template_hash=chat_template.hash,
        opens_thought=template.opens_thought(rendered[0]),
        tokens=template.longest_tokens(folder, rendered),
    )


def make_plans(
    checkpoint: Checkpoint,
    loaded: Sequence[tuple[Benchmark, int, tuple[Sample, ...]]],
    *,
    options: Options,
    facts: PromptFacts,
    endpoint: str | None = None,
) -> list[Evaluation]:
    """One plan per benchmark.

    Raises:
        PlanRejected: an option is out of bounds.
        CheckpointRejected: its config cannot be read.
    """
    _check(options)
    quantization = read_quantization(checkpoint.path) if checkpoint.path else None
    return [
        _evaluation(checkpoint, *entry, options=options, facts=facts, endpoint=endpoint, quantization=quantization)
        for entry in loaded
    ]


def _evaluation(
    checkpoint: Checkpoint,
    bench: Benchmark,
    attempts: int,
    samples: tuple[Sample, ...],
    *,
    options: Options,
    facts: PromptFacts,
    endpoint: str | None,
    quantization: str | None,
) -> Evaluation:
    eval_plan = EvalPlan(
        benchmark=bench.name,
        benchmark_version=bench.version,
        model=checkpoint.model,
        commit=checkpoint.commit,
        problems_hash=plan.problems_hash(samples),
        chat_template_hash=facts.chat_template_hash,
        prompt_opens_thought=facts.opens_thought,
        max_tokens=options.max_tokens or bench.max_tokens,
        attempts=attempts,
        grader_version=grading.GRADER_VERSION,
        sampling=Sampling(),
        quantization=quantization,
        run=options.run,
        limit=options.limit if options.limit and options.limit < bench.problems else None,
        endpoint=endpoint,
    )
    return Evaluation(bench=bench, plan=eval_plan, samples=limited(samples, eval_plan.limit))


def limited(samples: tuple[Sample, ...], limit: int | None) -> tuple[Sample, ...]:
    """The samples of the first `limit` problems in the order of their hashed ids: a fixed, unsorted choice."""
    if limit is None:
        return samples
    ids = sorted({s.problem_id for s in samples}, key=lambda text: hashlib.sha256(text.encode()).digest())
    kept = set(ids[:limit])
    return tuple(sample for sample in samples if sample.problem_id in kept)


def with_grader(evaluation: Evaluation, grader_version: str) -> Evaluation:
    """The same plan under another grader: its completions are the same ones."""
    return replace(evaluation, plan=replace(evaluation.plan, grader_version=grader_version))


def _check(options: Options) -> None:
    bounds = {
        "--attempts": (options.attempts, 4096),
        "--max-tokens": (options.max_tokens, 1_000_000),
        "--limit": (options.limit, 1_000_000),
        "--concurrency": (options.concurrency, 100_000),
        "--replicas": (options.replicas, 1024),
        "--tensor-parallel-size": (options.tensor_parallel_size, 1024),
    }
    for name, (value, most) in bounds.items():
        if value is not None and not 1 <= value <= most:
            raise PlanRejected(f"{name} is {value}, expected a whole number from 1 to {most}")
