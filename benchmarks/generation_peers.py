"""The same long-tailed requests through our job and through two other ways of asking, against one local server.

    python -m benchmarks.generation_peers --requests 20000

* `job`: `python -m backend_jobs generate`.
* `batches`: batches of 500, the next one when all of the last have been answered; no request is sent twice; everything
  is written at the end (as a pipeline without retries and without a cache does).
* `tasks`: a bounded set of tasks, one per row; the answer's status is not looked at, a row without choices is dropped;
  a line is appended per row.

One run of each with 5 % of the requests failing once (HTTP 500) gives the wall time over the bound max(longest, sum /
slots) and the rows lost; a second run without failures is killed with SIGKILL after a quarter of the bound: how much of
what the server had answered is on the disk?
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import yaml

from backend_jobs.datasets.parquet import count_rows
from backend_jobs.generate.feed import problem_name
from benchmarks.workloads import SHAPES, length_of
from evaluator.engine import free_port
from evaluator.journal import Journal
from evaluator.plan import seed
from settings import ROOT

WAYS = ("job", "batches", "tasks")
SHAPE = SHAPES["rows"]
CHARACTERS = 2000
BATCH = 500


def main() -> None:
    """Without `--way`: run every way in a process of its own and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--slots", type=int, default=500)
    parser.add_argument("--token-s", type=float, default=0.0002)
    parser.add_argument("--way", choices=WAYS[1:], help="(used by the script itself)")
    parser.add_argument("--endpoint")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.way:
        asyncio.run({"batches": batches, "tasks": tasks}[given.way](given))
        return
    bound = lower_bound(given)
    print(f"{given.requests:,} requests, {given.slots} slots, bound {bound:.1f} s")
    print("| way | wall / bound | rows lost of those with 5 % failures | on the disk after a kill, of the answered |")
    print("|---|---|---|---|")
    for way in WAYS:
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            wall, rows = whole_run(given, way, Path(folder))
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            kept, answered = killed_run(given, way, Path(folder), after_s=bound / 4)
        lost = given.requests - rows
        print(f"| {way} | {wall / bound:.2f} | {lost:,} | {kept:,} of {answered:,} |", flush=True)


def prompts(count: int) -> Iterator[tuple[str, int]]:
    """Each request's prompt and seed: what our job would send, so that every way draws the same lengths."""
    for number in range(count):
        yield f"Row {number}: write what you know.", seed(0, problem_name(number), 0)


def lower_bound(given: argparse.Namespace) -> float:
    """Seconds that no order can beat: the longest answer, or all of them spread over the slots."""
    lengths = [length_of(SHAPE, prompt, turn) for prompt, turn in prompts(given.requests)]
    return max(max(lengths), sum(lengths) / given.slots) * given.token_s


def whole_run(given: argparse.Namespace, way: str, folder: Path) -> tuple[float, int]:
    """(wall seconds of asking, rows on the disk) with failing requests."""
    with server(given, folder, failing=0.05) as endpoint:
        process = start(given, way, endpoint, folder)
        asked_from = first_request(folder)
        if process.wait():
            raise SystemExit(f"{way} ended with status {process.returncode}")
        return time.monotonic() - asked_from, rows_kept(way, folder)


def killed_run(given: argparse.Namespace, way: str, folder: Path, *, after_s: float) -> tuple[int, int]:
    """(rows on the disk, answers that the server had given) when the process is killed so long after it began."""
    with server(given, folder, failing=0.0) as endpoint:
        process = start(given, way, endpoint, folder)
        time.sleep(max(0.0, first_request(folder) + after_s - time.monotonic()))
        process.send_signal(signal.SIGKILL)
        process.wait()
        answered = (folder / "asked.log").read_text(encoding="ascii").count("answered")
    return rows_kept(way, folder), answered


@contextmanager
def server(given: argparse.Namespace, folder: Path, *, failing: float) -> Iterator[str]:
    """The fake server in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.fake_server", "--port", str(port), "--log", str(folder / "asked.log")]
    command += ["--slots", str(given.slots), "--token-s", str(given.token_s), "--shape", "rows"]
    command += ["--characters", str(CHARACTERS), "--failing", str(failing)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def start(given: argparse.Namespace, way: str, endpoint: str, folder: Path) -> subprocess.Popen[bytes]:
    """One way of asking, in a process of its own, once the server listens."""
    time.sleep(3)
    if way == "job":
        command = [sys.executable, "-m", "backend_jobs", "generate", str(recipe(given, endpoint, folder))]
        command += ["--concurrency", str(given.slots)]
    else:
        command = [sys.executable, "-m", "benchmarks.generation_peers", "--way", way, "--endpoint", endpoint]
        command += ["--folder", str(folder), "--requests", str(given.requests), "--slots", str(given.slots)]
    environment = {**os.environ, "OPEN_R1_DATA": str(folder), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def first_request(folder: Path) -> float:
    """When the first request came: starting a process is not what is measured."""
    log = folder / "asked.log"
    while not (log.exists() and log.stat().st_size):
        time.sleep(0.02)
    return time.monotonic()


def recipe(given: argparse.Namespace, endpoint: str, folder: Path) -> Path:
    """Our job on the same prompts, without checks."""
    problems = folder / "problems.jsonl"
    problems.write_text("".join(json.dumps({"problem": p}) + "\n" for p, _ in prompts(given.requests)))
    content = {
        "kind": "generate",
        "run": "peers",
        "prompts": {"dataset": str(problems), "template": "{problem}", "license": "mit"},
        "teacher": {"name": "fake", "endpoint": endpoint},
        "decoding": {"samples": 1, "temperature": 0.6, "top_p": 0.95, "max_tokens": SHAPE.cap, "seed": 0},
        "verify": {"kind": "none"},
        "filters": {},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def rows_kept(way: str, folder: Path) -> int:
    """Whole rows that a reader finds on the disk."""
    if way != "job":
        path = folder / "rows.jsonl"
        return sum(line.endswith(b"\n") for line in path.read_bytes().splitlines(keepends=True)) if path.exists() else 0
    dataset = folder / "datasets" / "peers"
    written = sum(count_rows(path) for path in dataset.glob("data/*.parquet"))
    done = {path.stem for path in dataset.glob("shards/[0-9]*.json")}
    key = json.loads((dataset / "recipe.json").read_bytes())["key"]
    with Journal(dataset / "work" / "journal.db") as journal:
        shards = (f"{key}:{number:05d}" for number in range(1 + given_shards(dataset)))
        return written + sum(len(journal.recorded(shard)) for shard in shards if shard[-5:] not in done)


def given_shards(dataset: Path) -> int:
    """More shards than there can be."""
    return 10 + len(list(dataset.glob("shards/[0-9]*.json")))


async def ask(session: aiohttp.ClientSession, endpoint: str, prompt: str, turn: int) -> dict[str, object]:
    """One request; whatever JSON comes back."""
    body = {"model": "fake", "messages": [{"role": "user", "content": prompt}], "seed": turn, "max_tokens": SHAPE.cap}
    async with session.post(f"{endpoint}/chat/completions", json=body) as response:
        answer: dict[str, object] = await response.json()
        return answer


async def batches(given: argparse.Namespace) -> None:
    """Batch after batch, all results in memory until the end."""
    rows: list[str] = []
    waiting = list(prompts(given.requests))
    async with session() as client:
        for first in range(0, len(waiting), BATCH):
            batch = waiting[first : first + BATCH]
            for answer in await asyncio.gather(*(ask(client, given.endpoint, *each) for each in batch)):
                if "choices" in answer:
                    rows.append(json.dumps(answer["choices"]))
    (given.folder / "rows.jsonl").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


async def tasks(given: argparse.Namespace) -> None:
    """A bounded set of tasks over the rows; each appends its own line."""
    running: set[asyncio.Task[None]] = set()
    lock = asyncio.Lock()

    async def one(client: aiohttp.ClientSession, prompt: str, turn: int) -> None:
        answer = await ask(client, given.endpoint, prompt, turn)
        if "choices" in answer:
            async with lock:
                stream.write(json.dumps(answer["choices"]) + "\n")

    with (given.folder / "rows.jsonl").open("a", encoding="utf-8") as stream:
        async with session() as client:
            for each in prompts(given.requests):
                if len(running) >= given.slots:
                    _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running.add(asyncio.create_task(one(client, *each)))
            await asyncio.gather(*running)


def session() -> aiohttp.ClientSession:
    """A client without a limit of its own on connections or time."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None, sock_read=None)
    )


if __name__ == "__main__":
    main()
