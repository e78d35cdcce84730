"""Kills a real evaluation twice with SIGKILL and counts what a real vLLM was asked, beside an undisturbed run.

    BENCHMARK_MIRROR=<dir> python -m benchmarks.kill_and_resume CHECKPOINT --benchmark math_500 aime_2024 aime_2025

The server is started once and stays up, so that its own counters tell how many requests it answered. Prints one table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.checkpoint import local_checkpoint, prepare_serving_folder, read_shape
from evaluator.client import fetch, run_async
from evaluator.devices import find_devices
from evaluator.engine import RunningEngine, local_engine
from evaluator.engine_plan import plan_engine
from evaluator.prepare import Options, load_all, local_prompt_facts
from settings import ROOT, read_settings

IN_FLIGHT = 128


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One way of running: its result, how often it was killed, what the server answered, seconds."""

    name: str
    kills: int
    answered_by_server: int
    in_journal: int
    seconds: float
    measurements: list[dict[str, Any]]


def main() -> None:
    """Start the server, run both ways, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--benchmark", nargs="+", default=["math_500", "aime_2024", "aime_2025"])
    parser.add_argument("--max-tokens", type=int, default=128)
    given = parser.parse_args()
    run_async(_serve_and_run(given.checkpoint, given.benchmark, given.max_tokens))


async def _serve_and_run(folder: Path, names: list[str], max_tokens: int) -> None:
    settings = read_settings()
    checkpoint = local_checkpoint(folder)
    samples = [s for _, _, these in load_all(names, Options(), settings.benchmark_mirror) for s in these]
    facts = local_prompt_facts(folder, samples)
    plan = plan_engine(
        read_shape(folder), devices=find_devices(), prompt_tokens=facts.tokens or 0, max_tokens=max_tokens
    )
    with tempfile.TemporaryDirectory() as work:
        async with local_engine(
            plan,
            folder=prepare_serving_folder(folder, Path(work) / "served"),
            served_name=checkpoint.model,
            python=settings.engine_python,
            inherited=dict(settings.child_environment),
            work=Path(work),
            home=Path(work) / "home",
            on_progress=lambda line: print(line[:120], file=sys.stderr),
        ) as engine:
            command = [sys.executable, "-m", "backend_jobs", "evaluate", "--model", checkpoint.model]
            command += ["--revision", str(checkpoint.commit), "--endpoint", engine.endpoint.base_url]
            command += ["--benchmark", *names, "--max-tokens", str(max_tokens), "--json"]
            command += ["--concurrency", str(IN_FLIGHT)]
            total = sum(
                bench.attempts * bench.problems for bench, _, _ in load_all(names, Options(), settings.benchmark_mirror)
            )
            undisturbed = await _run(engine, [*command, "--journal", f"{work}/calm.db"], total, kills=())
            killed = await _run(engine, [*command, "--journal", f"{work}/killed.db"], total, kills=(1 / 3, 2 / 3))
    _table(total, undisturbed, killed)


async def _run(engine: RunningEngine, command: list[str], total: int, *, kills: tuple[float, ...]) -> Ran:
    journal = Path(command[-1])
    before, started = await _answered(engine), time.monotonic()
    for share in kills:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while _rows(journal) < total * share and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        print(f"killed with {_rows(journal)} of {total} answers in the journal", file=sys.stderr)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    result = json.loads(done.stdout.splitlines()[-1])
    return Ran(
        name="killed twice" if kills else "undisturbed",
        kills=len(kills),
        answered_by_server=await _answered(engine) - before,
        in_journal=_rows(journal),
        seconds=time.monotonic() - started,
        measurements=result.get("measurements", [result]),
    )


def _rows(journal: Path) -> int:
    if not journal.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as database:
            return int(database.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


async def _answered(engine: RunningEngine) -> int:
    """Requests that the server finished by itself; those that were aborted with their client do not count."""
    _, body = await fetch(f"{engine.endpoint.root}/metrics")
    finished = re.findall(r'vllm:request_success_total\{[^}]*finished_reason="(\w+)"[^}]*\} ([0-9.e+]+)', body.decode())
    return sum(int(float(count)) for reason, count in finished if reason != "abort")


def _table(total: int, *runs: Ran) -> None:
    print(f"{'':<14}{'attempts':>9}{'kills':>7}{'answered by the server':>24}{'in the journal':>16}{'wall, ratio':>13}")
    for run in runs:
        ratio = run.seconds / runs[0].seconds
        print(f"{run.name:<14}{total:>9}{run.kills:>7}{run.answered_by_server:>24}{run.in_journal:>16}{ratio:>13.2f}")
    print()
    for calm, killed in zip(runs[0].measurements, runs[1].measurements, strict=True):
        for run, measured in ((runs[0], calm), (runs[1], killed)):
            low, high = measured["ci95"]
            print(
                f"{measured['benchmark']:<12}{run.name:<14}{sum(measured['verdicts'].values()):>6} graded  "
                f"score {measured['score']:.2f} [{low:.2f}, {high:.2f}]  {measured['verdicts']}  "
                f"truncated {measured['truncated']}"
            )


if __name__ == "__main__":
    main()
