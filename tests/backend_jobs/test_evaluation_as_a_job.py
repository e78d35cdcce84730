"""A whole evaluation on a rented machine: the board in a dataset, the machine a Job that really runs, ours killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from backend_jobs.jobs import JobRunner
from backend_jobs.ledger import Ledger
from backend_jobs.queue import StoreQueue
from backend_jobs.worker import Worker
from leaderboard.board import Board
from leaderboard.hub_repository import HubRepository
from leaderboard.hub_store import HubStore
from leaderboard.live import FileLive
from leaderboard.spending import Budget
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import ResolvedModel, check_submission, resolve_folder
from leaderboard.types import Status
from settings import ROOT, Settings
from tests.checkpoints import sound_checkpoint
from tests.fakes.engine_program import engine_program
from tests.fakes.hub_jobs import Machine
from tests.fakes.hub_server import FakeHub

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
REPO, STORE = "alice/board", "hf://datasets/alice/board"
LIMIT_S = 240.0


def machine(hub: FakeHub, folder: Path) -> Machine:
    """What an image brings: an engine, a place for files, and no token."""
    names = ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    return Machine(
        environment=environment
        | {
            "HF_ENDPOINT": hub.root,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(folder / "hf"),
            "HOME": str(folder),
            "OPEN_R1_DATA": str(folder / "machine"),
            "ENGINE_PYTHON": str(engine_program(folder)),
        },
        folder=ROOT,
        schedule_s=0.5,
    )


@contextmanager
def dispatching(hub: FakeHub, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command line that looks after machines, as an operator runs it."""
    environment = {**os.environ, "HF_ENDPOINT": hub.root, "HF_TOKEN": "hf_alice", "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HOME": str(folder / "hf"), "OPEN_R1_DATA": str(folder / "board")}
    environment |= {
        "OPEN_R1_RENT_NAMESPACE": "alice",
        "OPEN_R1_JOBS_IMAGE": "registry/worker:1",
        "OPEN_R1_JOBS_FOLDER": str(ROOT),
    }
    command = [sys.executable, "-m", "backend_jobs", "dispatch", "--once", "--launcher", "hf-jobs", "--store", STORE]
    with (folder / "dispatch.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def measured_here(folder: Path) -> float:
    """The same checkpoint's score by a worker on this machine."""
    weights = folder / "model"
    weights.mkdir()
    for name, content in sound_checkpoint().items():
        (weights / name).write_bytes(content)
    settings = Settings(
        data_dir=folder / "here", store=str(folder / "here.db"), engine_python=str(engine_program(folder))
    )
    store = SqliteStore(Path(settings.store))
    queue = StoreQueue(store)
    form = {"model": str(weights), "benchmarks": ["arithmetic"], "attempts": 1}
    queue.submit(check_submission(form, local_mode=True, resolve=lambda *_: resolve_folder(weights)))
    Worker(queue, FileLive(folder / "live"), JobRunner(settings, queue).run, name="here").run_once()
    (row,) = Board(store).rows()
    return row.statistics.score


def test_an_evaluation_runs_as_a_job_to_one_result_although_what_follows_it_is_killed(tmp_path: Path) -> None:
    with FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        HfApi(endpoint=hub.root, token="hf_alice").create_repo(REPO, repo_type="dataset")
        commit = hub.add("alice/model", sound_checkpoint())
        store = HubStore(HubRepository(REPO, token="hf_alice", endpoint=hub.root), tmp_path / "cache", refresh_s=0)
        queue = StoreQueue(store)
        form = {"model": "alice/model", "benchmarks": ["arithmetic"], "attempts": 1}
        resolved = ResolvedModel(model="alice/model", source="alice/model", revision=None, commit=commit)
        job_id = queue.submit(check_submission(form, local_mode=False, resolve=lambda *_: resolved)).submission.id
        hub.jobs.machine = machine(hub, tmp_path)

        deadline = time.monotonic() + LIMIT_S
        with dispatching(hub, tmp_path) as first:
            while not list((tmp_path / "board" / "machines").glob("*.log")):
                assert time.monotonic() < deadline, (tmp_path / "dispatch.log").read_text()
                assert first.poll() is None, (tmp_path / "dispatch.log").read_text()
                time.sleep(0.1)
            first.send_signal(signal.SIGKILL)
        with dispatching(hub, tmp_path) as second:
            assert second.wait(LIMIT_S) == 0, (tmp_path / "dispatch.log").read_text()

        job = queue.find(job_id)
        assert job.status is Status.FINISHED, job.failure
        (row,) = Board(store).rows()
        assert row.statistics.score == measured_here(tmp_path)
        (rented,) = hub.jobs.jobs.values()
        assert rented["status"]["stage"] == "COMPLETED"
        assert job.worker == rented["labels"]["open-r1-key"]
        (record,) = Ledger(store, Budget()).records()
        assert record.state == "finished"
        repository = hub.repositories[f"datasets/{REPO}"]
        titles = [made.title for _, made in repository.history(repository.refs["main"])]
        assert titles.count(f"finish {job_id}") == 1
        (log,) = (tmp_path / "board" / "machines").glob("*.log")
        _, *printed = [line.rpartition("\r")[2] for line in next(iter(hub.jobs.lines.values()))]
        assert log.read_text().splitlines() == printed, "every line once, across the kill"
        everything = (
            json.dumps(list(hub.jobs.jobs.values())) + (tmp_path / "dispatch.log").read_text() + log.read_text()
        )
        assert "hf_alice" not in everything
