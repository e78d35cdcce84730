"""How many in flight: the product's controller beside the best constant, a fixed 500 and "as many as fit for sure".

    python -m benchmarks.concurrency [--plot docs/images/concurrency.svg]

Simulated servers (benchmarks/simulator.py) of one model at three prefill speeds, which is what a preemption costs. The
best constant is found by trying. Prints one table of wall times over that of the best constant.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.servers import LONGEST_ANSWER, SEVEN_B
from benchmarks.simulator import ServerShape
from benchmarks.virtual_client import Outcome, adaptive, constant, in_simulator
from benchmarks.workloads import SHAPES, Attempt, describe, suite

PREFILL_TOKENS_PER_S = (2_000, 8_000, 32_000)
WATERMARK = 0.05
FIXED = 500
CONSTANTS = (64, 80, 96, 112, 128, 144, 160, 192, 256)


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, help="draw the caps of the controller into this file")
    given = parser.parse_args()
    (attempts,) = suite(("aime_2024",), SHAPES, seed=given.seed)
    tokens = SEVEN_B.kv_blocks * SEVEN_B.block_tokens
    certain = tokens // LONGEST_ANSWER
    print(f"{describe(attempts)}; KV cache {tokens:,} tokens: {certain} answers of {LONGEST_ANSWER:,}")
    print(f"{'':<18}{'best constant':^30}{'wall time over it':^42}{'preemptions':^24}")
    print(
        f"{'prefill tokens/s':<18}{'in flight':>12}{'wall h':>9}{'':>9}{'controller':>12}"
        f"{'fixed 500':>12}{f'{certain} fit':>9}{'':>9}{'controller':>12}{'fixed 500':>12}"
    )
    histories = {}
    for speed in PREFILL_TOKENS_PER_S:
        shape = replace(SEVEN_B, prefill_s=1 / speed, watermark=WATERMARK)
        best, least = best_constant(attempts, shape)
        ours = in_simulator(attempts, shape, adaptive)
        fixed = in_simulator(attempts, replace(shape, watermark=0.0), constant(FIXED))
        few = in_simulator(attempts, shape, constant(certain))
        histories[speed] = ours.caps, best
        print(
            f"{speed:<18,}{best:>12}{least.wall_s / 3600:>9.2f}{'':>9}{_over(ours, least):>12}{_over(fixed, least):>12}"
            f"{_over(few, least):>9}{'':>9}{ours.preemptions:>12,}{fixed.preemptions:>12,}",
            flush=True,
        )
    if given.plot:
        plot(histories, given.plot)


def best_constant(attempts: Sequence[Attempt], shape: ServerShape) -> tuple[int, Outcome]:
    """The constant with the shortest wall time, and its run."""
    tried = ((cap, in_simulator(attempts, shape, constant(cap))) for cap in CONSTANTS)
    return min(tried, key=lambda pair: pair[1].wall_s)


def _over(run: Outcome, best: Outcome) -> str:
    return f"{run.wall_s / best.wall_s - 1:+.1%}"


def plot(histories: dict[int, tuple[tuple[tuple[float, int], ...], int]], path: Path) -> None:
    """The cap over time, one line per prefill speed, with the best constant as a dashed one."""
    from benchmarks.plots import lines

    series = {
        f"{speed:,} tokens/s": [(at / 3600, float(cap)) for at, cap in caps] for speed, (caps, _) in histories.items()
    }
    flat = {f"{speed:,} tokens/s": float(best) for speed, (_, best) in histories.items()}
    lines(
        path,
        series,
        x="hours",
        y="requests in flight",
        levels=flat,
        title="Cap of the controller; dashed: best constant",
    )


if __name__ == "__main__":
    main()
