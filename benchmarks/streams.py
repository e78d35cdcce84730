"""One workload through our stream and through six peers, against one deterministic server with long-tailed answers.

    python -m benchmarks.streams [--peers ours bounded lighteval ...]

Each runs in an environment of its own (scripts/peer_env.sh makes it) with as many requests in flight as the server has
slots. Then each is killed with SIGKILL half way and started again with the same command: what the server had answered
and is asked once more was lost. Prints one table: wall time over the bound max(longest, all tokens / slots), CPU per
answer of the asking alone (imports left out), peak memory, and the answers lost.
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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from benchmarks.peers.common import prompts
from benchmarks.workloads import SHAPES, length_of
from evaluator.engine import free_port
from settings import ROOT

PEERS = {
    "ours": "",
    "bounded": "",
    "batches": "",
    "lighteval": "lighteval",
    "inspect_ai": "inspect_ai",
    "lm_eval": "lm_eval",
    "datatrove": "datatrove",
}
SLOTS = 64
TOKEN_S = 0.0002
KILL_AT = 0.5
PATIENCE_S = 180.0
START_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one peer did. `lost` were answered by the server before the kill and asked again after it."""

    name: str
    over_bound: float
    cpu_ms: float
    peak_mb: float
    lost: int | None
    answered_before: int
    failure: str = ""


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--attempts", type=int, default=12)
    parser.add_argument("--slots", type=int, default=SLOTS)
    parser.add_argument("--no-kill", action="store_true", help="leave out the second half")
    given = parser.parse_args()
    shape, count = SHAPES["aime"], given.problems * given.attempts
    lengths = [length_of(shape, text, turn) for text in prompts(given.problems) for turn in range(given.attempts)]
    bound_s = TOKEN_S * max(max(lengths), sum(lengths) / given.slots)
    print(f"{count} answers, mean {sum(lengths) / count:,.0f} tokens, {given.slots} slots, bound {bound_s:.1f} s")
    print(
        f"{'':<12}{'wall / bound':>13}{'CPU ms / answer':>17}{'peak MB':>9}{'lost when killed':>18}{'of answered':>13}"
    )
    for name in given.peers:
        if PEERS[name]:
            subprocess.run([ROOT / "scripts" / "peer_env.sh", PEERS[name]], check=True, stdout=subprocess.DEVNULL)
        show(measure(name, given, bound_s))


def show(ran: Ran) -> None:
    """One line."""
    if ran.failure:
        print(f"{ran.name:<12}  {ran.failure}", flush=True)
        return
    lost = "-" if ran.lost is None else str(ran.lost)
    print(
        f"{ran.name:<12}{ran.over_bound:>13.2f}{ran.cpu_ms:>17.2f}{ran.peak_mb:>9.0f}{lost:>18}{ran.answered_before:>13}",
        flush=True,
    )


def measure(name: str, given: argparse.Namespace, bound_s: float) -> Ran:
    """Undisturbed, then killed and started again."""
    count = given.problems * given.attempts
    try:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            server(Path(folder), given.slots) as port,
        ):
            log = Path(folder) / "asked.log"
            report = finish(start(name, given, port, Path(folder)), Path(folder))
            asked, answered = read_log(log)
            wall_s = max(at for *_, at in answered) - min(at for *_, at in asked)
        lost, before = (None, 0) if given.no_kill else killed(name, given)
    except (RuntimeError, TimeoutError) as error:
        return Ran(name=name, over_bound=0, cpu_ms=0, peak_mb=0, lost=None, answered_before=0, failure=str(error))
    return Ran(
        name=name,
        over_bound=wall_s / bound_s,
        cpu_ms=1000 * report["cpu_s"] / count,
        peak_mb=report["peak_mb"],
        lost=lost,
        answered_before=before,
    )


def killed(name: str, given: argparse.Namespace) -> tuple[int, int]:
    """SIGKILL half way, start again: answers asked once more than needed, and how many there were at the kill."""
    count = given.problems * given.attempts
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, server(Path(folder), given.slots) as port:
        log = Path(folder) / "asked.log"
        process = start(name, given, port, Path(folder))
        deadline = time.monotonic() + PATIENCE_S
        while len(read_log(log)[1]) < KILL_AT * count:
            if process.poll() is not None or time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                raise RuntimeError(f"it ended or hung before {KILL_AT:.0%} was answered")
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.2)
        before = len(read_log(log)[1])
        finish(start(name, given, port, Path(folder)), Path(folder))
        after = len(read_log(log)[1]) - before
    return max(0, before + after - count), before


def start(name: str, given: argparse.Namespace, port: int, folder: Path) -> subprocess.Popen[bytes]:
    """One runner in its own environment and process group."""
    python = ROOT / ".cache" / "peers" / PEERS[name] / "bin" / "python" if PEERS[name] else Path(sys.executable)
    command = [str(python), "-m", f"benchmarks.peers.{name}", "--url", f"http://127.0.0.1:{port}/v1"]
    command += ["--problems", str(given.problems), "--attempts", str(given.attempts)]
    command += ["--concurrency", str(given.slots), "--out", str(folder / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with (folder / "runner.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )


def finish(process: subprocess.Popen[bytes], folder: Path) -> dict[str, float]:
    """Wait for a runner; what it reported.

    Raises:
        RuntimeError: it failed, or did not end in time.
    """
    try:
        output, _ = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise RuntimeError(f"it did not end within {PATIENCE_S:g} s") from None
    if process.returncode != 0:
        said = (folder / "runner.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"it failed with exit status {process.returncode}: {' '.join(said)}")
    found: dict[str, float] = json.loads(output.decode().splitlines()[-1])
    return found


@contextmanager
def server(folder: Path, slots: int) -> Iterator[int]:
    """The deterministic server of the comparison; yields its port."""
    flags = ["--slots", str(slots), "--token-s", str(TOKEN_S), "--shape", "aime", "--log", str(folder / "asked.log")]
    with answering_server(flags) as port:
        yield port


@contextmanager
def answering_server(flags: list[str]) -> Iterator[int]:
    """A deterministic server with these flags; yields its port."""
    with answering_process(flags) as (_, port):
        yield port


@contextmanager
def answering_process(flags: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A deterministic server as a process of its own; yields it and its port."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.fake_server", "--port", str(port), *flags]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and not answers(port):
            time.sleep(0.05)
        yield process, port
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    """Whether the server listens."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
            return True
    except OSError:
        return False


def read_log(log: Path) -> tuple[list[tuple[str, str, float]], list[tuple[str, str, float]]]:
    """(prompt, turn, time) of every request and of every answer."""
    found: dict[str, list[tuple[str, str, float]]] = {"asked": [], "answered": []}
    for line in log.read_text().splitlines() if log.exists() else []:
        what, prompt, turn, at = line.split()
        found[what].append((prompt, turn, float(at)))
    return found["asked"], found["answered"]


if __name__ == "__main__":
    main()
