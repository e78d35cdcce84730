"""What a board takes: disk per answer and result, memory of each process, what the page can answer. Prints one table.

    python -m benchmarks.sizing

Measured: `evaluate` on the whole of `arithmetic` (1,600 answers of 20,000 characters, words in random order) from a
stand-in engine into a new store; then the page over that store. Weights and engines are not in it: `plan` says what
they take. A token is 2.8 characters, as in recorded reasoning.
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fake_server import CHARACTERS_PER_TOKEN, MODEL
from benchmarks.grading_speed import grade_input
from benchmarks.streams import answering_server
from evaluator.benchmarks import BENCHMARKS
from evaluator.engine import free_port
from evaluator.grading_pool import GraderPool
from settings import ROOT

CHARACTERS = 20_000
LOOK_EVERY_S = 0.2
SERVER = ["--characters", str(CHARACTERS), "--median", "200", "--varied"]
READERS, ASKED = 8, 400
FORMULAS = (("\\frac{3}{4}", "0.75"), ("\\sqrt{8}", "2\\sqrt{2}"), ("x^2-1", "(x-1)(x+1)"))
SUITE = ("math_500", "aime_2024", "aime_2025", "gpqa_diamond")
MEAN_TOKENS = 10_000
"""Of an answer in the suite's projection: what reasoning models need on AIME."""


@dataclass(slots=True)
class Memory:
    """The most that a process held, in MB."""

    own: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def watch(self, pid: int) -> None:
        """Look until `done` is set or the process ends."""
        while not self.done.wait(LOOK_EVERY_S):
            self.own = max(self.own, _peak_mb(pid))


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="sizing-") as folder:
        work = Path(folder)
        with answering_server(SERVER) as port:
            memory = evaluate(work, port)
        page, rate, p99_ms = serve(work)
        journal, store = (_bytes(work, name) for name in ("journal.db", "store.db"))
    answers = BENCHMARKS["arithmetic"].problems * BENCHMARKS["arithmetic"].attempts
    a_character, stored = journal / answers / CHARACTERS, store / answers / CHARACTERS
    suite = sum(BENCHMARKS[name].problems * BENCHMARKS[name].attempts for name in SUITE)
    suite_characters = suite * MEAN_TOKENS * CHARACTERS_PER_TOKEN
    print("| what | takes |")
    print("|---|---|")
    print(f"| journal, a token of an answer | {a_character * CHARACTERS_PER_TOKEN:.1f} bytes |")
    print(f"| store, a token of a published answer | {stored * CHARACTERS_PER_TOKEN:.1f} bytes |")
    print(
        f"| one checkpoint on the suite ({suite:,} answers of {MEAN_TOKENS:,} tokens) | "
        f"{a_character * suite_characters / 1e9:.2f} GB of journal, {stored * suite_characters / 1e9:.2f} GB of store |"
    )
    print(f"| memory: an evaluation | {memory.own:,.0f} MB |")
    print(f"| memory: a grading process, one for two cores | {grading_mb():,.0f} MB |")
    print(f"| memory: the page | {page.own:,.0f} MB |")
    print(f"| API, {READERS} readers at once | {rate:,.0f} answers/s, p99 {p99_ms:.0f} ms |")


def evaluate(work: Path, port: int) -> Memory:
    """One evaluation into the store; the memory that it took."""
    environment = {**os.environ, "OPEN_R1_DATA": str(work / "data")}
    command = [sys.executable, "-m", "backend_jobs", "evaluate", "--model", MODEL, "--benchmark", "arithmetic"]
    command += ["--endpoint", f"http://127.0.0.1:{port}/v1", "--store", str(work / "store.db")]
    command += ["--journal", str(work / "journal.db")]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    memory = Memory()
    with _watched(memory, process.pid):
        if process.wait():
            raise SystemExit(f"the evaluation ended with status {process.returncode}")
    return memory


def serve(work: Path) -> tuple[Memory, float, float]:
    """The page over the store: its memory, and answers a second and the 99th percentile of their time in ms."""
    port = free_port()
    environment = {**os.environ, "OPEN_R1_DATA": str(work / "data"), "OPEN_R1_WORKER": "0"}
    command = [sys.executable, "app.py", "--store", str(work / "store.db"), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    memory = Memory()
    try:
        with _watched(memory, process.pid):
            while not _answers(port):
                if process.poll() is not None:
                    raise SystemExit(f"the page ended with status {process.returncode}")
                time.sleep(0.2)
            _ask(port, "/")
            began = time.monotonic()
            with ThreadPoolExecutor(READERS) as readers:
                took = sorted(readers.map(lambda _: _ask(port, "/api/v1/leaderboard"), range(ASKED)))
            rate = ASKED / (time.monotonic() - began)
    finally:
        process.terminate()
        process.wait()
    return memory, rate, 1e3 * took[int(0.99 * len(took))]


def grading_mb() -> float:
    """A process that has decided formulas: exact answers such as those of `arithmetic` need none."""
    with GraderPool(workers=1) as pool:
        for target, answer in FORMULAS:
            pool.submit(grade_input({"problem_id": "f", "gold": target, "completion": f"\\boxed{{{answer}}}"})).result()
        return max(_peak_mb(child) for child in _children(os.getpid()))


@contextmanager
def _watched(memory: Memory, pid: int) -> Iterator[None]:
    watcher = threading.Thread(target=memory.watch, args=(pid,))
    watcher.start()
    try:
        yield
    finally:
        memory.done.set()
        watcher.join()


def _ask(port: int, path: str) -> float:
    """Seconds until the whole answer is there."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path} answers {answer.status}")
    return time.monotonic() - began


def _answers(port: int) -> bool:
    try:
        return _ask(port, "/health") >= 0
    except OSError:
        return False


def _bytes(work: Path, name: str) -> int:
    return sum(path.stat().st_size for path in work.glob(f"{name}*") if not path.name.endswith(".lock"))


def _peak_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024 if "VmHWM:" in status else 0.0


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(path.parent.name))
    return found


if __name__ == "__main__":
    main()
