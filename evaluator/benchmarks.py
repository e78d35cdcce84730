"""The five benchmarks and their protocols, written out."""

from __future__ import annotations

from evaluator.errors import UnknownBenchmark
from evaluator.types import Benchmark, Extraction

MATH_500 = Benchmark(
    name="math_500",
    title="MATH-500",
    version=1,
    dataset="HuggingFaceH4/MATH-500",
    subset="default",
    split="test",
    problems=500,
    attempts=4,
    max_tokens=32_768,
    extraction=Extraction.MATH,
)
AIME_2024 = Benchmark(
    name="aime_2024",
    title="AIME 2024",
    version=1,
    dataset="HuggingFaceH4/aime_2024",
    subset="default",
    split="train",
    problems=30,
    attempts=64,
    max_tokens=32_768,
    extraction=Extraction.MATH,
    quick_attempts=8,
)
AIME_2025 = Benchmark(
    name="aime_2025",
    title="AIME 2025",
    version=1,
    dataset="yentinglin/aime_2025",
    subset="default",
    split="train",
    problems=30,
    attempts=64,
    max_tokens=32_768,
    extraction=Extraction.MATH,
    quick_attempts=8,
)
GPQA_DIAMOND = Benchmark(
    name="gpqa_diamond",
    title="GPQA Diamond",
    version=1,
    dataset="Idavidrein/gpqa",
    subset="gpqa_diamond",
    split="train",
    problems=198,
    attempts=8,
    max_tokens=32_768,
    extraction=Extraction.LETTER,
    private=True,
)
ARITHMETIC = Benchmark(
    name="arithmetic",
    title="Arithmetic (demo)",
    version=1,
    dataset="open-r1/arithmetic",
    subset="default",
    split="test",
    problems=400,
    attempts=4,
    max_tokens=128,
    extraction=Extraction.MATH,
    demonstration=True,
)

BENCHMARKS = {b.name: b for b in (MATH_500, AIME_2024, AIME_2025, GPQA_DIAMOND, ARITHMETIC)}


def benchmark(name: str) -> Benchmark:
    """Look a benchmark up by its name.

    Raises:
        UnknownBenchmark: the name is not one of ours; the message lists those that are.
    """
    if name not in BENCHMARKS:
        raise UnknownBenchmark(f"there is no benchmark {name!r}; use one of: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def is_private(name: str) -> bool:
    """Whether the questions of a benchmark must not be shown. A benchmark that is no longer ours keeps no texts."""
    return name in BENCHMARKS and BENCHMARKS[name].private
