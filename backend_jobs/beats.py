"""Beats and progress of workers elsewhere, taken by the board's API and committed together, seldom."""

from __future__ import annotations

import logging
import threading

from backend_jobs.queue import StoreQueue
from backend_jobs.types import LeaseLost
from leaderboard.contracts import Beat, LiveBoard
from leaderboard.store import Store, StoreUnusable, VersionConflict
from leaderboard.types import JobRecord, Status

LOG = logging.getLogger(__name__)
COMMIT_EVERY_S = 600.0
"""A lease on the Hub is 45 minutes: four of these may be missed."""


class Beats:
    """See `leaderboard.contracts.BeatDesk`. What was taken is committed by `commit`, called by the clock."""

    def __init__(self, store: Store, queue: StoreQueue, live: LiveBoard) -> None:
        self._store, self._queue, self._live = store, queue, live
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}

    def take(self, beat: Beat) -> JobRecord:
        """Note a beat. The job as it stands tells the worker whether it was cancelled.

        Raises:
            JobNotFound, LeaseLost: the job is no longer this attempt's.
        """
        job = self._queue.find(beat.job_id)
        if job.attempt < beat.attempt:
            # Claimed a moment ago: our view of the store is older than that commit.
            self._store.refresh()
            job = self._queue.find(beat.job_id)
        if job.status is Status.CANCELLED:
            return job
        if job.status is not Status.RUNNING or job.attempt != beat.attempt:
            raise LeaseLost(
                f"attempt {beat.attempt} no longer holds job {beat.job_id}: it is {job.status} in attempt {job.attempt}"
            )
        with self._lock:
            self._waiting[beat.job_id] = beat.attempt
        if beat.state is not None and beat.state.job_id == beat.job_id:
            self._live.publish(beat.state)
        return job

    def commit(self) -> int:
        """Write all beats since the last call in one commit; returns how many jobs it renewed.

        Where the store cannot be written now, they stay and go with the next.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        if not waiting:
            return 0
        try:
            return self._queue.beat_together(waiting)
        except (StoreUnusable, VersionConflict) as trouble:
            LOG.warning("%d beats wait for the store: %s", len(waiting), trouble)
            with self._lock:
                self._waiting = waiting | self._waiting
            return 0
