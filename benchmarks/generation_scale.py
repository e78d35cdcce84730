"""A million prompts through one generation job: rows/s, memory, and a kill -9 in the middle.

    python -m benchmarks.generation_scale --prompts 1000000

The teacher is `benchmarks.fake_server`, a process beside the job: both share this machine's cores. Answers take no
time, so what is measured is the job: reading, asking, journal, grading, filters, Parquet. It gets a SIGKILL when
half of its answers are written and started again with the same command. Afterwards every (problem, attempt) must stand
in the dataset exactly once. With BENCHMARK_MIRROR set, the problems are checked against MATH-500 and AIME as well.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from backend_jobs.datasets.parquet import read_columns
from evaluator.engine import free_port
from settings import ROOT

POLL_S = 0.5
SERVER = ("--characters", "600", "--median", "200")


@dataclass(slots=True)
class Watched:
    """One start of the job."""

    seconds: float = 0.0
    samples: int = 0
    memory_mb: list[float] = field(default_factory=list)


def main() -> None:
    """Run the job twice, with a kill in between, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1_000_000)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=128)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        work = Path(folder)
        write_prompts(work / "prompts.jsonl", given.prompts)
        port = free_port()
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fake_server", "--port", str(port), *SERVER],
            cwd=ROOT,
        )
        try:
            recipe = write_recipe(work, given, f"http://127.0.0.1:{port}/v1")
            killed = watch(work, recipe, given, kill_at=given.prompts * given.samples // 2)
            finished = watch(work, recipe, given)
        finally:
            server.kill()
            server.wait()
        report(work, given, killed, finished)


def write_prompts(path: Path, count: int) -> None:
    """Problems that differ, each with its answer."""
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            a, b, c = number % 10, number // 10 % 10, number // 100 % 10
            row = {"problem": f"Case {number}: what is {a} + {b} - {c}?", "answer": str(a + b - c)}
            stream.write(json.dumps(row) + "\n")


def write_recipe(work: Path, given: argparse.Namespace, endpoint: str) -> Path:
    """Every check that costs something is on."""
    mirror = bool(os.environ.get("BENCHMARK_MIRROR"))
    recipe = {
        "kind": "generate",
        "run": "scale",
        "prompts": {
            "dataset": str(work / "prompts.jsonl"),
            "answer": "answer",
            "license": "mit",
            "template": "{problem}",
        },
        "teacher": {"name": "fake", "endpoint": endpoint},
        "decoding": {"samples": given.samples, "temperature": 0.6, "top_p": 0.95, "max_tokens": 100_000, "seed": 0},
        "verify": {"kind": "math"},
        "filters": {
            "verified": True,
            "thought": True,
            "complete": True,
            "duplicates": True,
            "decontaminate": ["math_500", "aime_2024", "aime_2025"] if mirror else [],
        },
    }
    path = work / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def watch(work: Path, recipe: Path, given: argparse.Namespace, kill_at: int | None = None) -> Watched:
    """Run the job, reading its memory; with `kill_at`, kill it when so many samples are in written shards."""
    command = [sys.executable, "-m", "backend_jobs", "generate", str(recipe), "--concurrency", str(given.concurrency)]
    environment = {**os.environ, "OPEN_R1_DATA": str(work), "HF_HUB_OFFLINE": "1"}
    seen, began = Watched(), time.monotonic()
    already = written(work)
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        seen.memory_mb.append(memory_mb(process.pid))
        if kill_at is not None and written(work) >= kill_at:
            process.send_signal(signal.SIGKILL)
        time.sleep(POLL_S)
    if kill_at is None and process.returncode:
        raise SystemExit(f"the job ended with status {process.returncode}")
    seen.seconds, seen.samples = time.monotonic() - began, written(work) - already
    return seen


def written(work: Path) -> int:
    """Samples in finished shards, counting each as full."""
    return sum(1 for _ in (work / "datasets" / "scale" / "shards").glob("[0-9]*.json")) * 5000


def memory_mb(pid: int) -> float:
    """Resident memory of a process now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(status.partition("VmRSS:")[2].split()[0] or 0) / 1024 if "VmRSS:" in status else 0.0


def report(work: Path, given: argparse.Namespace, killed: Watched, finished: Watched) -> None:
    """The table, and whether every sample is there once."""
    expected = given.prompts * given.samples
    seen, twice, rows = bytearray(expected), 0, 0
    for path in sorted((work / "datasets" / "scale").glob("*/train-*.parquet")):
        for row in read_columns(path, ["generation"]):
            place = int(row["generation"]["problem_id"]) * given.samples + (row["generation"]["attempt"] or 0)
            twice += seen[place]
            seen[place] = 1
            rows += 1
    memory = [*killed.memory_mb, *finished.memory_mb]
    half = len(finished.memory_mb) // 2
    print(f"prompts {given.prompts:,} x {given.samples}, {given.concurrency} in flight")
    print("| | before the kill | after it |")
    print("|---|---|---|")
    print(f"| seconds | {killed.seconds:.0f} | {finished.seconds:.0f} |")
    print(f"| rows/s | {killed.samples / killed.seconds:.0f} | {finished.samples / finished.seconds:.0f} |")
    print(f"| peak memory, MB | {max(killed.memory_mb):.0f} | {max(finished.memory_mb):.0f} |")
    print(f"| peak of its second half, MB | | {max(finished.memory_mb[half:]):.0f} |")
    print(f"rows {rows:,}, missing {expected - sum(seen):,}, twice {twice:,}, peak {max(memory):.0f} MB")


if __name__ == "__main__":
    main()
