"""How often the 95 % interval of a score holds the true score, by simulation with known truth.

    python -m benchmarks.interval_coverage [--runs 20000]

A benchmark is N problems drawn from a population whose difficulties follow a Beta distribution with the true accuracy
as its mean; concentration 0.5 means mostly very easy and very hard problems, 3 means alike ones. A run draws N problems
and K attempts at each. The interval covers where it holds the population's mean. Beside ours: the usual
p(1 - p)/(N K), which takes attempts for problems; the t interval of the problem means; the percentile bootstrap over
problems (at N = 30). Prints one table: per N and K the lowest, mean and highest coverage over all accuracies and
concentrations, then the cells that miss the target.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from evaluator.statistics import POINTS, Floats, intervals

PROBLEMS = (30, 198, 500)
ATTEMPTS = (1, 4, 8, 64)
ACCURACIES = (0.05, 0.10, 0.20, 0.35, 0.50, 0.65, 0.80, 0.90, 0.95, 0.97)
CONCENTRATIONS = (0.5, 1.0, 3.0)
LOWEST, HIGHEST = 93.0, 97.0
HIGHEST_FROM = 198
BOOTSTRAP_PROBLEMS = 30
BOOTSTRAP_DRAWS = 1000
BOOTSTRAP_RUNS = 2000
RUNS_AT_ONCE = 4000
METHODS = ("ours", "p(1-p)/NK", "t", "bootstrap")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One simulated setting and the share of runs, in percent, whose interval held the truth, by method."""

    problems: int
    attempts: int
    accuracy: float
    concentration: float
    covered: dict[str, float]
    width: float


def main() -> None:
    """Simulate every cell and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000, help="simulated measurements per cell (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    started = time.monotonic()
    cells = list(simulate(given.runs, given.seed))
    print_table(cells)
    print_misses(cells, given.runs)
    print(f"{len(cells)} cells x {given.runs:,} runs in {time.monotonic() - started:.0f} s")


def simulate(runs: int, seed: int) -> Iterator[Cell]:
    """Every cell, each setting from a generator of its own."""
    settings = [(n, m, c) for n in PROBLEMS for m in ACCURACIES for c in CONCENTRATIONS]
    for number, (problems, accuracy, concentration) in enumerate(settings):
        generator = np.random.default_rng([seed, number])
        covered: dict[int, dict[str, list[Floats]]] = {k: defaultdict(list) for k in ATTEMPTS}
        for first in range(0, runs, RUNS_AT_ONCE):
            size = (min(RUNS_AT_ONCE, runs - first), problems)
            difficulty = generator.beta(accuracy * concentration, (1 - accuracy) * concentration, size)
            for attempts in ATTEMPTS:
                means = generator.binomial(attempts, difficulty) / attempts
                for name, found in _covered(means, attempts, accuracy, first).items():
                    covered[attempts][name].append(found)
        for attempts, by_method in covered.items():
            shares = {name: float(np.concatenate(found).mean()) for name, found in by_method.items()}
            width = shares.pop("width")
            yield Cell(
                problems=problems,
                attempts=attempts,
                accuracy=accuracy,
                concentration=concentration,
                covered={name: share * POINTS for name, share in shares.items()},
                width=width,
            )


def _covered(means: Floats, attempts: int, truth: float, first: int) -> dict[str, Floats]:
    """Per method, whether each run's interval holds the truth (in [0, 1]); `means` are problem means, (runs, N)."""
    problems = means.shape[1]
    bounds = {
        "ours": intervals(means, draws=problems * attempts),
        "p(1-p)/NK": usual(means, attempts),
        "t": plain_t(means),
    }
    if problems == BOOTSTRAP_PROBLEMS and first < BOOTSTRAP_RUNS:
        bounds["bootstrap"] = bootstrap(means[: BOOTSTRAP_RUNS - first])
    slack = 1e-9
    found: dict[str, Floats] = {
        name: ((low - slack <= truth * POINTS) & (truth * POINTS <= high + slack)).astype(np.float64)
        for name, (low, high) in bounds.items()
    }
    low, high = bounds["ours"]
    return found | {"width": high - low}


def usual(means: Floats, attempts: int) -> tuple[Floats, Floats]:
    """The interval that most tables use: every attempt an independent coin toss, normal quantile."""
    m = means.mean(axis=1)
    half = 1.96 * np.sqrt(m * (1 - m) / (means.shape[1] * attempts))
    return (m - half) * POINTS, (m + half) * POINTS


def plain_t(means: Floats) -> tuple[Floats, Floats]:
    """The t interval of the mean of the problem means."""
    count = means.shape[1]
    m = means.mean(axis=1)
    half = special.stdtrit(count - 1, 0.975) * means.std(axis=1, ddof=1) / np.sqrt(count)
    return (m - half) * POINTS, (m + half) * POINTS


def bootstrap(means: Floats) -> tuple[Floats, Floats]:
    """The percentile bootstrap over problems. All runs share their resamplings, which are drawn once."""
    count = means.shape[1]
    generator = np.random.default_rng(count)
    weights = generator.multinomial(count, np.full(count, 1 / count), BOOTSTRAP_DRAWS) / count
    low, high = np.percentile(means @ weights.T, (2.5, 97.5), axis=1)
    return low * POINTS, high * POINTS


def print_table(cells: list[Cell]) -> None:
    """Lowest, mean and highest coverage per N, K and method; the mean width of ours in points."""
    heads = "".join(f"{name:>22}" for name in METHODS)
    print("coverage of the true score, percent: lowest / mean / highest over accuracies and concentrations")
    print(f"{'N':>4}{'K':>4}{heads}{'width of ours':>15}")
    for problems in PROBLEMS:
        for attempts in ATTEMPTS:
            here = [cell for cell in cells if (cell.problems, cell.attempts) == (problems, attempts)]
            shown = "".join(f"{_summary([c.covered[m] for c in here if m in c.covered]):>22}" for m in METHODS)
            print(f"{problems:>4}{attempts:>4}{shown}{np.mean([c.width for c in here]):>15.1f}")


def _summary(shares: list[float]) -> str:
    return f"{min(shares):.1f} / {np.mean(shares):.1f} / {max(shares):.1f}" if shares else "-"


def print_misses(cells: list[Cell], runs: int) -> None:
    """The cells outside the target, each with how far the simulation itself can be off."""
    error = 1.96 * np.sqrt(0.05 * 0.95 / runs) * POINTS
    print(
        f"target: at least {LOWEST:g} everywhere, at most {HIGHEST:g} from N = {HIGHEST_FROM}; a cell is +-{error:.1f}"
    )
    missed = [cell for cell in cells if not _on_target(cell)]
    for cell in missed:
        print(
            f"  misses: N {cell.problems}, K {cell.attempts}, accuracy {cell.accuracy:.0%}, "
            f"concentration {cell.concentration:g}: {cell.covered['ours']:.2f}"
        )
    print(f"{len(missed)} of {len(cells)} cells miss the target")


def _on_target(cell: Cell) -> bool:
    too_wide = cell.problems >= HIGHEST_FROM and cell.covered["ours"] > HIGHEST
    return cell.covered["ours"] >= LOWEST and not too_wide


if __name__ == "__main__":
    main()
