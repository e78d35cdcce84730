"""A real vLLM serves a checkpoint, with one rank and with two, and is asked by the real run loop."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from evaluator.journal import Journal
from evaluator.process import group_members
from settings import ROOT
from tests.evaluator.test_process import wait_until

pytestmark = pytest.mark.engine


class Watcher(Thread):
    """Notes the largest number of vLLM worker processes that descend from one process."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.most, self.groups, self.done = root, 0, set[int](), Event()

    def run(self) -> None:
        while not self.done.wait(0.5):
            for group in process_groups():
                workers = [title for _, title in group_members(group) if title.startswith("VLLM::Worker")]
                if workers and self._is_ours(group):
                    self.groups.add(group)
                    self.most = max(self.most, len(workers))

    def _is_ours(self, group: int) -> bool:
        pid = group
        while pid > 1:
            if pid == self.root:
                return True
            try:
                pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            except FileNotFoundError:
                return False
        return False


def process_groups() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int((entry / "stat").read_text().rpartition(")")[2].split()[2])
            except (FileNotFoundError, ProcessLookupError):
                continue


def evaluate(checkpoint: Path, work: Path, *flags: str) -> tuple[dict[str, Any], Watcher]:
    """Run the command line's `evaluate` on two problems of each kind; returns its JSON and what was running."""
    command = [sys.executable, "-m", "backend_jobs", "evaluate", "--model", str(checkpoint)]
    command += ["--benchmark", "arithmetic", "--limit", "12", "--max-tokens", "24", "--json", *flags]
    environment = {**os.environ, "OPEN_R1_DATA": str(work)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    watcher = Watcher(process.pid)
    watcher.start()
    output, errors = process.communicate(timeout=400)
    watcher.done.set()
    watcher.join()
    assert process.returncode == 0, errors.decode()[-3000:]
    return json.loads(output.decode().splitlines()[-1]), watcher


@pytest.mark.parametrize(("size", "workers"), [(1, 1), (2, 2)])
def test_a_checkpoint_is_served_with_tensor_parallel_and_measured(
    checkpoint: Path, tmp_path: Path, size: int, workers: int
) -> None:
    result, watcher = evaluate(checkpoint, tmp_path, "--tensor-parallel-size", str(size))
    assert watcher.most == workers
    assert result["engine"]["tensor_parallel_size"] == size
    assert result["engine"]["version"] == "0.31.0"
    assert result["engine"]["device"] == "cpu"
    assert sum(result["verdicts"].values()) == 12 * 4
    assert result["truncated"] > 12 * 3, "untrained weights hardly ever stop by themselves"
    assert 20 < result["mean_completion_tokens"] <= 24
    assert not any(group_members(group) for group in watcher.groups), "the engine outlived the evaluation"


def test_the_engine_dies_with_an_evaluation_that_is_killed_with_sigkill(checkpoint: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "backend_jobs",
        "evaluate",
        "--model",
        str(checkpoint),
        "--benchmark",
        "arithmetic",
    ]
    environment = {**os.environ, "OPEN_R1_DATA": str(tmp_path)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    watcher = Watcher(process.pid)
    watcher.start()
    assert wait_until(lambda: bool(watcher.groups), 120), "no vLLM worker appeared"
    process.kill()
    process.wait()
    watcher.done.set()
    assert wait_until(lambda: not any(group_members(group) for group in watcher.groups), 30)


def test_two_servers_share_the_work_and_one_that_is_killed_is_lost_to_nobody(checkpoint: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "backend_jobs", "evaluate", "--model", str(checkpoint), "--replicas", "2"]
    command += ["--benchmark", "arithmetic", "--limit", "100", "--max-tokens", "96", "--json"]
    journal = tmp_path / "journal.db"
    process = subprocess.Popen(
        [*command, "--journal", str(journal)],
        cwd=ROOT,
        env={**os.environ, "OPEN_R1_DATA": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    watcher = Watcher(process.pid)
    watcher.start()
    assert wait_until(lambda: answers_in(journal) >= 60 or process.poll() is not None, 500), "no answer arrived"
    if process.poll() is None:
        os.killpg(sorted(watcher.groups)[-1], signal.SIGKILL)
    output, errors = process.communicate(timeout=500)
    watcher.done.set()
    watcher.join()
    assert process.returncode == 0, errors.decode()[-3000:]
    result = json.loads(output.decode().splitlines()[-1])
    assert result["engine"]["replicas"] == 2
    assert sum(result["verdicts"].values()) == answers_in(journal) == 400
    with Journal(journal) as kept:
        (record,) = kept.streams(result["generation_key"])
    assert sum(replica.answered for replica in record.replicas) == 400
    assert min(replica.answered for replica in record.replicas) > 0
    assert sum(replica.transient_faults for replica in record.replicas) > 0


def answers_in(journal: Path) -> int:
    """How many answers a journal holds; 0 where there is none yet."""
    try:
        with sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True) as database:
            return int(database.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
