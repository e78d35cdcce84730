"""The whole program for half an hour: page and API under load, evaluations running, the worker killed every minute.

    python -m benchmarks.soak [--minutes 30] [--kill-every 60] [--readers 8] [--stand-in]

The program is started as `make run` starts it, on an empty store. Its own worker measures one checkpoint after
another on real vLLM (`--stand-in`: on a fake engine) and is killed with SIGKILL every minute; a job that lost too
many workers is retried, as a maintainer would. At the end, or when interrupted, nothing is killed any more and what
was submitted runs to its end. Then: did every submission finish, was each published once, is every answer that the
journal held at a kill among what was published, word for word; is memory flat; how long did readers wait. Prints the
table; the exit status is 1 where something was lost, doubled or left over, where memory grew, or where an answer was
wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from benchmarks.soak_checks import Found, Killed, Memory, answers_in, check_board, find_worker
from benchmarks.soak_load import API, Reader, Tally
from evaluator.engine import free_port
from settings import ROOT
from tests.fakes.engine_program import engine_program

BENCHMARK, PROBLEMS, ATTEMPTS, MAX_TOKENS = "arithmetic", 400, 2, 48
KEPT_WAITING = 2
"""Submissions that are to wait or run at every moment."""
LOOK_S, SAMPLE_S = 3.0, 5.0
START_S, DRAIN_S = 120.0, 1200.0
ENDED = ("FINISHED", "FAILED", "CANCELLED")


@dataclass
class Soak:
    """One run. `jobs` are the ids of what was submitted, in order."""

    folder: Path
    url: str
    process: subprocess.Popen[bytes]
    checkpoint: Path
    jobs: list[str] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    retried: int = 0
    kills: list[Killed] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    ready: list[bool] = field(default_factory=list)

    @property
    def store(self) -> Path:
        """The board's file."""
        return self.folder / "data" / "store.db"

    async def keep_submitting(self, http: aiohttp.ClientSession, until: asyncio.Event) -> None:
        """Keep the queue filled, and retry what failed because its workers were killed."""
        while not until.is_set():
            await self.look(http)
            if sum(status not in ENDED for status in self.status.values()) < KEPT_WAITING:
                await self._submit(http)
            await _pause(until, LOOK_S)

    async def look(self, http: aiohttp.ClientSession) -> None:
        """Learn how far every job is; set back to pending what lost its workers."""
        page = await _json(http, "GET", f"{self.url}{API}/submissions?limit=1000")
        self.status = {job["id"]: job["status"] for job in page["items"]}
        self.failures = {
            job["id"]: f"{job['failure']['code']}: {job['failure']['reason']}"
            for job in page["items"]
            if job["status"] == "FAILED"
        }
        for job in page["items"]:
            if job["status"] == "FAILED" and job["failure"]["code"] == "worker_lost":
                await _json(http, "POST", f"{self.url}{API}/submissions/{job['id']}/retry")
                self.retried += 1

    async def _submit(self, http: aiohttp.ClientSession) -> None:
        model = self.folder / "models" / f"soak-{len(self.jobs):04d}"
        shutil.copytree(self.checkpoint, model, copy_function=os.link)
        form = {"model": str(model), "benchmarks": [BENCHMARK], "attempts": ATTEMPTS, "max_tokens": MAX_TOKENS}
        job = await _json(http, "POST", f"{self.url}{API}/submissions", json=form)
        self.jobs.append(job["id"])
        self.status[job["id"]] = job["status"]

    async def keep_killing(self, until: asyncio.Event, every_s: float) -> None:
        """SIGKILL to the worker alone: its engine must then end by itself."""
        while not await _pause(until, every_s):
            worker = find_worker(self.process.pid, self.store)
            if worker is not None:
                os.kill(worker, signal.SIGKILL)
                self.kills.append(await asyncio.to_thread(answers_in, self.folder / "data" / "journals"))

    async def keep_sampling(self, http: aiohttp.ClientSession, until: asyncio.Event) -> None:
        """The page's memory, and whether it says that it is ready."""
        began = time.monotonic()
        while not await _pause(until, SAMPLE_S):
            self.memory.sample(self.process.pid, time.monotonic() - began)
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.get(f"{self.url}/ready") as answer:
                    self.ready.append(answer.status == 200)

    async def drain(self, http: aiohttp.ClientSession, enough: asyncio.Event) -> None:
        """Wait until everything that was submitted ended, undisturbed."""
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline and not enough.is_set():
            await self.look(http)
            if all(status in ENDED for status in self.status.values()):
                return
            await _pause(enough, LOOK_S)


def main() -> None:
    """Run and print; the exit status says whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--kill-every", type=float, default=60.0, metavar="S")
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--stand-in", action="store_true", help="a fake engine instead of vLLM")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        checkpoint = make_checkpoint(folder)
        with program(folder, stand_in=given.stand_in) as (url, process):
            soak, tally = Soak(folder=folder, url=url, process=process, checkpoint=checkpoint), Tally()
            took_s = asyncio.run(run(soak, tally, given))
        found = check_board(soak.store, soak.jobs, soak.kills, expected=PROBLEMS * ATTEMPTS)
    report(soak, tally, found, took_s, given)
    sys.exit(0 if found.well and soak.memory.flat and not tally.wrong() else 1)


def make_checkpoint(folder: Path) -> Path:
    """A checkpoint of the demonstration's architecture with untrained weights."""
    made = folder / "untrained"
    python = ROOT / ".venv-engine" / "bin" / "python"
    command = [python, "-m", "backend_jobs.training.tiny_model", str(made)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return made


@contextlib.contextmanager
def program(folder: Path, *, stand_in: bool):  # type: ignore[no-untyped-def]
    """`app.py` on an empty store, with its worker; gives its address and process."""
    port = free_port()
    environment = {**os.environ, "OPEN_R1_DATA": str(folder / "data"), "OPEN_R1_DEMO": "0", "OPEN_R1_WORKER": "1"}
    if stand_in:
        environment["ENGINE_PYTHON"] = str(engine_program(folder))
    log = Path(tempfile.gettempdir()) / f"soak-{port}.log"
    command = [sys.executable, "app.py", "--store", str(folder / "data" / "store.db"), "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        print(f"the program's log: {log}", file=sys.stderr)
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            process.wait(90)


async def run(soak: Soak, tally: Tally, given: argparse.Namespace) -> float:
    """The disturbed part, then the quiet end; gives the seconds of the first."""
    until, enough = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: enough.set() if until.is_set() else until.set())
    async with aiohttp.ClientSession() as http:
        await _wait_for(soak, http)
        began = time.monotonic()
        readers = [Reader(soak.url, tally, seed, jobs=lambda: soak.jobs) for seed in range(given.readers)]
        tasks = [asyncio.ensure_future(reader.read(until)) for reader in readers]
        tasks += [
            asyncio.ensure_future(soak.keep_submitting(http, until)),
            asyncio.ensure_future(soak.keep_killing(until, given.kill_every)),
            asyncio.ensure_future(soak.keep_sampling(http, until)),
        ]
        await asyncio.wait(tasks, timeout=60 * given.minutes, return_when=asyncio.FIRST_EXCEPTION)
        until.set()
        await asyncio.gather(*tasks)
        took_s = time.monotonic() - began
        print("nothing is killed any more; waiting for what was submitted", file=sys.stderr)
        await soak.drain(http, enough)
    return took_s


def report(soak: Soak, tally: Tally, found: Found, took_s: float, given: argparse.Namespace) -> None:
    """Everything that was seen."""
    engine = "a stand-in engine" if given.stand_in else "vLLM"
    answers = sum(len(times) for times in tally.seconds.values())
    print(
        f"{took_s / 60:.1f} minutes on {engine}: {len(soak.kills)} kills, {given.readers} readers, "
        f"{answers:,} answers ({answers / took_s:.1f}/s); ready {sum(soak.ready)} of {len(soak.ready)} times"
    )
    states = ", ".join(f"{sum(s == state for s in soak.status.values())} {state.lower()}" for state in ENDED)
    print(f"submissions: {len(soak.jobs)}, of which {states}; retried after too many kills: {soak.retried}")
    failed = (f"job {job} failed: {reason}" for job, reason in soak.failures.items())
    for line in (*failed, *found.rows(), *soak.memory.rows(), *tally.rows(), *tally.wrong()):
        print(line)


async def _wait_for(soak: Soak, http: aiohttp.ClientSession) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"{soak.url}/health") as answer:
                if answer.status == 200:
                    return
        await asyncio.sleep(0.2)
    raise SystemExit(f"error: the program did not answer within {START_S:.0f} s")


async def _json(http: aiohttp.ClientSession, method: str, url: str, **more: object):  # type: ignore[no-untyped-def]
    async with http.request(method, url, **more) as answer:  # type: ignore[arg-type]
        body = await answer.json()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {url}: HTTP {answer.status}: {body}")
        return body


async def _pause(until: asyncio.Event, seconds: float) -> bool:
    """Wait; true where the end came meanwhile."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(until.wait(), seconds)
    return until.is_set()


if __name__ == "__main__":
    main()
