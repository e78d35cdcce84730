"""From a benchmark's name to its samples: finds the dataset, runs the lighteval task, checks what came."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from evaluator.errors import DatasetChanged, DatasetUnavailable
from evaluator.types import Benchmark, Sample


def load_samples(bench: Benchmark, *, attempts: int, mirror: Path | None = None) -> tuple[Sample, ...]:
    """Every sample of a benchmark, ordered by problem id (and attempt, where prompts differ by attempt).

    `mirror` is a folder that holds `<owner>/<name>[/<config>]/<split>.jsonl` or `.parquet` and stands in for the Hub.

    Raises:
        DatasetUnavailable: neither the mirror nor the Hub has it, or this token may not read it.
        DatasetChanged: rows or columns differ from what this benchmark version was written for.
    """
    # lighteval takes seconds to import: only who asks for samples pays for it.
    tasks = importlib.import_module("evaluator.tasks")
    folder = None if bench.demonstration or mirror is None else mirror_folder(mirror, bench)
    config = tasks.task_config(bench, attempts=attempts, hf_repo=str(folder) if folder else None)
    try:
        documents = tasks.docs(config)
    except (OSError, ValueError) as error:
        raise DatasetUnavailable(_unavailable(bench, folder, error)) from error
    except KeyError as error:
        raise DatasetChanged(
            f"{bench.dataset} has no column {error}; benchmark {bench.name} version {bench.version} needs it"
        ) from error
    samples = tuple(sorted((_sample(doc) for doc in documents), key=lambda s: (s.problem_id, s.attempt or 0)))
    _check(bench, samples, attempts)
    return samples


def mirror_folder(mirror: Path, bench: Benchmark) -> Path:
    """Where a mirror keeps one dataset: with or without a folder for its config."""
    base = mirror / bench.dataset
    for folder in (base / bench.subset, base):
        if any((folder / f"{bench.split}{suffix}").exists() for suffix in (".jsonl", ".parquet")):
            return folder
    raise DatasetUnavailable(
        f"the mirror {mirror} has no {bench.dataset}/{bench.split}.jsonl or .parquet; put it there, or unset "
        "BENCHMARK_MIRROR to read the Hub"
    )


def _unavailable(bench: Benchmark, folder: Path | None, error: Exception) -> str:
    place = f"the folder {folder}" if folder else f"the Hub's dataset {bench.dataset}"
    gated = "; it is gated: accept its terms on the Hub and set HF_TOKEN" if bench.private and not folder else ""
    first_line = (str(error).splitlines() or [""])[0]
    return (
        f"{bench.name} could not be read from {place} ({type(error).__name__}: {first_line}){gated}. "
        "Without a network, set BENCHMARK_MIRROR to a folder that holds it"
    )


def _sample(doc: Any) -> Sample:
    specific = doc.specific
    return Sample(
        problem_id=str(specific["problem_id"]),
        prompt=doc.query,
        target=doc.get_golds()[0],
        attempt=specific.get("attempt"),
        options=tuple(specific.get("options", ())),
        subject=specific.get("subject", ""),
        level=specific.get("level", ""),
    )


def _check(bench: Benchmark, samples: tuple[Sample, ...], attempts: int) -> None:
    problems = {sample.problem_id for sample in samples}
    expected = bench.problems * (attempts if samples and samples[0].attempt is not None else 1)
    if len(problems) != bench.problems or len(samples) != expected:
        raise DatasetChanged(
            f"{bench.dataset} has {len(problems)} distinct problems in {len(samples)} documents, expected "
            f"{bench.problems} in {expected}; if its authors changed it, bump the version of {bench.name}"
        )
