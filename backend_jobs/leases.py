"""When a worker counts as lost: nothing of it moved while an observer watched for a whole lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from backend_jobs.types import Lease
from leaderboard.types import JobRecord, Status

LEASE_S = 30.0
"""On the embedded store, whose beats cost nothing."""
BEAT_S = 5.0
HUB_LEASE_S = 45 * 60.0
"""On the Hub, where every beat is a commit."""
HUB_BEAT_S = 600.0
"""How often a worker commits a beat itself, where no board takes it."""
SENT_BEAT_S = 30.0
"""How often a worker sends a beat to the board, which costs no commit."""


class LeaseWatch:
    """One observer of running jobs. Times are read from its own monotonic clock, never from a record.

    An observer that looks rarely only learns late that a lease is over. It can never take a lease from a worker that
    beats: taking over is a commit on the very version that was looked at, and a beat since then makes it fail.
    """

    def __init__(self, *, lease_s: float = LEASE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease_s, self._clock = lease_s, clock
        self._leases: dict[str, Lease] = {}

    def over(self, jobs: Iterable[JobRecord]) -> set[str]:
        """Look at all jobs; returns the ids of those running ones whose lease is over."""
        now = self._clock()
        leases = {job.submission.id: self._seen(job, now) for job in jobs if job.status is Status.RUNNING}
        self._leases = leases
        return {job_id for job_id, lease in leases.items() if now - lease.since_s >= self._lease_s}

    def forget(self) -> None:
        """Begin to watch anew: for a while nothing could be seen."""
        self._leases = {}

    def _seen(self, job: JobRecord, now: float) -> Lease:
        known = self._leases.get(job.submission.id)
        if known is not None and (known.attempt, known.beat) == (job.attempt, job.beat):
            return known
        return Lease(attempt=job.attempt, beat=job.beat, since_s=now)
