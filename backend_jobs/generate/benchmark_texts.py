"""The problems of the benchmarks as plain text, for the decontamination; read from where evaluations read them."""

from __future__ import annotations

from collections.abc import Sequence

from backend_jobs.datasets.decontaminate import Decontaminator
from backend_jobs.datasets.sources import find_source
from backend_jobs.datasets.types import DatasetRejected
from evaluator.benchmarks import ARITHMETIC, BENCHMARKS, GPQA_DIAMOND
from settings import Settings

PROBLEM_COLUMNS = {GPQA_DIAMOND.name: "Question"}


def make_decontaminator(benchmarks: Sequence[str], settings: Settings) -> Decontaminator:
    """Knows the problems of these benchmarks.

    Raises:
        DatasetRejected: one cannot be read. A check that sees nothing would pass everything, so there is none then.
    """
    texts = {name: problem_texts(name, settings) for name in benchmarks if name != ARITHMETIC.name}
    return Decontaminator(texts, expressions=ARITHMETIC.name in benchmarks)


def problem_texts(name: str, settings: Settings) -> dict[str, str]:
    """The problems of a benchmark by their number, all of them. Raises DatasetRejected."""
    bench = BENCHMARKS[name]
    config = None if bench.subset == "default" else bench.subset
    column = PROBLEM_COLUMNS.get(name, "problem")
    source = find_source(bench.dataset, settings, config=config, split=bench.split)
    problems = {str(number): row.get(column) for number, row in source.rows()}
    texts = {key: text for key, text in problems.items() if isinstance(text, str) and text}
    if len(texts) != bench.problems:
        raise DatasetRejected(
            f"{bench.dataset} gives {len(texts)} problems in its column {column!r}, expected {bench.problems}: "
            f"decontamination against {name} needs all of them"
        )
    return texts
