"""What a run will take: tokens, hours and cost, before anything is started.

The speed of a server is a roofline, not a measurement: each step reads the weights (of the experts, those that a batch
touches) and the cache of every running answer, or computes two operations per weight and answer, whichever takes
longer, at EFFICIENCY of what the maker promises, plus a fixed time per step. Lengths are those of recorded models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evaluator import prices
from evaluator.checkpoint import ModelShape
from evaluator.devices import Devices
from evaluator.engine_plan import EnginePlan
from evaluator.hardware import Accelerator, accelerator_of
from evaluator.kv_memory import BYTES_PER_ELEMENT, kv_bytes_per_gpu
from evaluator.lengths import Tokens, expected_tokens
from evaluator.types import EvalPlan

EFFICIENCY = 0.6
STEP_OVERHEAD_S = {"cuda": 0.006, "cpu": 0.015}
EXPERT_SHARE = 0.95  # of the weights of a model with experts
TAIL_SHARE = 0.5  # of a full-length answer alone in the server, by which the last one outlives the others


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """A run's size. Hours and dollars are (expected, low, high); None where nothing is known of the hardware.

    `parallel` is how many requests one server is expected to run at once.
    """

    attempts: int
    tokens: Tokens
    parallel: int
    tokens_per_s: float | None = None
    hours: tuple[float, float, float] | None = None
    gpu_hours: tuple[float, float, float] | None = None
    dollars: tuple[float, float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What is asked: attempts of so many tokens each, after prompts of so many."""

    attempts: int
    each: Tokens
    prompt_tokens: int
    max_tokens: int


def work_of(plans: Sequence[tuple[EvalPlan, int]], prompt_tokens: int) -> Work:
    """All benchmarks of a checkpoint together; each plan comes with its number of attempts."""
    attempts = sum(count for _, count in plans)
    lengths = [expected_tokens(plan) for plan, _ in plans]

    def mean(values: Iterable[float]) -> float:
        return sum(value * count for value, (_, count) in zip(values, plans, strict=True)) / max(attempts, 1)

    return Work(
        attempts=attempts,
        each=Tokens(
            mean=mean(each.mean for each in lengths),
            low=mean(each.low for each in lengths),
            high=mean(each.high for each in lengths),
        ),
        prompt_tokens=prompt_tokens,
        max_tokens=max((plan.max_tokens for plan, _ in plans), default=0),
    )


def forecast(
    work: Work,
    plan: EnginePlan,
    shape: ModelShape,
    devices: Devices,
    *,
    dollars_per_gpu_hour: float | None = None,
) -> Forecast:
    """What some work takes on the planned servers. A price of None takes the table's (see `evaluator/prices.py`)."""
    total = Tokens(
        mean=work.attempts * work.each.mean, low=work.attempts * work.each.low, high=work.attempts * work.each.high
    )
    parallel = _parallel(work, plan, work.each.mean)
    accelerator = accelerator_of(devices)
    if accelerator is None:
        return Forecast(attempts=work.attempts, tokens=total, parallel=parallel)
    speeds = [
        _tokens_per_s(_parallel(work, plan, mean), work.prompt_tokens + mean / 2, plan, shape, accelerator)
        for mean in (work.each.mean, work.each.low, work.each.high)
    ]
    alone = _tokens_per_s(1, work.prompt_tokens + work.max_tokens / 2, plan, shape, accelerator)
    tail_s = TAIL_SHARE * work.max_tokens / alone
    tokens = (total.mean, total.low, total.high)
    hours = tuple((n / (speed * plan.replicas) + tail_s) / 3600 for n, speed in zip(tokens, speeds, strict=True))
    gpus = plan.gpus_each * plan.replicas if plan.device == "cuda" else 0
    price = prices.dollars_per_gpu_hour(devices) if dollars_per_gpu_hour is None else dollars_per_gpu_hour
    return Forecast(
        attempts=work.attempts,
        tokens=total,
        parallel=parallel,
        tokens_per_s=speeds[0] * plan.replicas,
        hours=_three(hours),
        gpu_hours=_three(tuple(h * gpus for h in hours)) if gpus else None,
        dollars=_three(tuple(h * gpus * price for h in hours)) if gpus and price is not None else None,
    )


def _parallel(work: Work, plan: EnginePlan, mean: float) -> int:
    """Requests that one server runs at once: half way through answers of this mean length the cache is full."""
    fit = plan.kv_cache_tokens / (work.prompt_tokens + mean / 2) if mean else 1.0
    share = -(-work.attempts // plan.replicas)
    return max(1, int(min(plan.max_num_seqs, fit, share)))


def _tokens_per_s(batch: int, context: float, plan: EnginePlan, shape: ModelShape, accelerator: Accelerator) -> float:
    """Of one server that runs `batch` answers of `context` tokens each."""
    gpus = plan.gpus_each if plan.device == "cuda" else 1
    cache = batch * context * kv_bytes_per_gpu(shape, plan.tensor_parallel_size, plan.pipeline_parallel_size)
    reading = (shape.weight_bytes * _touched(shape, batch) / gpus + cache) / accelerator.bandwidth
    weights = shape.weight_bytes / BYTES_PER_ELEMENT * _touched(shape, 1)
    computing = 2 * weights * batch / gpus / accelerator.speed
    stages = plan.pipeline_parallel_size  # a token passes them one after another
    return batch / (stages * max(reading, computing) / EFFICIENCY + STEP_OVERHEAD_S[plan.device])


def _touched(shape: ModelShape, batch: int) -> float:
    """The share of the weights that a step of `batch` answers reads, if experts are chosen evenly."""
    if not shape.experts or not shape.experts_per_token:
        return 1.0
    unused = (1 - shape.experts_per_token / shape.experts) ** batch
    return 1 - EXPERT_SHARE * unused


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    expected, low, high = values
    return expected, low, high
