"""The queue: jobs as files of the store, moved by compare-and-swap. The one writer of status.

    PENDING -> RUNNING(worker, attempt k, beat) -> FINISHED | FAILED;  CANCELLED from both;  FAILED -> PENDING by hand

Every claim raises k, and every write of a worker names its k. A lease that ended (`backend_jobs/leases.py`) is taken
over in one commit, RUNNING(k) -> RUNNING(k + 1); a worker that comes back may go on while k is still its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from backend_jobs.leases import LEASE_S, LeaseWatch
from backend_jobs.limits import ACTIVE, NO_LIMITS, Limits
from backend_jobs.records import REQUESTS, read_record, record_bytes, record_name
from backend_jobs.types import Files, JobCancelled, JobNotFound, LeaseLost, MoveRefused, RecordUnreadable
from leaderboard.audit import Action, audit_changes
from leaderboard.store import Changes, InvalidName, Snapshot, Store, update
from leaderboard.submissions import SubmissionRejected
from leaderboard.types import Failure, JobKind, JobRecord, Status, Submission

LOG = logging.getLogger(__name__)
MOST_LOST = 2
"""How many workers may vanish over one job before it counts as the job's fault."""
HIGHEST_PRIORITY = 100
LOCAL = "local"
"""Who acts where nobody has to say who they are."""

MOVES: Mapping[Status, frozenset[Status]] = {
    Status.PENDING: frozenset({Status.RUNNING, Status.CANCELLED}),
    Status.RUNNING: frozenset(
        {
            Status.RUNNING,  # taken over from a lost worker
            Status.PENDING,  # handed back by a worker that was told to stop
            Status.FINISHED,
            Status.FAILED,
            Status.CANCELLED,
        }
    ),
    Status.FAILED: frozenset({Status.PENDING}),
    Status.FINISHED: frozenset(),
    Status.CANCELLED: frozenset(),
}


class StoreQueue:
    """The jobs in a store, for the page (`leaderboard.contracts.JobQueue`) and for workers.

    `lease_s` is how long a worker may be silent, `limits` what people may ask for; `clock` gives monotonic seconds and
    is compared only with itself; `now` gives the UTC time that records show. Every method may raise StoreUnusable.
    """

    def __init__(
        self,
        store: Store,
        *,
        lease_s: float = LEASE_S,
        limits: Limits = NO_LIMITS,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._now, self._limits = store, now, limits
        self._watch = LeaseWatch(lease_s=lease_s, clock=clock)
        self._parsed: dict[str, tuple[str, JobRecord | None]] = {}
        self._names: dict[str, str] = {}

    def submit(self, submission: Submission) -> JobRecord:
        """Add a PENDING job.

        Raises:
            SubmissionRejected: the same work is already pending or running, the id is taken, or a limit is reached.
            InvalidName: the model or the id cannot stand in a path.
        """
        name, record = record_name(submission), JobRecord(submission=submission)

        def edit(snapshot: Snapshot) -> Changes:
            if name in snapshot.names:
                raise SubmissionRejected(f"job {submission.id} already exists; a new submission needs an id of its own")
            jobs = self._read_all(snapshot)
            _refuse_double(submission, jobs)
            self._limits.check(submission, jobs, self._now())
            return {name: record_bytes(record), **self._trail(Action.SUBMIT, submission.id, submission.submitted_by)}

        update(self._store, edit, message=f"submit {submission.id}", prefix=REQUESTS)
        return record

    def jobs(self) -> list[JobRecord]:
        """Every job, newest submission first. A file that is no record is left out, and logged."""
        return sorted(self._read_all(self._store.snapshot(REQUESTS)), key=_age, reverse=True)

    def find(self, job_id: str) -> JobRecord:
        """One job. Raises JobNotFound, or RecordUnreadable where its file is damaged."""
        name = self._name_of(job_id)
        return _read(self._store.snapshot(name), name)

    def cancel(self, job_id: str, *, by: str = LOCAL) -> JobRecord:
        """PENDING or RUNNING to CANCELLED. Raises MoveRefused from any other status."""
        return self._change(
            job_id,
            lambda job: _move(job, Status.CANCELLED, ended_at=self._time()),
            message=f"cancel {job_id}",
            files=lambda _: self._trail(Action.CANCEL, job_id, by),
        )

    def prioritize(self, job_id: str, priority: int, *, by: str = LOCAL) -> JobRecord:
        """Let a job that waits run before all of lower priority; among equals the oldest comes first.

        Raises:
            MoveRefused: the job no longer waits, or the priority is out of bounds.
        """
        if abs(priority) > HIGHEST_PRIORITY:
            raise MoveRefused(
                f"priority {priority} is out of bounds: -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}, 0 is usual"
            )

        def edit(job: JobRecord) -> JobRecord:
            if job.status is not Status.PENDING:
                raise MoveRefused(f"job {job_id} is {job.status}; only a job that waits has a place in the queue")
            return replace(job, priority=priority)

        return self._change(
            job_id,
            edit,
            message=f"priority of {job_id}: {priority}",
            files=lambda _: self._trail(Action.PRIORITY, job_id, by, str(priority)),
        )

    def retry(self, job_id: str, *, by: str = LOCAL) -> JobRecord:
        """FAILED to PENDING, with its lost workers forgiven.

        Raises:
            MoveRefused: the job is not FAILED.
            SubmissionRejected: the same work was submitted anew and is pending or running.
        """

        def edit(job: JobRecord) -> JobRecord:
            if job.status is not Status.FAILED:
                raise MoveRefused(f"job {job_id} is {job.status}, and only a FAILED job can be tried again")
            waiting = _move(
                job,
                Status.PENDING,
                worker=None,
                lost=0,
                retried=job.retried + 1,
                started_at=None,
                ended_at=None,
                failure=None,
            )
            _refuse_double(job.submission, self.jobs())
            return waiting

        return self._change(
            job_id, edit, message=f"retry {job_id}", files=lambda _: self._trail(Action.RETRY, job_id, by)
        )

    def claim(
        self,
        worker: str,
        kinds: Sequence[JobKind] = tuple(JobKind),
        *,
        may: Callable[[JobRecord], bool] = lambda _: True,
    ) -> JobRecord | None:
        """The first job that is pending or whose worker is lost, now RUNNING as `worker`'s; None where there is none.

        First is the highest priority, and among equals the oldest. `may` leaves out jobs that are not for this worker.

        Ask every few seconds: leases are observed here. A job over which too many workers were lost is FAILED.
        """
        claimed: JobRecord | None = None
        if not self._store.reachable():
            # Nothing can be claimed now, and nobody's beats can be seen: silence must not count against them.
            self._watch.forget()
            self._store.version()
            return None

        def edit(snapshot: Snapshot) -> Changes:
            nonlocal claimed
            claimed, changes = None, {}
            jobs = sorted(self._read_all(snapshot), key=turn)
            lost = self._watch.over(jobs)
            for job in jobs:
                if job.submission.kind not in kinds or not may(job):
                    continue
                if job.status is Status.PENDING:
                    claimed = self._taken(job, worker)
                elif job.submission.id in lost:
                    claimed = self._taken_over(job, worker)
                else:
                    continue
                changes[record_name(claimed.submission)] = record_bytes(claimed)
                if claimed.status is Status.RUNNING:
                    return changes
                claimed = None
            return changes

        update(self._store, edit, message=f"{worker} takes a job", prefix=REQUESTS)
        return claimed

    def beat(self, job_id: str, attempt: int) -> JobRecord:
        """Say that the worker lives.

        Raises:
            LeaseLost: the job is no longer this attempt's.
            JobCancelled: somebody cancelled it.
        """
        return self._change(
            job_id, lambda job: replace(_owned(job, attempt), beat=job.beat + 1), message=f"beat of {job_id}"
        )

    def beat_together(self, beats: Mapping[str, int]) -> int:
        """Say in one commit that the workers of several jobs live: attempts by job. Returns how many still held theirs.

        A job that another attempt took, or that ended, is left out.
        """
        renewed = 0

        def edit(snapshot: Snapshot) -> Changes:
            nonlocal renewed
            changes = {}
            for job in self._read_all(snapshot):
                if job.status is Status.RUNNING and beats.get(job.submission.id) == job.attempt:
                    changes[record_name(job.submission)] = record_bytes(replace(job, beat=job.beat + 1))
            renewed = len(changes)
            return changes

        update(self._store, edit, message=f"beats of {len(beats)} jobs", prefix=REQUESTS)
        return renewed

    def finish(self, job_id: str, attempt: int, *, results: tuple[str, ...], changes: Files) -> JobRecord:
        """RUNNING to FINISHED, and all files of the results, in one commit.

        Raises:
            LeaseLost, JobCancelled: as `beat`; nothing was written.
            InvalidName: a file lies among the queue's own.
        """

        def files(snapshot: Snapshot) -> Changes:
            made = changes(snapshot) if callable(changes) else changes
            for name in made:
                if name.startswith(REQUESTS):
                    raise InvalidName(f"{name} cannot be a file of a result: {REQUESTS} holds the queue's own records")
            return made

        return self._change(
            job_id,
            lambda job: _move(_owned(job, attempt), Status.FINISHED, ended_at=self._time(), results=results),
            message=f"finish {job_id}",
            files=files,
        )

    def fail(self, job_id: str, attempt: int, failure: Failure) -> JobRecord:
        """RUNNING to FAILED. Raises LeaseLost and JobCancelled as `beat`."""
        return self._change(
            job_id,
            lambda job: _move(_owned(job, attempt), Status.FAILED, ended_at=self._time(), failure=failure),
            message=f"fail {job_id}: {failure.code}",
        )

    def release(self, job_id: str, attempt: int) -> JobRecord:
        """RUNNING back to PENDING: this worker stops, the job does not. Raises LeaseLost and JobCancelled as `beat`."""
        return self._change(
            job_id,
            lambda job: _move(_owned(job, attempt), Status.PENDING, worker=None, started_at=None),
            message=f"release {job_id}",
        )

    def _taken(self, job: JobRecord, worker: str, **fields: Any) -> JobRecord:
        return _move(
            job, Status.RUNNING, worker=worker, attempt=job.attempt + 1, beat=0, started_at=self._time(), **fields
        )

    def _taken_over(self, job: JobRecord, worker: str) -> JobRecord:
        lost = job.lost + 1
        if lost <= MOST_LOST:
            return self._taken(job, worker, lost=lost)
        reason = f"{lost} workers vanished while they ran this job, {job.worker} last; read its log, then retry the job"
        failure = Failure(code="worker_lost", reason=reason)
        return _move(job, Status.FAILED, lost=lost, ended_at=self._time(), failure=failure)

    def _change(
        self,
        job_id: str,
        edit: Callable[[JobRecord], JobRecord],
        *,
        message: str,
        files: Callable[[Snapshot], Changes] | None = None,
    ) -> JobRecord:
        """Edit one record, and write the `files` of its tree in the same commit. Returns the record as committed."""
        name = self._name_of(job_id)
        edited: list[JobRecord] = []

        def changes(snapshot: Snapshot) -> Changes:
            edited[:] = [edit(_read(snapshot, name))]
            return {**(files(snapshot) if files else {}), name: record_bytes(edited[0])}

        update(self._store, changes, message=message, prefix="" if files else name)
        return edited[0]

    def _name_of(self, job_id: str) -> str:
        if job_id not in self._names:
            names = self._store.snapshot(REQUESTS).names
            self._names = {name.rpartition("/")[2].removesuffix(".json"): name for name in names}
        if job_id not in self._names:
            raise JobNotFound(f"no job has the id {job_id!r}; the queue's page lists them all")
        return self._names[job_id]

    def _read_all(self, snapshot: Snapshot) -> list[JobRecord]:
        """Every record of a snapshot of REQUESTS; parses only those that changed since the last look."""
        known, parsed = self._parsed, {}
        for name in snapshot.names:
            fingerprint = snapshot.fingerprint(name)
            same = known.get(name)
            parsed[name] = same if same and same[0] == fingerprint else (fingerprint, _read_or_log(snapshot, name))
        self._parsed = parsed
        return [record for _, record in parsed.values() if record is not None]

    def _trail(self, action: Action, job_id: str, by: str, detail: str = "") -> Changes:
        return audit_changes(self._now(), by=by, action=action, subject=job_id, detail=detail)

    def _time(self) -> str:
        return self._now().isoformat(timespec="seconds")


def _move(job: JobRecord, to: Status, **fields: Any) -> JobRecord:
    """The job with a new status. Nothing else writes one."""
    if to not in MOVES[job.status]:
        possible = ", ".join(sorted(MOVES[job.status])) or "nothing"
        raise MoveRefused(f"job {job.submission.id} is {job.status}, and from there can become {possible}, not {to}")
    return replace(job, status=to, **fields)


def _owned(job: JobRecord, attempt: int) -> JobRecord:
    """The job itself where it is still this attempt's."""
    job_id = job.submission.id
    if job.status is Status.CANCELLED:
        raise JobCancelled(f"job {job_id} was cancelled")
    if job.status is not Status.RUNNING or job.attempt != attempt:
        raise LeaseLost(
            f"attempt {attempt} no longer holds job {job_id}: it is {job.status} in attempt {job.attempt}, "
            f"worker {job.worker}; this worker writes nothing more"
        )
    return job


def _refuse_double(submission: Submission, jobs: Iterable[JobRecord]) -> None:
    for job in jobs:
        other = job.submission
        if job.status in ACTIVE and other.id != submission.id and _same_work(other) == _same_work(submission):
            raise SubmissionRejected(
                f"{submission.model} is already {job.status.lower()} with the same work as job {other.id}; "
                "follow that job, or cancel it first"
            )


def _same_work(submission: Submission) -> tuple[object, ...]:
    """Equal for submissions of which one is enough. Two jobs of one run would write into the same folder."""
    if submission.kind is not JobKind.EVALUATE:
        return submission.kind, submission.model
    weights = submission.commit or (submission.source, submission.revision)
    protocol = (
        frozenset(submission.benchmarks),
        submission.attempts,
        submission.max_tokens,
        submission.run,
        submission.trial,
    )
    return submission.kind, submission.model, weights, *protocol


def _age(job: JobRecord) -> tuple[str, str]:
    return job.submission.submitted_at, job.submission.id


def turn(job: JobRecord) -> tuple[int, str, str]:
    """Sorts jobs that wait: who comes first is taken first."""
    return -job.priority, *_age(job)


def _read(snapshot: Snapshot, name: str) -> JobRecord:
    try:
        content = snapshot.read(name)
    except KeyError as error:
        raise JobNotFound(f"{name} was removed from the store") from error
    return read_record(name, content)


def _read_or_log(snapshot: Snapshot, name: str) -> JobRecord | None:
    try:
        return _read(snapshot, name)
    except RecordUnreadable as error:
        LOG.error("%s", error)
        return None
