"""How much the order of requests costs: wall time over the lower bound, in a model of slots.

    python -m benchmarks.order [--lengths SUMMARIES.json] [--seeds 20]

An answer takes its length; the bound is max(longest answer, all tokens / slots). Prints one table: fixed batches, a
stream in the order listed, the product's order (probes, then longest expected), and an oracle that knows every length.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from benchmarks.virtual_client import bound, first_come, in_slots, longest_first
from benchmarks.workloads import SHAPES, Attempt, LengthShape, draw, read_shapes, suite

BATCH = 500
SUITES = {
    "AIME x 64": ("aime_2024",),
    "MATH-500 x 4": ("math_500",),
    "four benchmarks, merged": ("aime_2024", "aime_2025", "math_500", "gpqa"),
}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--lengths", type=Path, help="a JSON file of length summaries to fit instead of the built-in fits"
    )
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    shapes = read_shapes(given.lengths) if given.lengths else SHAPES
    print(f"wall time over the bound, mean of {given.seeds} seeds (spread of ours minus first come)")
    print(
        f"{'workload':<34}{'slots':>6}{'batches':>9}{'first come':>12}{'ours':>8}{'oracle':>8}{'ours - first come':>20}"
    )
    for name, benchmarks in SUITES.items():
        line(name, 256, [parts_of(benchmarks, shapes, seed) for seed in range(given.seeds)])
    rows = [
        [draw("rows", shapes["rows"], problems=20_000, attempts=1, seed=seed)] for seed in range(min(3, given.seeds))
    ]
    line("20,000 rows x 1", 500, rows)


def parts_of(names: tuple[str, ...], shapes: dict[str, LengthShape], seed: int) -> list[list[Attempt]]:
    """The benchmarks of one run."""
    return suite(names, shapes, seed=seed)


def line(name: str, slots: int, runs: Sequence[Sequence[Sequence[Attempt]]]) -> None:
    """One workload over its seeds."""
    columns: dict[str, list[float]] = {"batches": [], "first": [], "ours": [], "oracle": []}
    for parts in runs:
        merged = [attempt for part in parts for attempt in part]
        lowest = bound(merged, slots)
        columns["batches"].append(sum(in_batches(part, slots) for part in parts) / lowest)
        columns["first"].append(sum(in_slots(part, slots, first_come) for part in parts) / lowest)
        columns["ours"].append(in_slots(merged, slots, longest_first) / lowest)
        known = sorted(merged, key=lambda attempt: -attempt.output)
        columns["oracle"].append(in_slots(known, slots, first_come) / lowest)
    batches, first, ours, oracle = (fmean(values) for values in columns.values())
    gaps = [o - f for o, f in zip(columns["ours"], columns["first"], strict=True)]
    spread = stdev(gaps) if len(gaps) > 1 else 0.0
    print(
        f"{name:<34}{slots:>6}{batches:>9.2f}{first:>12.3f}{ours:>8.3f}{oracle:>8.3f}"
        f"{fmean(gaps):>+13.3f} ± {spread:.3f}",
        flush=True,
    )


def in_batches(attempts: Sequence[Attempt], slots: int) -> float:
    """Batches of BATCH, each waiting for its longest answer."""
    batches = [attempts[start : start + BATCH] for start in range(0, len(attempts), BATCH)]
    return sum(in_slots(batch, slots, first_come) for batch in batches)


if __name__ == "__main__":
    main()
