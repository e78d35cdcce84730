"""Kills evaluations, engines and both with SIGKILL at random moments, through a fault server, and compares the results.

    python -m benchmarks.kill_campaign [--runs 200] [--seed 0]

Real processes and sockets: the engine (a deterministic model, benchmarks/fake_server.py), the fault server before it
(benchmarks/fault_proxy.py) and the command line's `evaluate`. Every run has one transient fault of 1 to 30 % of the
requests and one to three kills. Afterwards: is the score that of the undisturbed run, is every answer that the journal
held at a kill still there and never asked again, was anything delivered asked again without a kill in between, is the
journal whole? Then the permanent faults, each of which must end the job with its code and publish nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.request import urlopen

from benchmarks.fake_server import MODEL
from benchmarks.fault_proxy import ILL_FOR_GOOD, PERMANENT, TRANSIENT
from leaderboard.stores import open_store
from settings import ROOT

BENCHMARK, ATTEMPTS, PROBLEMS = "arithmetic", 1, 400
IN_FLIGHT = 32
TOKEN_S, SLOTS = 0.0004, 32
VICTIMS = ("worker", "engine", "both")
WAIT_S = 120.0
OWN_PORTS = 20_000, 30_000
"""Below Linux's range of ephemeral ports."""
FORKS = multiprocessing.get_context("forkserver")
PRELOADED = ["backend_jobs.verbs", "backend_jobs.cli", "evaluator.tasks", "evaluator.math_equality", "uvloop"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One disturbed run: what fails how often, who is killed at which share of the answers."""

    seed: int
    fault: str | None
    rate: float
    kills: tuple[tuple[float, str], ...]

    def __str__(self) -> str:
        kills = ", ".join(f"{who} at {share:.0%}" for share, who in self.kills) or "nobody killed"
        return f"seed {self.seed}: {self.fault} {self.rate:.0%}, {kills}"


@dataclass(slots=True)
class Found:
    """What one run showed. Everything but `seconds`, `kills` and `score` should be zero or empty."""

    score: float | None = None
    code: str = ""
    answers: dict[int, str] = field(default_factory=dict)
    kills: int = 0
    lost: int = 0
    asked_again: int = 0
    repeated: int = 0
    damaged: str = ""
    published: int = 0
    faulted: int = 0
    seconds: float = 0.0


def case(seed: int) -> Case:
    """The faults and kills of one seed."""
    chance = random.Random(seed)
    names = list(TRANSIENT)
    shares = sorted(chance.uniform(0.0, 0.95) for _ in range(chance.randint(1, 3)))
    return Case(
        seed=seed,
        fault=names[seed % len(names)],
        rate=math.exp(chance.uniform(math.log(0.01), math.log(0.30))),
        kills=tuple((share, chance.choice(VICTIMS)) for share in shares),
    )


def evaluate(arguments: list[str], result: str, data: str) -> None:
    """The body of a worker process: the command line's `evaluate`, its outcome as JSON in a file."""
    os.environ["OPEN_R1_DATA"] = data
    from backend_jobs.cli import parser
    from backend_jobs.logs import log_to_stderr
    from evaluator.errors import OpenR1Error
    from settings import read_settings

    log = os.open(f"{result}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    log_to_stderr()
    options = parser(read_settings()).parse_args(["evaluate", *arguments])
    try:
        outcome = options.run(options, read_settings())
    except OpenR1Error as error:
        outcome = {"code": error.code, "message": str(error)}
    Path(result).write_text(json.dumps(outcome), encoding="utf-8")


class Scene:
    """The three kinds of processes of one run, in a folder of its own."""

    def __init__(self, folder: Path, given: Case) -> None:
        self.folder, self.case = folder, given
        self.journal, self.store, self.result = folder / "journal.db", folder / "store.db", folder / "result.json"
        self.port, self.engine_port = own_port(given.seed), own_port(given.seed)
        self.asked_log, self.proxy_log = folder / "asked.log", folder / "proxy.log"
        self.engine = self.start_engine()
        self.proxy = self._start("fault_proxy", self._proxy_flags())
        self.worker: BaseProcess | None = None
        self.wait_for_engine()

    def _proxy_flags(self) -> list[str]:
        flags = ["--port", str(self.port), "--engine-port", str(self.engine_port), "--log", str(self.proxy_log)]
        if self.case.fault is not None:
            flags += ["--fault", self.case.fault, "--rate", str(self.case.rate), "--seed", str(self.case.seed)]
        return flags

    def start_engine(self) -> subprocess.Popen[bytes]:
        """The deterministic model on its port."""
        flags = ["--port", str(self.engine_port), "--log", str(self.asked_log)]
        flags += ["--slots", str(SLOTS), "--token-s", str(TOKEN_S), "--median", "60", "--cap", "128"]
        return self._start("fake_server", flags)

    def _start(self, module: str, flags: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", f"benchmarks.{module}", *flags], cwd=ROOT)

    def wait_for_engine(self) -> None:
        """Until both servers answer."""
        wait_until(lambda: _healthy(self.port), "the engine behind the fault server to answer")

    def start_worker(self) -> None:
        """`evaluate`, from whatever the journal holds."""
        flags = ["--model", MODEL, "--benchmark", BENCHMARK, "--attempts", str(ATTEMPTS), "--json"]
        flags += ["--endpoint", f"http://127.0.0.1:{self.port}/v1", "--journal", str(self.journal)]
        flags += ["--store", str(self.store), "--concurrency", str(IN_FLIGHT)]
        self.worker = FORKS.Process(target=evaluate, args=(flags, str(self.result), str(self.folder)))
        self.worker.start()

    def rows(self) -> dict[int, str]:
        """What the journal holds: text by seed."""
        if not self.journal.exists():
            return {}
        with contextlib.closing(sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True)) as database:
            try:
                return dict(database.execute("SELECT seed, text FROM answers"))
            except sqlite3.OperationalError:
                return {}

    def close(self) -> None:
        """End what is left."""
        if self.worker is not None and self.worker.is_alive():
            self.worker.kill()
        for process in (self.engine, self.proxy):
            process.kill()
            process.wait()


def own_port(seed: int) -> int:
    """A free port that the kernel gives to nobody by itself: while an engine is dead, no stranger may answer for it."""
    chance = random.Random(f"{seed} {os.getpid()} {time.monotonic_ns()}")
    while True:
        port = chance.randrange(*OWN_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def run_case(given: Case, folder: Path) -> Found:
    """Carry out one run and look at what is left."""
    found, started = Found(kills=len(given.kills)), time.monotonic()
    scene = Scene(folder, given)
    try:
        scene.start_worker()
        held = [kill_at(scene, share, victim) for share, victim in given.kills]
        wait_until(lambda: not _alive(scene.worker), f"the evaluation to end ({given})")
        outcome = json.loads(scene.result.read_text()) if scene.result.exists() else {"code": "no outcome"}
        found.score, found.code = outcome.get("score"), outcome.get("code", "")
        found.answers = scene.rows()
        found.damaged = integrity(scene.journal)
        found.published = results_in(scene.store)
        look_back(scene, held, found)
    finally:
        scene.close()
    found.seconds = time.monotonic() - started
    return found


@dataclass(frozen=True, slots=True)
class Held:
    """What the journal held at a kill, and how many lines the fault server had logged by then."""

    rows: dict[int, str]
    lines: int


def kill_at(scene: Scene, share: float, victim: str) -> Held:
    """Once `share` of the answers are there: SIGKILL, note what the journal holds, start the victim again."""
    wait_until(lambda: len(scene.rows()) >= share * PROBLEMS * ATTEMPTS or not _alive(scene.worker), "answers")
    worker = scene.worker
    assert worker is not None
    assert worker.pid is not None
    if victim in ("engine", "both"):
        scene.engine.kill()
        scene.engine.wait()
    if victim in ("worker", "both") and worker.is_alive():
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    held = Held(scene.rows(), len(_lines(scene.proxy_log)))
    with scene.proxy_log.open("a", encoding="ascii") as log:
        log.write(f"kill {victim}\n")
    if victim in ("engine", "both"):
        scene.engine = scene.start_engine()
    if victim in ("worker", "both"):
        scene.wait_for_engine()
        scene.start_worker()
    return held


def look_back(scene: Scene, held: list[Held], found: Found) -> None:
    """Count what was lost, what was asked again although it was answered, and what went wrong on purpose."""
    lines = _lines(scene.proxy_log)
    for moment in held:
        found.lost += sum(found.answers.get(seed) != text for seed, text in moment.rows.items())
        later = {int(seed) for what, seed in lines[moment.lines :] if what != "kill"}
        found.asked_again += len(later & moment.rows.keys())
    open_: set[int] = set()
    orphans: set[int] = set()
    delivered: set[int] = set()
    for what, who in lines:
        if what == "kill":
            if who != "engine":
                orphans |= open_
                delivered.clear()
            continue
        seed = int(who)
        if what == "asked":
            open_.add(seed)
            continue
        open_.discard(seed)
        found.faulted += what == "faulted"
        if what == "delivered" and seed in orphans:
            orphans.discard(seed)  # to a client that is dead: it was in flight at the kill
        elif what == "delivered":
            found.repeated += seed in delivered
            delivered.add(seed)


def integrity(journal: Path) -> str:
    """What SQLite finds wrong with the journal; empty where nothing is."""
    if not journal.exists():
        return ""
    with contextlib.closing(sqlite3.connect(journal)) as database:
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
    return "" if verdict == "ok" else str(verdict)


def results_in(store: Path) -> int:
    """Results that were published."""
    return len(open_store(str(store)).snapshot("results/").names)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until it holds.

    Raises:
        TimeoutError: it did not within WAIT_S.
    """
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {WAIT_S:g} s for {what}")
        time.sleep(0.02)


def _alive(process: BaseProcess | None) -> bool:
    return process is not None and process.is_alive()


def _healthy(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _lines(log: Path) -> list[tuple[str, str]]:
    if not log.exists():
        return []
    return [(what, who) for what, _, who in (line.partition(" ") for line in log.read_text().splitlines())]


def main() -> None:
    """Run the campaign and print one table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=200)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    FORKS.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        calm = run_case(Case(seed=-1, fault=None, rate=0.0, kills=()), _new(folder, "calm"))
        print(f"undisturbed: score {calm.score}, {len(calm.answers)} answers, {calm.seconds:.1f} s", flush=True)
        rows: dict[str, list[Found]] = {name: [] for name in TRANSIENT}
        for seed in range(given.seed, given.seed + given.runs):
            disturbed = case(seed)
            found = run_case(disturbed, _new(folder, str(seed)))
            rows[disturbed.fault or ""].append(found)
            if wrong := judged(found, calm):
                print(f"WRONG {disturbed}: {wrong}", flush=True)
            if seed % 20 == 19:
                print(f"{seed + 1 - given.seed} runs", file=sys.stderr, flush=True)
        table(rows, calm)
        permanent(Path(folder))


def _new(folder: str, name: str) -> Path:
    path = Path(folder) / name
    path.mkdir()
    return path


def judged(found: Found, calm: Found) -> str:
    """What is wrong with a run, in words; empty where nothing is."""
    wrong = {
        f"score {found.score} {found.code}": found.score != calm.score,
        "other answers": found.answers != calm.answers,
        f"{found.lost} lost": found.lost,
        f"{found.asked_again} asked again": found.asked_again,
        f"{found.repeated} delivered twice": found.repeated,
        f"journal: {found.damaged}": found.damaged,
        f"{found.published} published": found.published != 1,
    }
    return ", ".join(text for text, is_wrong in wrong.items() if is_wrong)


def table(rows: dict[str, list[Found]], calm: Found) -> None:
    """One line per fault."""
    print(
        f"{'fault':<12}{'runs':>6}{'kills':>7}{'faults':>8}{'same score':>12}{'same texts':>12}{'lost':>6}"
        f"{'asked again':>13}{'delivered twice':>17}{'damaged':>9}{'seconds':>9}"
    )
    every = [found for column in rows.values() for found in column]
    for name, runs in [*rows.items(), ("together", every)]:
        print(
            f"{name:<12}{len(runs):>6}{sum(f.kills for f in runs):>7}{sum(f.faulted for f in runs):>8}"
            f"{sum(f.score == calm.score for f in runs):>12}{sum(f.answers == calm.answers for f in runs):>12}"
            f"{sum(f.lost for f in runs):>6}{sum(f.asked_again for f in runs):>13}{sum(f.repeated for f in runs):>17}"
            f"{sum(bool(f.damaged) for f in runs):>9}{sum(f.seconds for f in runs):>9.0f}"
        )


def permanent(folder: Path) -> None:
    """Faults that no repetition cures, on every request and on one in twenty; and a server that is ill for good."""
    print(f"\n{'permanent':<12}{'rate':>6}  {'code':<26}{'published':>10}{'in the journal':>16}{'journal':>9}")
    cases = [(name, rate) for name in PERMANENT for rate in (1.0, 0.05)]
    for name, rate in [*cases, *((name, 1.0) for name in ILL_FOR_GOOD)]:
        found = run_case(Case(seed=0, fault=name, rate=rate, kills=()), _new(str(folder), f"{name} {rate}"))
        print(
            f"{name:<12}{rate:>6.0%}  {found.code or 'measured':<26}{found.published:>10}{len(found.answers):>16}"
            f"{found.damaged or 'whole':>9}"
        )


if __name__ == "__main__":
    main()
