"""Answer lengths of reasoning models, drawn from one seed: what the simulations and the fake server generate.

The logarithm of a length is a problem's own level plus an attempt's noise, cut at the answer budget. The shapes are
fits of recorded distributions (mean, median, cap); `read_shapes` makes them anew from a file of such summaries.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist, fmean

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthShape:
    """A log-normal length, cut at `cap`. `between` is the share of the log's variance that the problem decides."""

    median: float
    sigma: float
    cap: int = 32_768
    between: float = 0.65


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One request of a workload: the problem it belongs to, and the tokens it will take."""

    benchmark: str
    problem: int
    attempt: int
    prompt: int
    output: int


# Long chains of thought on competition problems, on MATH-500 and on graduate science questions. Medians and spread are
# those of recorded runs of 7B to 32B reasoning models; GPQA, of which no text may be kept, lies between the other two.
SHAPES = {
    "aime": LengthShape(median=6_400, sigma=0.95),
    "math_500": LengthShape(median=2_800, sigma=0.94, cap=14_000),
    "gpqa": LengthShape(median=5_000, sigma=0.75),
    "rows": LengthShape(median=4_000, sigma=0.95, between=1.0),
}
SUITE = {
    "aime_2024": ("aime", 30, 64),
    "aime_2025": ("aime", 30, 64),
    "math_500": ("math_500", 500, 4),
    "gpqa": ("gpqa", 198, 8),
}
RECORDED = {
    "aime": "Sky-T1 32B/14B long CoT AIME24, chars/4",
    "math_500": "QwQ-32B MATH-500 (100..499), tokens (prompt+completion), cap 14000",
}
LONGEST_PROMPT = 400
NORMAL = NormalDist()


def read_shapes(path: Path) -> dict[str, LengthShape]:
    """Shapes from a JSON file of summaries (`mean`, `median`, `max` by name), the others as they are here."""
    summaries = json.loads(path.read_text(encoding="utf-8"))
    fitted = {
        name: fitted_shape(**{k: summaries[key][k] for k in ("mean", "median", "max")})
        for name, key in RECORDED.items()
    }
    return {**SHAPES, **fitted}


def fitted_shape(*, mean: float, median: float, max: float) -> LengthShape:
    """The log-normal with this median whose mean, cut at `max`, is `mean`."""
    low, high = 0.05, 4.0
    while high - low > 1e-3:
        sigma = (low + high) / 2
        low, high = (sigma, high) if _cut_mean(median, sigma, max) < mean else (low, sigma)
    return LengthShape(median=median, sigma=(low + high) / 2, cap=int(max))


def _cut_mean(median: float, sigma: float, cap: float) -> float:
    """E[min(X, cap)] of a log-normal X."""
    mu, log_cap = math.log(median), math.log(cap)
    below = math.exp(mu + sigma * sigma / 2) * _normal((log_cap - mu - sigma * sigma) / sigma)
    return below + cap * (1 - _normal((log_cap - mu) / sigma))


def _normal(z: float) -> float:
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def draw(benchmark: str, shape: LengthShape, *, problems: int, attempts: int, seed: int) -> list[Attempt]:
    """Every attempt at every problem, problem by problem."""
    random = np.random.default_rng([seed, *benchmark.encode()])
    level = random.normal(size=problems) * math.sqrt(shape.between)
    noise = random.normal(size=(problems, attempts)) * math.sqrt(1 - shape.between)
    lengths = np.exp(math.log(shape.median) + shape.sigma * (level[:, None] + noise))
    lengths = np.clip(lengths, 16, shape.cap).astype(int)
    prompts = random.integers(80, LONGEST_PROMPT, size=problems)
    return [
        Attempt(
            benchmark=benchmark,
            problem=problem,
            attempt=attempt,
            prompt=int(prompts[problem]),
            output=int(lengths[problem, attempt]),
        )
        for problem in range(problems)
        for attempt in range(attempts)
    ]


def suite(names: tuple[str, ...], shapes: dict[str, LengthShape], *, seed: int) -> list[list[Attempt]]:
    """The named benchmarks of `SUITE` under their protocols, one list each."""
    return [
        draw(name, shapes[SUITE[name][0]], problems=SUITE[name][1], attempts=SUITE[name][2], seed=seed)
        for name in names
    ]


def describe(attempts: list[Attempt]) -> str:
    """Count, mean and longest, for a table's caption."""
    lengths = [attempt.output for attempt in attempts]
    return f"{len(lengths):,} answers, mean {fmean(lengths):,.0f} tokens, longest {max(lengths):,}"


def length_of(shape: LengthShape, prompt: str, turn: int) -> int:
    """The length of one answer as a pure function of its prompt and turn, distributed as `draw` does."""
    level = _normal_from(prompt) * math.sqrt(shape.between)
    noise = _normal_from(f"{turn}\0{prompt}") * math.sqrt(1 - shape.between)
    return int(min(shape.cap, max(16, math.exp(math.log(shape.median) + shape.sigma * (level + noise)))))


def _normal_from(text: str) -> float:
    """A standard normal number from the hash of a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return NORMAL.inv_cdf((int.from_bytes(digest[:8]) + 0.5) / 2**64)
