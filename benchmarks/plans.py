"""How four published models would be served on five kinds of machines, and what the whole suite would take there.

    python -m benchmarks.plans [--arithmetic] [--gpu-price P]

Nothing runs: the plans are those of `python -m backend_jobs plan`, made from each model's shape (`model_shapes.json`),
with the hours and dollars of the same forecast: expectations by the hardware's figures and recorded lengths, not
measurements.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from evaluator.benchmarks import BENCHMARKS
from evaluator.checkpoint import ModelShape
from evaluator.devices import GIB, Devices, this_processor
from evaluator.engine_plan import EnginePlan, plan_engine
from evaluator.errors import PlanRejected
from evaluator.forecast import Forecast, Work, forecast
from evaluator.hardware import named_devices
from evaluator.kv_memory import ACTIVATION_BYTES, GPU_MEMORY_UTILIZATION, kv_bytes_per_gpu
from evaluator.lengths import Tokens, expected_of

MACHINES = ("h200x8", "2x8 H100", "l40sx4", "rtx4090", "cpu")
PROMPT_TOKENS = 1024


def main() -> None:
    """Print one row for each model on each machine, and with `--arithmetic` how its numbers come about."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arithmetic", action="store_true", help="show how each row is worked out")
    parser.add_argument("--gpu-price", type=float, help="dollars per GPU and hour where no list price is known")
    given = parser.parse_args()
    shapes = json.loads(Path(__file__).with_name("model_shapes.json").read_text(encoding="utf-8"))["models"]
    work = suite()
    print(
        f"The suite: {work.attempts:,} answers, {work.attempts * work.each.mean / 1e6:.0f} million tokens expected.\n"
    )
    print("| model | machine | tensor x pipeline | replicas | 32k answers at once | hours | GPU hours | dollars |")
    print("|---|---|---|---|---|---|---|---|")
    shown = []
    for name, numbers in shapes.items():
        for machine in MACHINES:
            row, arithmetic = planned(name, ModelShape(**numbers), machine, work, given.gpu_price)
            print(row)
            shown.append(arithmetic)
    if given.arithmetic:
        print("\n" + "\n\n".join(shown))


def suite() -> Work:
    """Every ranked benchmark with the protocol's attempts and budget."""
    ranked = [each for each in BENCHMARKS.values() if not each.demonstration]
    counts = [each.problems * each.attempts for each in ranked]
    lengths = [expected_of(each.name, each.max_tokens) for each in ranked]

    def mean(values: list[float]) -> float:
        return sum(value * count for value, count in zip(values, counts, strict=True)) / sum(counts)

    each = Tokens(
        mean=mean([of.mean for of in lengths]),
        low=mean([of.low for of in lengths]),
        high=mean([of.high for of in lengths]),
    )
    budget = max(each.max_tokens for each in ranked)
    return Work(attempts=sum(counts), each=each, prompt_tokens=PROMPT_TOKENS, max_tokens=budget)


def planned(name: str, shape: ModelShape, machine: str, work: Work, price: float | None) -> tuple[str, str]:
    """The row of one model on one machine, and its arithmetic."""
    short, devices = name.partition("/")[2], this_processor() if machine == "cpu" else named_devices(machine)
    label = f"this CPU ({devices.count} cores, {devices.memory_bytes / GIB:.0f} GiB)" if machine == "cpu" else machine
    try:
        plan = plan_engine(
            shape,
            devices=devices,
            prompt_tokens=work.prompt_tokens,
            max_tokens=work.max_tokens,
            mean_tokens=work.each.mean,
        )
    except PlanRejected as rejected:
        return f"| {short} | {label} | does not fit | | | | | |", f"{short} on {label}: {rejected}"
    expected = forecast(work, plan, shape, devices)
    if expected.dollars is None and price is not None:
        expected = forecast(work, plan, shape, devices, dollars_per_gpu_hour=price)
    at_once = plan.kv_cache_tokens // plan.max_model_len
    cells = [
        short,
        label,
        f"{plan.tensor_parallel_size} x {plan.pipeline_parallel_size}",
        str(plan.replicas),
        f"{at_once} each, {at_once * plan.replicas} in all" if plan.replicas > 1 else str(at_once),
        span(expected.hours),
        span(expected.gpu_hours),
        span(expected.dollars),
    ]
    return f"| {' | '.join(cells)} |", arithmetic(short, label, shape, devices, plan, expected)


def arithmetic(name: str, label: str, shape: ModelShape, devices: Devices, plan: EnginePlan, expected: Forecast) -> str:
    """What the numbers of a row are made of."""
    gpus, context = plan.gpus_each, plan.max_model_len
    lines, weights = [f"{name} on {label} ({devices})"], shape.weight_bytes / GIB
    at_once = plan.kv_cache_tokens // context
    tokens = f"{plan.kv_cache_tokens:,} tokens; / {context:,} = {at_once} answers of full length"
    if plan.device == "cuda":
        memory, held = devices.memory_bytes / GIB, ACTIVATION_BYTES / GIB
        free = memory * GPU_MEMORY_UTILIZATION - held - weights / gpus
        each = kv_bytes_per_gpu(shape, plan.tensor_parallel_size, plan.pipeline_parallel_size) / 1024
        lines += [
            f"  each GPU: {memory:.1f} GiB x {GPU_MEMORY_UTILIZATION} - {held:.0f} GiB for activations - "
            f"{weights:.1f} / {gpus} GiB of weights = {free:.1f} GiB for the cache",
            f"  {free:.1f} GiB / {each:.1f} KiB a token = {tokens}",
        ]
    else:
        lines.append(f"  {plan.kv_cache_bytes / GIB:.0f} GiB of cache beside {weights:.1f} GiB of weights = {tokens}")
    if expected.tokens_per_s is not None:
        lines.append(
            f"  {expected.tokens.mean / 1e6:.0f} million tokens / {expected.tokens_per_s:,.0f} tokens/s (about "
            f"{expected.parallel} at once in each of {plan.replicas}), and the last answers: {span(expected.hours)} h"
        )
    return "\n".join(lines)


def span(values: tuple[float, float, float] | None) -> str:
    """Expected, and from low to high; a dash where nothing is known."""
    if values is None:
        return "-"
    expected, low, high = (f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in values)
    return f"{expected} ({low} to {high})"


if __name__ == "__main__":
    main()
