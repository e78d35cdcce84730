"""Fill a board with recorded completions, each replayed as a run of the whole evaluation.

python -m scripts.recorded_board --data DIR --store S

DIR holds `completions/*.jsonl.gz` and `benchmarks/<owner>/<name>/<split>.jsonl`. Completions of a benchmark that the
board has are served again, graded and published; each result says that it was recorded and under which settings, so
none of them is ranked. Checkpoints of one training run become a training curve.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from backend_jobs.anchor import ReplayedRun
from evaluator import grading, plan
from evaluator.benchmarks import BENCHMARKS
from evaluator.client import Endpoint
from evaluator.grade_file import completion_rows
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.prepare import Evaluation
from evaluator.recordings import Recording, read_recordings, replies_to
from evaluator.replay import ReplayServer
from evaluator.samples import load_samples
from evaluator.types import Benchmark, Checkpoint, EngineFacts, EvalPlan, Lineage, Measurement, Sample, Sampling
from leaderboard.results import publish_changes
from leaderboard.store import update
from leaderboard.stores import open_store

NAMES = {"AIME24": "aime_2024", "AIME25": "aime_2025", "MATH-500": "math_500"}
"""The board's benchmarks by the names that the recordings give them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a file's completions were sampled, as its rows say."""

    temperature: float
    max_tokens: int | None
    source: str


def main() -> None:
    """Replay every file, publish every measurement in one commit per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="recorded completions and benchmarks")
    parser.add_argument("--store", required=True, metavar="S", help="the store to publish into")
    given = parser.parse_args()
    store = open_store(given.store)
    files = sorted((given.data / "completions").glob("*.jsonl.gz"))
    recordings, settings = read(files)
    for model, these in recordings.items():
        measured = measurements(these, settings, mirror=given.data / "benchmarks")
        checkpoint = Checkpoint(model=shown_name(model), lineage=lineage(model))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        update(
            store,
            lambda stored, m=measured, c=checkpoint, t=now: publish_changes(
                m, checkpoint=c, measured_at=t, stored=stored
            )[1],
            message=f"Recorded completions of {checkpoint.model}",
        )
        scores = ", ".join(f"{m.plan.benchmark} {m.statistics.score:.1f}" for m in measured)
        sys.stdout.write(f"{checkpoint.model}: {scores}\n")


def read(files: Sequence[Path]) -> tuple[dict[str, list[Recording]], dict[tuple[str, str], Settings]]:
    """The recordings of the board's benchmarks by model, and how each (model, benchmark) was sampled."""
    by_model: dict[str, list[Recording]] = defaultdict(list)
    for recording in read_recordings(files):
        if recording.benchmark in NAMES:
            by_model[recording.model].append(replace(recording, benchmark=NAMES[recording.benchmark]))
    settings = {
        (row["model"], NAMES[row["benchmark"]]): Settings(
            temperature=float(row["temperature"]),
            max_tokens=row.get("max_model_len"),
            source=f"{row['repo']}@{row['commit'][:8]}",
        )
        for path in files
        for _, row in completion_rows(path)
        if row["benchmark"] in NAMES
    }
    return by_model, settings


def measurements(
    recordings: Sequence[Recording], settings: dict[tuple[str, str], Settings], *, mirror: Path
) -> list[Measurement]:
    """One model's benchmarks, replayed over a socket, graded and summed up."""
    model = recordings[0].model
    names = sorted({recording.benchmark for recording in recordings})
    evaluations = [evaluation(model, BENCHMARKS[name], settings[model, name], mirror) for name in names]
    named = [replace(recording, model=shown_name(model)) for recording in recordings]
    with (
        ReplayServer(replies_to(evaluations, named)) as server,
        TemporaryDirectory(prefix="recorded-") as folder,
        Journal(Path(folder) / "journal.db") as journal,
        GraderPool(workers=2) as grader,
    ):
        endpoint = Endpoint(base_url=server.base_url, model=shown_name(model))
        measured = ReplayedRun(endpoint, journal, grader, 64).measure(evaluations, opened=False)
        # The journal goes with its folder: what is published must not be read from it later.
        served = EngineFacts(engine="recorded completions")
        return [replace(m, engine=served, completions=tuple(m.completions)) for m in measured]


def evaluation(model: str, bench: Benchmark, settings: Settings, mirror: Path) -> Evaluation:
    """The plan that a recording answers: the problem as the prompt, for the wording around it was not recorded."""
    samples = tuple(bare(load_samples(bench, attempts=1, mirror=mirror)))
    return Evaluation(
        bench=bench,
        plan=EvalPlan(
            benchmark=bench.name,
            benchmark_version=bench.version,
            model=shown_name(model),
            commit=None,
            problems_hash=plan.problems_hash(samples),
            chat_template_hash=None,
            prompt_opens_thought=False,
            max_tokens=settings.max_tokens or bench.max_tokens,
            attempts=1,
            grader_version=grading.GRADER_VERSION,
            sampling=Sampling(temperature=settings.temperature),
            endpoint=f"recorded: {settings.source}",
        ),
        samples=samples,
    )


def bare(samples: Iterable[Sample]) -> Iterable[Sample]:
    """The samples without the wording around the problem."""
    return (replace(sample, prompt=sample.prompt.partition("\n\n")[2]) for sample in samples)


def shown_name(model: str) -> str:
    """The last two parts of a path of weights; a Hub id stays as it is."""
    return "/".join(model.split("/")[-2:])


def lineage(model: str) -> Lineage | None:
    """The training run and step in a path such as `.../<run>/checkpoint-21`."""
    found = re.search(r"([^/]+)/checkpoint-(\d+)$", model)
    return Lineage(run=found[1], step=int(found[2]), recipe_hash="not recorded") if found else None


if __name__ == "__main__":
    main()
