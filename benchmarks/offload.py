"""Interrupted answers: when does keeping their KV cache in the host's memory beat recomputing it?

    python -m benchmarks.offload [--plot docs/images/offload.svg]

Per token the answer is arithmetic: reading back takes its bytes over the link's bandwidth, recomputing takes one over
the prefill speed (and attention on top, which grows with the answer). The simulation adds what it means for a run: how
much is interrupted at all depends on how many are in flight. Prints two tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.servers import H100, QWEN_7B, QWEN_32B, Gpu, Model, shape_of
from benchmarks.simulator import HostCache, ServerShape
from benchmarks.virtual_client import Outcome, adaptive, constant, in_simulator
from benchmarks.workloads import SHAPES, draw

LLAMA_2_7B = Model(parameters=6.7e9, layers=32, kv_heads=32, heads=32)
MODELS = {
    "7B, 4 of 28 heads, 1 GPU": (QWEN_7B, 1),
    "32B, 8 of 40 heads, 2 GPUs": (QWEN_32B, 2),
    "7B, 32 of 32 heads, 1 GPU": (LLAMA_2_7B, 1),
}
LINKS = {"PCIe 3, 12 GB/s": 12e9, "PCIe 4, 24 GB/s": 24e9, "PCIe 5, 50 GB/s": 50e9}
HOST_BYTES = 512e9
LENGTHS = (1_000, 4_000, 16_000, 32_000)
FIXED = 256


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attempts", type=int, default=16, help="per problem of 30, in the simulation")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    print("bandwidth to the host above which reading back beats recomputing, GB/s, by length of the interrupted answer")
    print(f"{'':<30}{'kB / token':>11}{'prefill tok/s':>15}" + "".join(f"{length:>9,}" for length in LENGTHS))
    curves = {}
    for name, (model, gpus) in MODELS.items():
        shape = shape_of(model, H100, gpus=gpus)
        even = [break_even(model, shape, length) / 1e9 for length in LENGTHS]
        curves[name] = list(zip(map(float, LENGTHS), even, strict=True))
        print(
            f"{name:<30}{model.kv_bytes / 1e3:>11.0f}{1 / shape.prefill_s:>15,.0f}"
            + "".join(f"{e:>9.1f}" for e in even)
        )
    print(f"\n{'wall time over the fastest row':<46}{'wall':>8}{'interrupted':>13}{'recomputed':>12}{'read back':>11}")
    for name, (model, gpus) in MODELS.items():
        simulated(name, model, gpus, H100, given.attempts)
    if given.plot:
        from benchmarks.plots import lines

        levels = {link: bandwidth / 1e9 for link, bandwidth in LINKS.items()}
        title = "Reading back wins above the line of its model"
        lines(
            given.plot, curves, x="tokens of the interrupted answer", y="GB/s to the host", levels=levels, title=title
        )


def break_even(model: Model, shape: ServerShape, tokens: int) -> float:
    """Bytes/s at which reading back `tokens` takes as long as computing them."""
    recompute_s = tokens * shape.prefill_s + shape.attend_s * tokens * tokens / 2
    return tokens * model.kv_bytes / recompute_s


def simulated(name: str, model: Model, gpus: int, gpu: Gpu, attempts: int) -> None:
    """The same workload with too many in flight and with the controller, recomputing and reading back."""
    work = draw("aime_2024", SHAPES["aime"], problems=30, attempts=attempts, seed=0)
    shape = shape_of(model, gpu, gpus=gpus)
    runs: dict[str, Outcome] = {}
    ways: dict[str, Callable[[ServerShape], Outcome]] = {
        f"{FIXED} in flight": lambda given: in_simulator(work, given, constant(FIXED)),
        "controller": lambda given: in_simulator(work, replace(given, watermark=0.05), adaptive),
    }
    for way, run in ways.items():
        runs[f"{way}, recomputing"] = run(shape)
        for link in ("PCIe 4, 24 GB/s", "PCIe 5, 50 GB/s"):
            host = HostCache(tokens=int(HOST_BYTES / model.kv_bytes), token_s=model.kv_bytes / LINKS[link])
            runs[f"{way}, {link}"] = run(replace(shape, host=host))
    fastest = min(run.wall_s for run in runs.values())
    print(name)
    for label, outcome in runs.items():
        print(
            f"    {label:<42}{outcome.wall_s / fastest:>8.3f}{outcome.preemptions:>13,}{outcome.recomputed:>12,}"
            f"{outcome.restored:>11,}",
            flush=True,
        )


if __name__ == "__main__":
    main()
