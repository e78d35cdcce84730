"""Two workers and one board on one store on the Hub; one worker is killed in the middle. Prints what happened.

    python -m benchmarks.hub_takeover --jobs 6

Workers are processes of their own; a job lasts two seconds, and none ends before the kill. Beats go to the board's API
and are committed together. The lease is shortened from 45 minutes to seconds. The table is the history of the dataset
itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

from huggingface_hub import HfApi

from backend_jobs.beats import Beats
from backend_jobs.clock import Clock
from backend_jobs.hub_queue import BoardLink, HubQueue
from backend_jobs.queue import StoreQueue
from backend_jobs.types import Outcome
from backend_jobs.worker import JobContext, Worker
from leaderboard.api.application import build_root
from leaderboard.api.context import ApiContext
from leaderboard.board import Board
from leaderboard.hub_repository import HubRepository
from leaderboard.hub_store import HubStore, Waits
from leaderboard.live import FileLive
from leaderboard.types import JobKind, JobRecord, Status, Submission
from tests.fakes.hub_server import FakeHub
from tests.site import served

REPO, TOKEN, SHARED = "alice/board", "hf_alice", "worker-token"
JOB_S, LEASE_S, BEAT_S, COMMIT_BEATS_S = 2.0, 8.0, 0.5, 2.0
PATIENCE_S, POLL_S = 240.0, 0.05
KILLED = "killed"
"""A file that says that the kill is over: from then on jobs end."""


@dataclass(frozen=True, kw_only=True)
class Takeover:
    """What happened: (seconds since the beginning, what) in order, and the jobs as they ended."""

    events: list[tuple[float, str]]
    jobs: list[JobRecord]
    killed: str


def main() -> None:
    """Run it and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--worker", nargs=4, metavar=("ROOT", "BOARD", "NAME", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(*given.worker)
        return
    came = takeover(given.jobs)
    for at, what in came.events:
        print(f"{at:7.1f} s  {what}")
    print(f"\nkilled: {came.killed}")
    for job in came.jobs:
        print(f"{job.submission.id}: {job.status}, attempt {job.attempt}, by {job.worker}, lost workers {job.lost}")


def takeover(jobs: int) -> Takeover:
    """Run the scene. Raises AssertionError where a job did not finish exactly once."""
    with FakeHub() as hub, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hub.account("alice", token=TOKEN)
        HfApi(endpoint=hub.root, token=TOKEN).create_repo(REPO, repo_type="dataset")
        began = time.time()
        with board(hub, folder) as (queue, url):
            for number in range(jobs):
                queue.submit(submission(number))
            workers = {each: _start(hub.root, url, each, folder) for each in ("worker-1", "worker-2")}
            killed = _kill_one(hub, queue, workers)
            (folder / KILLED).touch()
            _wait_until_all_ended(queue, jobs)
            ended = queue.jobs()
            for process in workers.values():
                process.terminate()
                process.wait()
        repository = hub.repositories[f"datasets/{REPO}"]
        commits = list(repository.history(repository.refs["main"]))[::-1]
        events = [(made.date.timestamp() - began, made.title) for _, made in commits]
        events.append((killed[1] - began, f"{killed[0]} is killed with SIGKILL"))
        finishes = Counter(made.title for _, made in commits if made.title.startswith("finish "))
    assert [job.status for job in ended] == [Status.FINISHED] * jobs
    assert sorted(finishes.values()) == [1] * jobs, "every submission finishes once"
    return Takeover(events=sorted(events), jobs=ended[::-1], killed=killed[0])


def submission(number: int) -> Submission:
    """One of some jobs, in order."""
    return Submission(
        id=f"job-{number}",
        kind=JobKind.EVALUATE,
        model=f"owner/model-{number}",
        submitted_at=f"2026-01-01T00:00:{number:02d}+00:00",
        benchmarks=("math_500",),
    )


@contextmanager
def board(hub: FakeHub, folder: Path) -> Iterator[tuple[StoreQueue, str]]:
    """The Space: queue, API, and the clock that commits beats."""
    store = _open(hub.root, folder / "board")
    queue, live = StoreQueue(store, lease_s=LEASE_S), FileLive(folder / "live")
    beats = Beats(store, queue, live)
    context = ApiContext(
        board=Board(store),
        queue=queue,
        live=live,
        submit=lambda _form, _name: (_ for _ in ()).throw(AssertionError("nobody submits here")),
        identify=lambda _: None,
        local_mode=False,
        beats=beats,
        worker_token=SHARED,
    )
    clock = Clock()
    clock.every(COMMIT_BEATS_S, beats.commit, name="commit beats")
    clock.start()
    with served(build_root(context)) as url:
        yield queue, url
    clock.stop()


def work(root: str, board_url: str, name: str, folder: str) -> None:
    """A worker process: takes jobs until it is ended."""
    queue = HubQueue(_open(root, Path(folder) / name), worker=name, link=BoardLink(board_url, SHARED), lease_s=LEASE_S)

    def run(record: JobRecord, context: JobContext) -> Outcome:
        context.report(phase="measuring")
        context.cancelled.wait(JOB_S)
        while not (Path(folder) / KILLED).exists() and not context.cancelled.wait(POLL_S):
            continue
        result = f"results/{record.submission.model}/{record.submission.id}.json"
        return Outcome(results=(record.submission.id,), changes={result: record.submission.id.encode()})

    worker = Worker(queue, BoardLink(board_url, SHARED), run, name=name, beat_s=BEAT_S)
    while True:
        if not worker.run_once():
            time.sleep(0.2)


def _start(root: str, url: str, name: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.hub_takeover", "--worker", root, url, name, str(folder)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def _kill_one(hub: FakeHub, queue: StoreQueue, workers: dict[str, subprocess.Popen[bytes]]) -> tuple[str, float]:
    """Kill worker-1 in the middle of a job, once the board has committed beats. Until then no job ends."""
    log = hub.repositories[f"datasets/{REPO}"].log
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        taken = any(job.status is Status.RUNNING and job.worker == "worker-1" for job in queue.jobs())
        if taken and any(made.title.startswith("beats of ") for made in list(log.values())):
            workers["worker-1"].kill()
            return "worker-1", time.time()
        time.sleep(POLL_S)
    raise AssertionError("worker-1 took no job")


def _wait_until_all_ended(queue: StoreQueue, jobs: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while sum(job.status is Status.FINISHED for job in queue.jobs()) < jobs:
        assert time.monotonic() < deadline, [job.status for job in queue.jobs()]
        time.sleep(0.2)


def _open(root: str, cache: Path) -> HubStore:
    waits = Waits(first_s=0.05, longest_s=1.0, patience_s=60)
    return HubStore(HubRepository(REPO, token=TOKEN, endpoint=root), cache, refresh_s=0.2, waits=waits)


if __name__ == "__main__":
    main()
