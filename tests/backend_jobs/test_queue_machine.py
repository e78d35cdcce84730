"""A model of the queue: hypothesis plays people, workers that die and come back, and time, in any order.

Every worker is a queue of its own on one store, as if in a process of its own. The model says after each step what
every record must be; workers keep every attempt they ever held, and try to write with the stale ones too.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from backend_jobs.queue import MOST_LOST, MOVES, StoreQueue
from backend_jobs.types import JobCancelled, LeaseLost, MoveRefused
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import SubmissionRejected
from leaderboard.types import Failure, JobKind, Status, Submission

LEASE_S = 30.0
WORKERS = ("alice", "bob", "carol")
COMMITS = 3
ACTIVE = (Status.PENDING, Status.RUNNING)
FAILURE = Failure(code="engine_failed", reason="no GPU")


@dataclass
class Job:
    """What a record must say, and when each worker first saw it in its present (attempt, beat)."""

    commit: str
    status: Status = Status.PENDING
    worker: str | None = None
    attempt: int = 0
    beat: int = 0
    lost: int = 0
    published: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Hold:
    """An attempt that a worker once held; it may be stale by now."""

    job_id: str
    attempt: int
    worker: str


class QueueMachine(RuleBasedStateMachine):
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = SqliteStore(Path(self.folder.name) / "store.db")
        self.seconds = 0.0
        self.people = self.open_queue()
        self.workers = {name: self.open_queue() for name in WORKERS}
        self.jobs: dict[str, Job] = {}
        self.seen: dict[str, dict[str, tuple[int, int, float]]] = {name: {} for name in WORKERS}
        self.statuses: dict[str, Status] = {}
        self.given: set[tuple[str, int]] = set()

    def open_queue(self) -> StoreQueue:
        return StoreQueue(self.store, lease_s=LEASE_S, clock=lambda: self.seconds)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    # People.

    @rule(commit=st.integers(0, COMMITS - 1).map(lambda n: f"{n:040x}"))
    def submit(self, commit: str) -> None:
        number = len(self.jobs)
        submission = Submission(
            id=f"job-{number:04d}",
            kind=JobKind.EVALUATE,
            model="open-r1/tiny",
            commit=commit,
            benchmarks=("math_500",),
            submitted_at=f"2026-01-31T12:00:00.{number:04d}+00:00",
        )
        double = self.active_double(commit)
        if double is not None:
            with pytest.raises(SubmissionRejected, match=double):
                self.people.submit(submission)
            return
        self.people.submit(submission)
        self.jobs[submission.id] = Job(commit=commit)

    def active_double(self, commit: str) -> str | None:
        return next((name for name, job in self.jobs.items() if job.status in ACTIVE and job.commit == commit), None)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.jobs)))
        job = self.jobs[job_id]
        try:
            self.people.cancel(job_id)
        except MoveRefused:
            assert job.status not in ACTIVE
        else:
            assert job.status in ACTIVE
            job.status = Status.CANCELLED

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.jobs)))
        job = self.jobs[job_id]
        try:
            self.people.retry(job_id)
        except MoveRefused:
            assert job.status is not Status.FAILED
        except SubmissionRejected:
            assert self.active_double(job.commit) is not None
        else:
            assert (job.status, self.active_double(job.commit)) == (Status.FAILED, None)
            job.status, job.worker, job.lost = Status.PENDING, None, 0

    # Time.

    @rule(seconds=st.sampled_from([1.0, LEASE_S / 2, LEASE_S - 0.5, LEASE_S, 10 * LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.seconds += seconds

    # Workers.

    @rule(target=holds, worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> object:
        return multiple(*self.take(worker))

    @rule(target=holds, worker=st.sampled_from(WORKERS), losses=st.integers(1, MOST_LOST + 1))
    def outlive_the_others(self, worker: str, losses: int) -> object:
        """Look until nothing is left to take, wait for a whole lease of silence, take what was lost."""
        taken = []
        for _ in range(losses):
            while more := self.take(worker):
                taken += more
            self.seconds += LEASE_S
            taken += self.take(worker)
        return multiple(*taken)

    def take(self, worker: str) -> list[Hold]:
        expected = self.expected_claim(worker)
        record = self.workers[worker].claim(worker)
        assert (record.submission.id if record else None) == expected
        self.every_move_is_in_the_table()
        if record is None:
            return []
        hold = Hold(job_id=record.submission.id, attempt=record.attempt, worker=worker)
        assert (hold.job_id, hold.attempt) not in self.given, "one attempt was given to two workers"
        self.given.add((hold.job_id, hold.attempt))
        return [hold]

    def expected_claim(self, worker: str) -> str | None:
        """Move the model as a claim should: the oldest job that is pending or, to this worker's knowledge, lost."""
        over = self.observe(worker)
        for job_id, job in self.jobs.items():
            if job.status is Status.RUNNING and job_id in over:
                job.lost += 1
                if job.lost > MOST_LOST:
                    job.status = Status.FAILED
                    continue
            elif job.status is not Status.PENDING:
                continue
            job.status, job.worker, job.attempt, job.beat = Status.RUNNING, worker, job.attempt + 1, 0
            return job_id
        return None

    def observe(self, worker: str) -> set[str]:
        before = self.seen[worker]
        after = {}
        for job_id, job in self.jobs.items():
            if job.status is Status.RUNNING:
                known = before.get(job_id)
                same = known is not None and known[:2] == (job.attempt, job.beat)
                after[job_id] = known if known and same else (job.attempt, job.beat, self.seconds)
        self.seen[worker] = after
        return {job_id for job_id, (_, _, since) in after.items() if self.seconds - since >= LEASE_S}

    @rule(hold=holds)
    def beat(self, hold: Hold) -> None:
        if self.writes(hold, lambda queue: queue.beat(hold.job_id, hold.attempt)):
            self.jobs[hold.job_id].beat += 1

    @rule(hold=consumes(holds), again=st.booleans())
    def finish(self, hold: Hold, again: bool) -> None:
        name = f"results/open-r1/tiny/{hold.job_id}-{hold.attempt}.json"
        files = {name: hold.worker.encode()}
        job = self.jobs[hold.job_id]
        for _ in range(1 + again):
            if self.writes(hold, lambda q: q.finish(hold.job_id, hold.attempt, results=(name,), changes=files)):
                job.status = Status.FINISHED
                job.published.append(hold.attempt)

    @rule(hold=holds)
    def fail(self, hold: Hold) -> None:
        if self.writes(hold, lambda queue: queue.fail(hold.job_id, hold.attempt, FAILURE)):
            self.jobs[hold.job_id].status = Status.FAILED

    @rule(hold=holds)
    def release(self, hold: Hold) -> None:
        if self.writes(hold, lambda queue: queue.release(hold.job_id, hold.attempt)):
            job = self.jobs[hold.job_id]
            job.status, job.worker = Status.PENDING, None

    def writes(self, hold: Hold, write: object) -> bool:
        """Whether the write went through; it must exactly while the hold is not stale."""
        job = self.jobs[hold.job_id]
        owns = (job.status, job.attempt) == (Status.RUNNING, hold.attempt)
        version = self.store.snapshot().version
        try:
            write(self.workers[hold.worker])  # type: ignore[operator]
        except JobCancelled:
            assert job.status is Status.CANCELLED
        except LeaseLost:
            assert not owns
            assert job.status is not Status.CANCELLED
        else:
            assert owns
            return True
        assert self.store.snapshot().version == version, "a refused write changed the store"
        return False

    # What must hold after every step.

    @invariant()
    def records_are_what_the_model_says(self) -> None:
        records = {record.submission.id: record for record in self.people.jobs()}
        assert {
            job_id: (job.status, job.worker, job.attempt, job.beat, job.lost) for job_id, job in self.jobs.items()
        } == {
            job_id: (record.status, record.worker, record.attempt, record.beat, record.lost)
            for job_id, record in records.items()
        }

    @invariant()
    def every_move_is_in_the_table(self) -> None:
        for job_id, job in self.jobs.items():
            before = self.statuses.get(job_id, Status.PENDING)
            assert job.status is before or job.status in MOVES[before]
            self.statuses[job_id] = job.status

    @invariant()
    def results_stand_exactly_for_finished_jobs_and_once(self) -> None:
        expected = set()
        for job_id, job in self.jobs.items():
            assert len(job.published) == (job.status is Status.FINISHED)
            expected |= {f"results/open-r1/tiny/{job_id}-{attempt}.json" for attempt in job.published}
        assert set(self.store.snapshot("results/").names) == expected

    @invariant()
    def no_work_is_active_twice(self) -> None:
        active = [job.commit for job in self.jobs.values() if job.status in ACTIVE]
        assert len(active) == len(set(active))


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(
    max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
