"""100,000 attempts of 20 kB through the whole run loop, journal and grading included: peak memory and CPU per attempt.

    python -m benchmarks.long_run [--attempts 250] [--characters 20000]

400 problems of `arithmetic` under the given attempts each; a deterministic server answers at once. The run is a process
of its own, so that its peak is nobody else's. Prints one line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.fake_server import MODEL
from benchmarks.peers.common import cpu_s
from benchmarks.streams import answering_server
from evaluator.benchmarks import benchmark
from evaluator.client import Endpoint, run_async
from evaluator.engine import RunningEngine
from evaluator.evaluate import evaluate
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.prepare import Options, PromptFacts, make_plans
from evaluator.samples import load_samples
from evaluator.types import Checkpoint, EngineFacts, Measurement, Sample

BENCHMARK, PROBLEMS = "arithmetic", 400
IN_FLIGHT = 256


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attempts", type=int, default=250)
    parser.add_argument("--characters", type=int, default=20_000)
    given = parser.parse_args()
    flags = ["--slots", str(IN_FLIGHT), "--token-s", "0.0001", "--cap", "128", "--characters", str(given.characters)]
    with tempfile.TemporaryDirectory() as folder, answering_server(flags) as port:
        result = Path(folder) / "result.json"
        arguments = (port, given.attempts, folder, str(result))
        process = multiprocessing.get_context("spawn").Process(target=run, args=arguments)
        process.start()
        process.join()
        found = json.loads(result.read_text())
        with sqlite3.connect(Path(folder) / "journal.db") as database:
            rows, size = database.execute("SELECT count(*), sum(length(text)) FROM answers").fetchone()
    print(
        f"{rows:,} attempts, {size / 1e9:.2f} GB of text, score {found['score']:.2f}: {found['wall_s']:.0f} s, "
        f"{1000 * found['cpu_s'] / rows:.2f} ms of CPU per attempt, peak {found['peak_mb']:.0f} MB "
        f"({found['before_mb']:.0f} MB before the first request)"
    )


def run(port: int, attempts: int, folder: str, result: str) -> None:
    """The body of the process: the run loop on the samples that a process of their own has read."""
    with multiprocessing.get_context("spawn").Pool(1) as reading:
        samples = reading.apply(read_samples, (attempts,))
    before_mb, started, cpu_before = peak_mb(), time.monotonic(), cpu_s()
    measured = run_async(measure(samples, attempts, f"http://127.0.0.1:{port}/v1", Path(folder)))
    found = {"score": measured.statistics.score, "peak_mb": peak_mb(), "before_mb": before_mb}
    found |= {"wall_s": time.monotonic() - started, "cpu_s": cpu_s() - cpu_before}
    Path(result).write_text(json.dumps(found), encoding="utf-8")


def read_samples(attempts: int) -> tuple[Sample, ...]:
    """The benchmark's samples. Reading them imports lighteval: half a gigabyte that is not the run's."""
    return load_samples(benchmark(BENCHMARK), attempts=attempts)


async def measure(samples: tuple[Sample, ...], attempts: int, url: str, folder: Path) -> Measurement:
    """One evaluation of a given endpoint."""
    (evaluation,) = make_plans(
        Checkpoint(model=MODEL),
        [(benchmark(BENCHMARK), attempts, samples)],
        options=Options(attempts=attempts),
        facts=PromptFacts(),
        endpoint=url,
    )
    engine = RunningEngine(endpoint=Endpoint(base_url=url, model=MODEL), facts=EngineFacts())

    @asynccontextmanager
    async def opened() -> AsyncIterator[RunningEngine]:
        yield engine

    with Journal(folder / "journal.db") as journal, GraderPool(workers=1) as grader:
        (measured,) = await evaluate(
            [evaluation],
            open_engine=opened,
            journal=journal,
            grader=grader,
            on_progress=lambda _: None,
            cancel=asyncio.Event(),
            concurrency=IN_FLIGHT,
        )
    return measured


def peak_mb() -> float:
    """The most memory that this process has had in use."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
