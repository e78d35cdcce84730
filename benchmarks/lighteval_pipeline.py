"""The same stored answers through lighteval and through the evaluator: equal scores, or the difference row by row.

    scripts/lighteval_env.sh
    .cache/venv-lighteval/bin/python -m benchmarks.lighteval_pipeline --benchmark arithmetic aime_2024 \\
        --mirror <dir> --completions recorded.jsonl.gz

A local server replays stored answers, one per (prompt, seed). It is asked by `evaluate`, by lighteval's `Pipeline` with
an async model, and by lighteval's own command line. Recorded completions (rows with `problem_id`, `completion` and,
where known, `finish_reason`) are the attempts at their problem in the file's order; a benchmark without any gets
made-up answers of many forms. Prints one table, then every row in which two ways differ and why.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from lighteval.logging.evaluation_tracker import EvaluationTracker
from lighteval.models.abstract_model import ModelConfig
from lighteval.models.model_output import ModelResponse
from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters

from benchmarks.lighteval_endpoint import EndpointModel
from evaluator import grading, plan, tasks
from evaluator.benchmarks import BENCHMARKS
from evaluator.client import Endpoint, run_async
from evaluator.engine import RunningEngine, given_engine
from evaluator.evaluate import evaluate
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.prepare import Evaluation, Options, PromptFacts, make_plans
from evaluator.samples import load_samples
from evaluator.types import Benchmark, Checkpoint, Measurement, Sample, Score, Verdict
from settings import ROOT
from tests.fakes.openai_server import FakeOpenAI, Reply

MODEL = "stored-answers"
ARITHMETIC_ATTEMPTS = 4
SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One benchmark with the answers that the server will give: as many per problem as it has attempts."""

    bench: Benchmark
    attempts: int
    samples: tuple[Sample, ...]
    replies: Mapping[tuple[str, int], Reply]


def main() -> None:
    """Serve the stored answers, run every way, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", nargs="+", default=["arithmetic"], choices=BENCHMARKS)
    parser.add_argument("--mirror", type=Path, help="read datasets from this folder instead of the Hub")
    parser.add_argument("--completions", type=Path, nargs="*", default=[], help="recorded completions, .jsonl.gz")
    given = parser.parse_args()
    recorded = read_recorded(given.completions)
    stored = [stored_answers(BENCHMARKS[name], recorded, given.mirror) for name in given.benchmark]
    replies = {key: reply for one in stored for key, reply in one.replies.items()}
    with FakeOpenAI(lambda prompt, seed: replies[prompt, seed], model=MODEL) as server:
        ours = run_async(measured(stored, server.base_url))
        asked = [bodies(server)]
        details = piped(stored, given.mirror, server.base_url)
        asked.append(bodies(server))
        printed = command_line(stored, given.mirror, server.base_url)
        asked.append(bodies(server))
    for one, measurement in zip(stored, ours, strict=True):
        report(one, measurement, details[one.bench.name], printed[one.bench.name])
    same = asked[0] == asked[1] == asked[2]
    print(f"\nrequests: {len(asked[0])} per way, {'the same bytes from all three' if same else 'NOT the same'}")


def read_recorded(paths: Iterable[Path]) -> dict[str, list[Reply]]:
    """Recorded completions by problem, in the files' order."""
    found: dict[str, list[Reply]] = defaultdict(list)
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                found[row["problem_id"]].append(Reply(text=row["completion"], finish_reason=row.get("finish_reason")))
    return found


def stored_answers(bench: Benchmark, recorded: Mapping[str, Sequence[Reply]], mirror: Path | None) -> Stored:
    """The answers of one benchmark, by (prompt, seed)."""
    ids = {sample.problem_id for sample in load_samples(bench, attempts=1, mirror=mirror)}
    fewest = min(len(recorded.get(problem_id, ())) for problem_id in ids)
    attempts = fewest or min(bench.attempts, ARITHMETIC_ATTEMPTS)
    samples = load_samples(bench, attempts=attempts, mirror=mirror)
    replies = {}
    for sample in samples:
        for attempt in range(attempts) if sample.attempt is None else (sample.attempt,):
            key = sample.prompt, plan.seed(0, sample.problem_id, attempt)
            replies[key] = recorded[sample.problem_id][attempt] if fewest else made_up(sample, attempt)
    return Stored(bench=bench, attempts=attempts, samples=samples, replies=replies)


def made_up(sample: Sample, attempt: int) -> Reply:
    """An answer in one of the forms in which answers come: a pure function of problem and attempt."""
    pick = int(sha256(f"{sample.problem_id}/{attempt}".encode()).hexdigest()[:8], 16)
    right, wrong = sample.target, "E" if len(sample.target) == 1 and sample.target.isalpha() else f"1{sample.target}"
    forms = [
        Reply(text=f"So it is $\\boxed{{{right}}}$."),
        Reply(text=f"So it is $\\boxed{{{wrong}}}$."),
        Reply(text=f"<think>Let me see.</think>The answer is {right}.\n\nAnswer: {right}"),
        Reply(text=f"<think>It must be $\\boxed{{{right}}}$</think>"),
        Reply(text=f"<think>Perhaps $\\boxed{{{right}}}$, but let me check", finish_reason="length"),
        Reply(text=f"<think>Perhaps $\\boxed{{{right}}}$", finish_reason="stop"),
        Reply(text=f"$\\boxed{{{right}}}$", reasoning=f"first I took it for $\\boxed{{{wrong}}}$"),
        Reply(text="", reasoning="still thinking", finish_reason="length"),
        Reply(text="I do not know."),
    ]
    return forms[pick % len(forms)]


async def measured(stored: Sequence[Stored], base_url: str) -> list[Measurement]:
    """Our way: plans, journal, grading processes."""
    engine = await given_engine(Endpoint(base_url=base_url, model=MODEL))
    evaluations: list[Evaluation] = []
    for one in stored:
        evaluations += make_plans(
            Checkpoint(model=MODEL),
            [(one.bench, one.attempts, one.samples)],
            options=Options(attempts=one.attempts),
            facts=PromptFacts(),
            endpoint=base_url,
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        GraderPool(workers=2) as grader,
        Journal(Path(folder) / "journal.db") as journal,
    ):
        return await evaluate(
            evaluations,
            open_engine=lambda: _opened(engine),
            journal=journal,
            grader=grader,
            concurrency=128,
            on_progress=lambda _: None,
            cancel=asyncio.Event(),
        )


class _opened:  # noqa: N801  (used like a function)
    """An engine that runs already, as a context."""

    def __init__(self, engine: RunningEngine) -> None:
        self._engine = engine

    async def __aenter__(self) -> RunningEngine:
        return self._engine

    async def __aexit__(self, *_: object) -> None:
        return None


def table_source(stored: Sequence[Stored], mirror: Path | None) -> str:
    """A custom tasks file for these benchmarks: what README shows for a machine without the Hub."""
    place = f"Path({str(mirror.resolve())!r})" if mirror else "None"
    tables = [f"table([{one.bench.name!r}], mirror={place}, attempts={one.attempts})" for one in stored]
    return f"from pathlib import Path\nfrom evaluator.tasks import table\nTASKS_TABLE = {' + '.join(tables)}\n"


def piped(stored: Sequence[Stored], mirror: Path | None, base_url: str) -> dict[str, list[Any]]:
    """lighteval's Pipeline with an async model: its details (document, response, metric) by benchmark."""
    module = ModuleType("stored_tasks")
    exec(compile(table_source(stored, mirror), "stored_tasks", "exec"), module.__dict__)
    with tempfile.TemporaryDirectory() as folder:
        tracker = EvaluationTracker(output_dir=folder)
        pipeline = Pipeline(
            tasks=",".join(f"{tasks.PREFIX}:{one.bench.name}" for one in stored),
            pipeline_parameters=PipelineParameters(
                launcher_type=ParallelismManager.NONE,
                custom_tasks_directory=module,  # type: ignore[arg-type]
            ),
            evaluation_tracker=tracker,
            model=EndpointModel(ModelConfig(model_name=MODEL, cache_dir=folder), base_url),
        )
        pipeline.evaluate()
    return {one.bench.name: tracker.details_logger.details[_task(one)] for one in stored}


def command_line(stored: Sequence[Stored], mirror: Path | None, base_url: str) -> dict[str, float]:
    """lighteval's own command line in a process of its own: the score in its results file, in points."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stored_tasks.py"
        file.write_text(table_source(stored, mirror))
        names = ",".join(f"{tasks.PREFIX}:{one.bench.name}" for one in stored)
        command = [sys.executable, "-m", "lighteval", "custom", MODEL, "benchmarks/lighteval_endpoint.py", names]
        command += ["--custom-tasks", str(file), "--output-dir", folder]
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "OPENAI_BASE_URL": base_url},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (results,) = Path(folder).rglob("results_*.json")
        written = json.loads(results.read_text())["results"]
    return {one.bench.name: 100 * written[_task(one)]["pass@1"] for one in stored}


def _task(one: Stored) -> str:
    return f"{tasks.PREFIX}:{one.bench.name}|0"


def bodies(server: FakeOpenAI) -> list[str]:
    """What the server was asked since the last call, sorted."""
    asked = sorted(json.dumps(dict(request.body), sort_keys=True) for request in server.requests)
    server.requests.clear()
    return asked


def report(one: Stored, ours: Measurement, details: Sequence[Any], printed: float) -> None:
    """One line of the table, then the rows that differ."""
    pipeline = 100 * sum(detail.metric["pass@1"] for detail in details) / len(details)
    theirs, text_only = _scores(one, details, whole=True), _scores(one, details, whole=False)
    mine = {(score.problem_id, score.attempt): score for score in ours.scores}
    bare = 100 * sum(score.verdict is Verdict.CORRECT for score in text_only.values()) / len(text_only)
    print(
        f"{one.bench.name:<13}{len(mine):>6} answers  ours {ours.statistics.score:7.3f}  Pipeline {pipeline:7.3f}  "
        f"command line {printed:7.3f}  Pipeline, text alone {bare:7.3f}"
    )
    _differences("ours and Pipeline", mine, theirs)
    _differences("ours and text alone", mine, text_only)


def _scores(one: Stored, details: Sequence[Any], *, whole: bool) -> dict[tuple[str, int], Score]:
    """The verdicts behind lighteval's numbers; with `whole` false, those of an engine that returns nothing but text."""
    scores = {}
    for detail in details:
        response = detail.model_response if whole else ModelResponse(text=detail.model_response.text)
        for item in tasks.grade_inputs(response, detail.doc, one.bench.extraction):
            scores[item.problem_id, item.attempt] = grading.grade(item)
    return scores


def _differences(names: str, left: Mapping[tuple[str, int], Score], right: Mapping[tuple[str, int], Score]) -> None:
    if left.keys() != right.keys():
        print(f"  {names}: NOT the same rows, {len(left.keys() ^ right.keys())} are in one only")
        return
    rows = [key for key in sorted(left) if left[key].verdict is not right[key].verdict]
    cut = sum(left[key].truncated is True for key in rows)
    why = f"; in {cut} of them the server cut the answer, which text alone does not show" if rows else ""
    print(f"  {names}: {len(rows)} rows differ{why}")
    for key in rows[:SHOWN]:
        a, b = left[key], right[key]
        print(f"    {key[0]} attempt {key[1]}: {a.verdict} ({a.answer}) / {b.verdict} ({b.answer}), cut: {a.truncated}")
    if len(rows) > SHOWN:
        print(f"    and {len(rows) - SHOWN} more")


if __name__ == "__main__":
    main()
