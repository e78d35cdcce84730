"""The worker: every way in which a job can end, and what is written then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend_jobs.queue import StoreQueue
from backend_jobs.types import Outcome
from backend_jobs.worker import JobContext, Worker
from evaluator.errors import Cancelled, EngineFailed, PlanRejected
from evaluator.plan import plan_key
from evaluator.types import Progress
from leaderboard.contracts import LiveState
from leaderboard.live import FileLive
from leaderboard.results import publish_changes
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import Changes, Snapshot, Store, StoreUnusable
from leaderboard.table import read_attempts
from leaderboard.types import JobKind, JobRecord, Status, Submission
from tests.leaderboard.measurements import checkpoint, measurement, publish
from tests.waiting import until

BEAT_S = 0.02
SOON_S = 10.0
ROOT = Path(__file__).resolve().parents[2]
JOB = Submission(
    id="job-000",
    kind=JobKind.EVALUATE,
    model="open-r1/tiny",
    commit="c" * 40,
    benchmarks=("math_500",),
    submitted_at="2026-01-31T12:00:00+00:00",
)
RunJob = Callable[[JobRecord, JobContext], Outcome]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def queue(store: Store) -> StoreQueue:
    queue = StoreQueue(store, lease_s=0.0)
    queue.submit(JOB)
    return queue


@pytest.fixture
def live(tmp_path: Path) -> FileLive:
    return FileLive(tmp_path / "live")


MakeWorker = Callable[[RunJob], Worker]


@pytest.fixture
def make_worker(queue: StoreQueue, live: FileLive) -> Iterator[MakeWorker]:
    yield lambda run_job: Worker(queue, live, run_job, name="alice", beat_s=BEAT_S)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("beat-")]


def ends_with(outcome: Outcome) -> RunJob:
    return lambda _record, _context: outcome


def wait_until_stopped(record: JobRecord, context: JobContext) -> Outcome:
    assert context.cancelled.wait(SOON_S)
    raise Cancelled("stopped as asked")


def phase(live: FileLive) -> str:
    state = live.read(JOB.id)
    assert state is not None
    return state.phase


def test_worker_without_a_job_says_so(make_worker: MakeWorker, queue: StoreQueue) -> None:
    queue.cancel(JOB.id)
    assert make_worker(ends_with(Outcome())).run_once() is False


def test_finished_job_publishes_its_files_and_its_status(
    make_worker: MakeWorker, queue: StoreQueue, store: Store, live: FileLive
) -> None:
    def measure(record: JobRecord, context: JobContext) -> Outcome:
        assert (record.submission, record.status) == (JOB, Status.RUNNING)
        return Outcome(results=("k",), changes={"results/open-r1/tiny/k.json": b"{}"})

    assert make_worker(measure).run_once() is True
    job = queue.find(JOB.id)
    assert (job.status, job.results, job.worker) == (Status.FINISHED, ("k",), "alice")
    assert store.snapshot("results/").names == ("results/open-r1/tiny/k.json",)
    assert phase(live) == "finished"


def test_running_job_beats_and_shows_its_progress(make_worker: MakeWorker, queue: StoreQueue, live: FileLive) -> None:
    shown: list[LiveState | None] = []

    def measure(record: JobRecord, context: JobContext) -> Outcome:
        context.report(progress={"math_500": Progress(phase="asking", done=5, total=20)})
        context.report(phase="measuring", training={"step": 1})
        context.log("engine is up")
        until(lambda: queue.find(JOB.id).beat >= 3)
        shown.append(live.read(JOB.id))
        return Outcome()

    make_worker(measure).run_once()
    assert shown[0] is not None
    assert shown[0].progress == {"math_500": Progress(phase="asking", done=5, total=20)}
    assert (shown[0].phase, shown[0].training, shown[0].log_tail) == ("measuring", {"step": 1}, "engine is up")
    state = live.read(JOB.id)
    assert state is not None
    assert (state.phase, state.progress) == ("finished", shown[0].progress)


def test_error_of_the_job_becomes_its_failure(make_worker: MakeWorker, queue: StoreQueue, live: FileLive) -> None:
    def fails(record: JobRecord, context: JobContext) -> Outcome:
        context.log("12 heads")
        raise PlanRejected("tiny has 12 heads, which 5 does not divide; use one of 1, 2, 3")

    make_worker(fails).run_once()
    failure = queue.find(JOB.id).failure
    assert failure is not None
    assert (failure.code, failure.log_tail) == ("plan_rejected", "12 heads")
    assert failure.reason == "tiny has 12 heads, which 5 does not divide; use one of 1, 2, 3"
    assert phase(live) == "failed"


def test_log_of_the_engine_is_kept_rather_than_that_of_the_job(make_worker: MakeWorker, queue: StoreQueue) -> None:
    def fails(record: JobRecord, context: JobContext) -> Outcome:
        context.log("starting the engine")
        raise EngineFailed("the engine died", log_tail="x" * 100_000 + "CUDA out of memory \udcff")

    make_worker(fails).run_once()
    failure = queue.find(JOB.id).failure
    assert failure is not None
    assert failure.log_tail.endswith("CUDA out of memory ?")
    assert len(failure.log_tail) < 10_000


def test_bug_in_the_job_fails_it_with_the_traceback_and_the_worker_goes_on(
    make_worker: MakeWorker, queue: StoreQueue
) -> None:
    def breaks(record: JobRecord, context: JobContext) -> Outcome:
        raise KeyError("a bug")

    worker = make_worker(breaks)
    worker.run_once()
    job = queue.find(JOB.id)
    assert job.failure is not None
    assert (job.failure.code, job.failure.reason) == ("worker_error", "KeyError: 'a bug'")
    assert "in breaks" in job.failure.log_tail
    queue.retry(JOB.id)
    assert worker.run_once() is True


def test_outcome_that_cannot_be_written_fails_the_job(make_worker: MakeWorker, queue: StoreQueue, store: Store) -> None:
    make_worker(ends_with(Outcome(changes={"good": b"", "../bad": b""}))).run_once()
    job = queue.find(JOB.id)
    assert job.failure is not None
    assert (job.status, job.failure.code) == (Status.FAILED, "invalid_name")
    assert "good" not in store.snapshot().names


def test_two_jobs_of_one_generation_lose_no_attempt(make_worker: MakeWorker, queue: StoreQueue, store: Store) -> None:
    queue.submit(replace(JOB, id="job-001", attempts=2))

    def measured(correct: list[int], attempts: int) -> Outcome:
        done = measurement(correct, attempts=attempts)
        return Outcome(
            results=(plan_key(done.plan),),
            changes=lambda stored: publish_changes(
                [done], checkpoint=checkpoint(), measured_at=JOB.submitted_at, stored=stored
            )[1],
        )

    def run(record: JobRecord, _: JobContext) -> Outcome:
        outcome = measured([1, 1], 2)
        publish(store, measurement([4, 1], attempts=4))
        return outcome

    make_worker(run).run_once()
    make_worker(ends_with(measured([8, 1], 8))).run_once()
    stored = store.snapshot()
    (attempts,) = (name for name in stored.names if name.startswith("attempts/"))
    assert len(read_attempts(stored.read(attempts))) == 16
    assert len([name for name in stored.names if name.startswith("results/")]) == 3
    assert {job.status for job in queue.jobs()} == {Status.FINISHED}


def test_files_are_made_again_where_another_commit_was_faster(queue: StoreQueue, store: Store) -> None:
    record = queue.claim("alice")
    assert record is not None
    trees: list[int] = []

    def files(stored: Snapshot) -> Changes:
        trees.append(len(stored.names))
        if len(trees) == 1:
            publish(store, measurement([4, 1], attempts=4))
        return publish_changes(
            [measurement([1, 1], attempts=2)], checkpoint=checkpoint(), measured_at=JOB.submitted_at, stored=stored
        )[1]

    queue.finish("job-000", record.attempt, results=("k",), changes=files)
    stored = store.snapshot()
    (attempts,) = (name for name in stored.names if name.startswith("attempts/"))
    assert len(trees) == 2
    assert len(read_attempts(stored.read(attempts))) == 8


def test_cancelled_job_is_told_and_nothing_is_written(
    make_worker: MakeWorker, queue: StoreQueue, store: Store, live: FileLive
) -> None:
    versions: list[str] = []

    def measure(record: JobRecord, context: JobContext) -> Outcome:
        queue.cancel(JOB.id)
        versions.append(store.snapshot().version)
        return wait_until_stopped(record, context)

    make_worker(measure).run_once()
    assert store.snapshot().version == versions[0]
    assert queue.find(JOB.id).status is Status.CANCELLED
    assert phase(live) == "cancelled"


def test_job_that_finishes_although_it_was_cancelled_publishes_nothing(
    make_worker: MakeWorker, queue: StoreQueue, store: Store, live: FileLive
) -> None:
    def measure(record: JobRecord, context: JobContext) -> Outcome:
        queue.cancel(JOB.id)
        return Outcome(results=("k",), changes={"results/a/b/k.json": b"{}"})

    make_worker(measure).run_once()
    assert store.snapshot("results/").names == ()
    assert phase(live) == "cancelled"


@pytest.mark.parametrize("obeys", [True, False])
def test_job_whose_lease_was_lost_is_told_and_nothing_is_written(
    make_worker: MakeWorker, queue: StoreQueue, store: Store, live: FileLive, obeys: bool
) -> None:
    states: list[tuple[str, LiveState | None]] = []

    def measure(record: JobRecord, context: JobContext) -> Outcome:
        until(lambda: queue.claim("bob") is not None)
        assert context.cancelled.wait(SOON_S)
        live.publish(LiveState(job_id=JOB.id, updated_at="2026-01-31T12:00:00+00:00", phase="bob runs it"))
        states.append((store.snapshot().version, live.read(JOB.id)))
        if obeys:
            raise EngineFailed("killed, as asked")
        return Outcome(results=("k",), changes={"results/a/b/k.json": b"{}"})

    make_worker(measure).run_once()
    assert (store.snapshot().version, live.read(JOB.id)) == states[0]
    job = queue.find(JOB.id)
    assert (job.status, job.worker, job.attempt) == (Status.RUNNING, "bob", 2)


@pytest.mark.parametrize("error", [Cancelled("stopped"), EngineFailed("killed"), OSError("pipe closed")])
def test_stopped_worker_hands_its_job_back_and_takes_no_other(
    make_worker: MakeWorker, queue: StoreQueue, live: FileLive, error: Exception
) -> None:
    def measure(record: JobRecord, context: JobContext) -> Outcome:
        worker.stop()
        assert context.cancelled.wait(SOON_S)
        raise error

    worker = make_worker(measure)
    assert worker.run_once() is True
    job = queue.find(JOB.id)
    assert (job.status, job.worker, job.failure) == (Status.PENDING, None, None)
    assert phase(live) == "waiting for another worker"
    assert worker.run_once() is False
    assert queue.find(JOB.id).status is Status.PENDING


def test_job_that_ends_well_although_the_worker_stops_is_published(make_worker: MakeWorker, queue: StoreQueue) -> None:
    def measure(record: JobRecord, context: JobContext) -> Outcome:
        worker.stop()
        assert context.cancelled.wait(SOON_S)
        return Outcome(results=("k",))

    worker = make_worker(measure)
    worker.run_once()
    assert queue.find(JOB.id).results == ("k",)


def test_job_that_gives_up_without_being_told_to_has_failed(make_worker: MakeWorker, queue: StoreQueue) -> None:
    def measure(record: JobRecord, context: JobContext) -> Outcome:
        raise Cancelled("nobody asked for it")

    make_worker(measure).run_once()
    job = queue.find(JOB.id)
    assert job.failure is not None
    assert (job.status, job.failure.code) == (Status.FAILED, "cancelled")


class StoreThatGoesAway:
    """A store whose commits fail for a while, as on a full disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.snapshot, self.reachable = store.snapshot, store.reachable
        self.away = False
        self.refused = 0

    def commit(self, changes: dict[str, bytes | None], *, parent: str, message: str) -> str:
        if self.away:
            self.refused += 1
            raise StoreUnusable("the disk is full")
        return self._store.commit(changes, parent=parent, message=message)


def test_store_that_goes_away_for_a_while_costs_the_job_nothing(
    queue: StoreQueue, store: Store, live: FileLive
) -> None:
    fragile = StoreThatGoesAway(store)

    def measure(record: JobRecord, context: JobContext) -> Outcome:
        fragile.away = True
        until(lambda: fragile.refused >= 2)
        fragile.away = False
        beat = queue.find(JOB.id).beat
        until(lambda: queue.find(JOB.id).beat > beat)
        return Outcome(results=("k",))

    assert Worker(StoreQueue(fragile), live, measure, name="alice", beat_s=BEAT_S).run_once()
    assert queue.find(JOB.id).status is Status.FINISHED


def test_store_that_is_gone_at_the_end_is_an_error_of_the_worker_and_the_job_can_be_taken_over(
    queue: StoreQueue, store: Store, live: FileLive
) -> None:
    fragile = StoreThatGoesAway(store)

    def measure(record: JobRecord, context: JobContext) -> Outcome:
        fragile.away = True
        return Outcome(results=("k",))

    with pytest.raises(StoreUnusable, match="the disk is full"):
        Worker(StoreQueue(fragile), live, measure, name="alice", beat_s=BEAT_S).run_once()
    until(lambda: queue.claim("bob") is not None)


def test_progress_that_cannot_be_shown_does_not_disturb_the_job(queue: StoreQueue, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    worker = Worker(queue, FileLive(tmp_path / "file"), ends_with(Outcome()), name="alice", beat_s=BEAT_S)
    assert worker.run_once()
    assert queue.find(JOB.id).status is Status.FINISHED


WORKER_PROCESS = """
import signal, sys
from pathlib import Path
from backend_jobs.clock import Clock
from backend_jobs.queue import StoreQueue
from backend_jobs.worker import Worker
from evaluator.errors import Cancelled
from leaderboard.live import FileLive
from leaderboard.stores import open_store
from queue import SimpleQueue

folder = Path(sys.argv[1])

def run(record, context):
    context.cancelled.wait(60)
    raise Cancelled("stopped")

worker = Worker(StoreQueue(open_store(str(folder / "store.db"))), FileLive(folder / "live"), run, name="process")
told = SimpleQueue()
signal.signal(signal.SIGTERM, lambda number, _: told.put(number))
clock = Clock()
clock.every(0.05, worker.run_once, name="take a job")
clock.start()
told.get()
worker.stop()
clock.stop()
"""


def test_worker_process_told_to_end_hands_its_job_back_and_exits_in_peace(queue: StoreQueue, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WORKER_PROCESS, str(tmp_path)], cwd=ROOT)
    try:
        until(lambda: queue.find(JOB.id).status is Status.RUNNING)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(SOON_S) == 0
    finally:
        process.kill()
        process.wait()
    job = queue.find(JOB.id)
    assert (job.status, job.worker, job.attempt, job.lost) == (Status.PENDING, None, 1, 0)
