"""Real processes on one store: killed, paused, and racing for the same jobs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from backend_jobs.queue import StoreQueue
from backend_jobs.types import LeaseLost, Outcome
from backend_jobs.worker import JobContext, Worker
from leaderboard.live import FileLive
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import Store
from leaderboard.submissions import SubmissionRejected
from leaderboard.types import JobKind, JobRecord, Status, Submission
from tests.waiting import until

SPAWN = multiprocessing.get_context("spawn")
LEASE_S = 0.5
LONG_LEASE_S = 60.0
"""Where no worker may seem lost, however busy the machine is."""
BEAT_S = 0.05
SOON_S = 20.0


def submission(number: int, commit: int | None = None) -> Submission:
    return Submission(
        id=f"job-{number:03d}",
        kind=JobKind.EVALUATE,
        model="open-r1/tiny",
        commit=f"{number if commit is None else commit:040x}",
        benchmarks=("math_500",),
        submitted_at=f"2026-01-31T12:00:{number % 60:02d}+00:00",
    )


def open_queue(folder: Path, lease_s: float = LEASE_S) -> StoreQueue:
    return StoreQueue(SqliteStore(folder / "store.db"), lease_s=lease_s)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def queue(store: Store) -> StoreQueue:
    return StoreQueue(store, lease_s=LEASE_S)


@contextmanager
def running(target: Callable[..., None], *args: object) -> Iterator[BaseProcess]:
    process = SPAWN.Process(target=target, args=args)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def publish(record: JobRecord, worker: str) -> Outcome:
    """Results that say who wrote them, and a count of publications that only one commit can make."""
    return Outcome(results=("k",), changes={f"results/open-r1/tiny/{record.submission.id}.json": worker.encode()})


# Several workers, many jobs.


def claim_everything(folder: Path, worker: str) -> None:
    queue = open_queue(folder, LONG_LEASE_S)
    while (record := queue.claim(worker)) is not None:
        outcome = publish(record, worker)
        queue.finish(record.submission.id, record.attempt, results=outcome.results, changes=outcome.changes)


def test_every_job_is_claimed_and_finished_by_exactly_one_of_several_workers(
    queue: StoreQueue, store: Store, tmp_path: Path
) -> None:
    jobs = 20
    for number in range(jobs):
        queue.submit(submission(number))
    workers = [SPAWN.Process(target=claim_everything, args=(tmp_path, f"worker-{n}")) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    records = queue.jobs()
    assert [(job.status, job.attempt, job.lost) for job in records] == [(Status.FINISHED, 1, 0)] * jobs
    snapshot = store.snapshot("results/")
    written_by = {name: snapshot.read(name).decode() for name in snapshot.names}
    assert written_by == {f"results/open-r1/tiny/{job.submission.id}.json": job.worker for job in records}


def submit_the_same(folder: Path, process: int) -> None:
    queue = open_queue(folder)
    for number in range(5):
        try:
            queue.submit(submission(100 * (process + 1) + number, commit=number))
        except SubmissionRejected:
            continue


def test_same_work_submitted_by_several_processes_at_once_becomes_one_job(queue: StoreQueue, tmp_path: Path) -> None:
    processes = [SPAWN.Process(target=submit_the_same, args=(tmp_path, n)) for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(int(job.submission.commit or "", 16) for job in queue.jobs()) == list(range(5))


# A worker that dies.


def work_for_ever(folder: Path) -> None:
    def run(record: JobRecord, context: JobContext) -> Outcome:
        time.sleep(3600)
        return Outcome()

    Worker(open_queue(folder), FileLive(folder / "live"), run, name="victim", beat_s=BEAT_S).run_once()


def test_job_of_a_killed_worker_is_taken_over_after_its_lease_and_finished_once(
    queue: StoreQueue, store: Store, tmp_path: Path
) -> None:
    queue.submit(submission(0))
    with running(work_for_ever, tmp_path) as victim:
        until(lambda: queue.find("job-000").beat >= 2)
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
    rescuer = Worker(
        queue, FileLive(tmp_path / "live"), lambda record, _: publish(record, "rescuer"), name="rescuer", beat_s=BEAT_S
    )
    began = time.monotonic()
    assert rescuer.run_once() is False
    until(rescuer.run_once)
    assert time.monotonic() - began >= LEASE_S
    job = queue.find("job-000")
    assert (job.status, job.worker, job.attempt, job.lost) == (Status.FINISHED, "rescuer", 2, 1)
    assert store.snapshot("results/").read("results/open-r1/tiny/job-000.json") == b"rescuer"
    assert rescuer.run_once() is False


def test_living_worker_keeps_its_job_however_long_it_takes(tmp_path: Path) -> None:
    lease_s = 30 * BEAT_S
    queue = open_queue(tmp_path, lease_s)
    queue.submit(submission(0))
    with running(work_for_ever, tmp_path):
        until(lambda: queue.find("job-000").status is Status.RUNNING)
        patience = time.monotonic() + 2 * lease_s
        while time.monotonic() < patience:
            assert queue.claim("thief") is None
            time.sleep(BEAT_S)


# A worker that is paused, and wakes up after its lease.


def claim_then_finish_when_told(folder: Path) -> None:
    queue = open_queue(folder)
    record = queue.claim("sleeper")
    assert record is not None
    until((folder / "go").exists)
    outcome = publish(record, "sleeper")
    try:
        queue.finish(record.submission.id, record.attempt, results=outcome.results, changes=outcome.changes)
    except LeaseLost as error:
        (folder / "refused").write_text(str(error))


def test_finish_of_a_worker_that_slept_through_its_lease_is_refused(
    queue: StoreQueue, store: Store, tmp_path: Path
) -> None:
    queue.submit(submission(0))
    with running(claim_then_finish_when_told, tmp_path) as sleeper:
        until(lambda: queue.find("job-000").status is Status.RUNNING)
        assert sleeper.pid is not None
        os.kill(sleeper.pid, signal.SIGSTOP)
        until(lambda: queue.claim("rescuer") is not None)
        (tmp_path / "go").touch()
        os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(SOON_S)
        assert sleeper.exitcode == 0
    assert "attempt 1 no longer holds job job-000" in (tmp_path / "refused").read_text()
    assert store.snapshot("results/").names == ()
    job = queue.find("job-000")
    assert (job.status, job.worker, job.attempt) == (Status.RUNNING, "rescuer", 2)
    assert queue.finish("job-000", 2, results=("k",), changes={}).status is Status.FINISHED


def run_until_told_to_stop(folder: Path) -> None:
    def run(record: JobRecord, context: JobContext) -> Outcome:
        assert context.cancelled.wait(SOON_S)
        (folder / "stopped").touch()
        return publish(record, "sleeper")

    Worker(open_queue(folder), FileLive(folder / "live"), run, name="sleeper", beat_s=BEAT_S).run_once()


def test_paused_worker_learns_when_it_wakes_that_its_job_is_another_ones(
    queue: StoreQueue, store: Store, tmp_path: Path
) -> None:
    queue.submit(submission(0))
    with running(run_until_told_to_stop, tmp_path) as sleeper:
        until(lambda: queue.find("job-000").beat >= 1)
        assert sleeper.pid is not None
        os.kill(sleeper.pid, signal.SIGSTOP)
        until(lambda: queue.claim("rescuer") is not None)
        os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(SOON_S)
        assert sleeper.exitcode == 0
    assert (tmp_path / "stopped").exists()
    assert store.snapshot("results/").names == ()
    assert queue.find("job-000").worker == "rescuer"
