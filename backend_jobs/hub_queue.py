"""The queue as a worker sees it over the Hub: beats go to the board where one answers, and publishing is patient."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from backend_jobs.leases import HUB_BEAT_S, HUB_LEASE_S
from backend_jobs.queue import StoreQueue
from backend_jobs.types import Files, JobCancelled, LeaseLost
from evaluator.errors import OpenR1Error
from evaluator.types import to_json
from leaderboard.contracts import LiveState
from leaderboard.hub_repository import HubUnreachable
from leaderboard.store import Store
from leaderboard.types import Failure, JobRecord, Status

LOG = logging.getLogger(__name__)
BEATS = "/api/v1/workers/beats"
ANSWER_TIMEOUT_S = 10.0
PUBLISH_AGAIN_S = 60.0


class BoardUnreachable(OpenR1Error):
    """The board's API does not take a beat now."""

    code = "board_unreachable"


class BoardLink:
    """The way from a worker to the board's API. It is a LiveBoard too: what a job shows travels with its beats."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._lock = threading.Lock()
        self._states: dict[str, LiveState] = {}

    def publish(self, state: LiveState) -> None:
        """Keep what is to be shown; it goes with the next beat."""
        with self._lock:
            self._states[state.job_id] = state

    def read(self, job_id: str) -> LiveState | None:
        """What this worker showed last."""
        return self._states.get(job_id)

    def beat(self, job_id: str, attempt: int, worker: str) -> None:
        """Send a sign of life.

        Raises:
            JobCancelled, LeaseLost: as the board says. BoardUnreachable: it says nothing useful.
        """
        state = self.read(job_id)
        body = {"job_id": job_id, "attempt": attempt, "worker": worker, "state": to_json(state) if state else None}
        answer = self._post(body)
        if answer["status"] == Status.CANCELLED:
            raise JobCancelled(f"job {job_id} was cancelled")

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._url + BEATS,
            json.dumps(body).encode(errors="replace"),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as response:
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            said = error.read(2000).decode("utf-8", "replace")
            if error.code == 409:
                raise LeaseLost(said) from error
            raise BoardUnreachable(f"the board at {self._url} answers HTTP {error.code}: {said[:200]}") from error
        except (OSError, ValueError) as error:
            raise BoardUnreachable(f"the board at {self._url} cannot be reached: {error}") from error


class HubQueue(StoreQueue):
    """A StoreQueue whose store is on the Hub: few commits, long leases, and no haste to give up.

    `stopping` says whether the worker was told to stop: then nothing is waited for any more.
    """

    def __init__(
        self,
        store: Store,
        *,
        worker: str,
        link: BoardLink | None = None,
        lease_s: float = HUB_LEASE_S,
        own_beat_s: float = HUB_BEAT_S,
        again_s: float = PUBLISH_AGAIN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(store, lease_s=lease_s, clock=clock)
        self._worker, self._link, self._own_beat_s, self._again_s = worker, link, own_beat_s, again_s
        self._monotonic = clock
        self._committed_at: dict[str, float] = {}
        self.stopping = threading.Event()

    def beat(self, job_id: str, attempt: int) -> JobRecord:
        """Say that the worker lives: to the board, or where it does not answer, now and then by a commit.

        Raises:
            LeaseLost, JobCancelled: as `StoreQueue.beat`.
        """
        now = self._monotonic()
        last = self._committed_at.setdefault(job_id, now)
        if self._link is not None:
            try:
                self._link.beat(job_id, attempt, self._worker)
            except BoardUnreachable as silent:
                LOG.warning("%s", silent)
            else:
                self._committed_at[job_id] = now
                return self.find(job_id)
        if now - last < self._own_beat_s:
            return self.find(job_id)
        beaten = super().beat(job_id, attempt)
        self._committed_at[job_id] = now
        return beaten

    def finish(self, job_id: str, attempt: int, *, results: tuple[str, ...], changes: Files) -> JobRecord:
        """As `StoreQueue.finish`, however long the Hub is down: what was measured waits here and is published later."""

        def publish() -> JobRecord:
            return super(HubQueue, self).finish(job_id, attempt, results=results, changes=changes)

        return self._patiently(publish, job_id, attempt, Status.FINISHED)

    def fail(self, job_id: str, attempt: int, failure: Failure) -> JobRecord:
        """As `StoreQueue.fail`, however long the Hub is down."""
        return self._patiently(
            lambda: super(HubQueue, self).fail(job_id, attempt, failure), job_id, attempt, Status.FAILED
        )

    def _patiently(self, write: Callable[[], JobRecord], job_id: str, attempt: int, meant: Status) -> JobRecord:
        tried_before = False
        while True:
            try:
                return write()
            except HubUnreachable as down:
                if self.stopping.is_set():
                    raise
                tried_before = True
                LOG.warning("the end of job %s waits for the Hub: %s", job_id, down)
                self.stopping.wait(self._again_s)
            except LeaseLost:
                # A commit whose answer was lost may have been ours.
                job = self.find(job_id)
                if tried_before and job.attempt == attempt and job.status is meant:
                    return job
                raise
