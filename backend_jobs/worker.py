"""A worker: claims a job, keeps its lease while it runs, and writes how it ended."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from backend_jobs.leases import BEAT_S
from backend_jobs.live_history import LiveHistory
from backend_jobs.logs import job_log
from backend_jobs.queue import StoreQueue
from backend_jobs.types import JobCancelled, JobNotFound, LeaseLost, Outcome
from evaluator.errors import OpenR1Error
from evaluator.types import Progress
from leaderboard.contracts import LiveBoard, LiveState
from leaderboard.datasets import GenerationProgress
from leaderboard.types import Failure, JobKind, JobRecord

LOG = logging.getLogger(__name__)
LOOK_S = 0.25
"""How often the beat thread looks whether something is to be shown or the worker was told to stop."""
LOG_LINES = 40
LOG_TAIL_CHARACTERS = 8000
REASON_CHARACTERS = 2000
GONE = (LeaseLost, JobCancelled, JobNotFound)
"""The job is no longer this worker's: nothing may be written."""


class Interruption(StrEnum):
    """Why a job is stopped from outside; the word that people see."""

    CANCELLED = "cancelled"
    LEASE_LOST = "lease lost"
    STOPPED = "waiting for another worker"


class JobContext:
    """What a running job sees of its worker. Every method may be called from any thread and returns at once.

    `cancelled` is set when the job must stop, for whatever reason: it then ends as soon as it can, best by raising
    `evaluator.errors.Cancelled`. What it returns or raises is judged by the worker.
    """

    def __init__(self, job_id: str) -> None:
        self.cancelled = threading.Event()
        self.interruption: Interruption | None = None
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=LOG_LINES)
        self._state = LiveState(job_id=job_id, updated_at=_now(), phase="running")
        self._history = LiveHistory()
        self._unseen = True

    def report(
        self,
        *,
        phase: str | None = None,
        progress: Mapping[str, Progress] | None = None,
        training: Mapping[str, Any] | None = None,
        generation: GenerationProgress | None = None,
    ) -> None:
        """Show what is given in place of what was shown before; the rest stays."""
        with self._lock:
            self._state = replace(
                self._state,
                updated_at=_now(),
                phase=self._state.phase if phase is None else phase,
                progress=self._state.progress if progress is None else dict(progress),
                history=self._state.history if progress is None else self._history.add(progress),
                training=self._state.training if training is None else dict(training),
                generation=self._state.generation if generation is None else generation,
            )
            self._unseen = True

    def log(self, line: str) -> None:
        """Add to the job's log; its last lines are shown, and kept where the job fails."""
        with self._lock:
            self._lines.append(line)
            self._unseen = True

    def log_tail(self) -> str:
        """The last lines of the log."""
        with self._lock:
            return _tail("\n".join(self._lines))

    def interrupt(self, why: Interruption) -> None:
        """Tell the job to stop. A job that is no longer ours stays so, whatever comes later."""
        with self._lock:
            if self.interruption in (None, Interruption.STOPPED):
                self.interruption = why
        self.cancelled.set()

    def unseen_state(self) -> LiveState | None:
        """The state to publish; None where nothing changed since the last call."""
        with self._lock:
            unseen, self._unseen = self._unseen, False
            return replace(self._state, log_tail="\n".join(self._lines)) if unseen else None


RunJob = Callable[[JobRecord, JobContext], Outcome]


class Worker:
    """Runs jobs one after another. `run_job` carries one out, in the thread that called `run_once`.

    `name` is what people see as the job's worker. `beat_s` is the time between two renewals of the lease, a small part
    of the queue's lease length. `may` says which jobs it takes.
    """

    def __init__(
        self,
        queue: StoreQueue,
        live: LiveBoard,
        run_job: RunJob,
        *,
        name: str,
        beat_s: float = BEAT_S,
        kinds: Sequence[JobKind] = tuple(JobKind),
        may: Callable[[JobRecord], bool] = lambda _: True,
    ) -> None:
        self._queue, self._live, self._run_job, self._may = queue, live, run_job, may
        self._name, self._beat_s, self._kinds = name, beat_s, tuple(kinds)
        self._stopping = False

    def stop(self) -> None:
        """Take no further job, and hand the running one back to the queue. Safe in a signal handler: takes no lock."""
        self._stopping = True

    def run_once(self) -> bool:
        """Claim one job and carry it through; False where there was none.

        A job's own failure ends in its record. What is raised here is the store's failure: the job's lease then ends
        and another worker takes it over.

        Raises:
            StoreUnusable: the queue could not be read or written.
        """
        if self._stopping:
            return False
        record = self._queue.claim(self._name, self._kinds, may=self._may)
        if record is None:
            return False
        job_id = record.submission.id
        with job_log(job_id):
            self._run_claimed(record)
        return True

    def _run_claimed(self, record: JobRecord) -> None:
        job_id = record.submission.id
        LOG.info("%s runs job %s (%s), attempt %d", self._name, job_id, record.submission.model, record.attempt)
        context = JobContext(job_id)
        try:
            ended = self._carry_out(record, context)
        except GONE as gone:
            ended = Interruption.CANCELLED if isinstance(gone, JobCancelled) else Interruption.LEASE_LOST
            LOG.warning("%s", gone)
        if ended != Interruption.LEASE_LOST:
            # After a lost lease the job's page belongs to whoever runs it now.
            context.report(phase=ended)
            self._publish(context)
        LOG.info("job %s: %s", job_id, ended)

    def _carry_out(self, record: JobRecord, context: JobContext) -> str:
        """Run the job and write how it ended; returns the word for it. Raises one of GONE."""
        job_id, attempt = record.submission.id, record.attempt
        try:
            with self._beating(record, context):
                outcome = self._run_job(record, context)
            self._queue.finish(job_id, attempt, results=outcome.results, changes=outcome.changes)
        except GONE:
            raise
        except OpenR1Error as error:
            log_tail = _tail(getattr(error, "log_tail", "")) or context.log_tail()
            failure = Failure(code=error.code, reason=_reason(str(error)), log_tail=log_tail)
        # The job's code is the one part of a worker that may hold any bug at all. Whatever it is, the submitter must
        # read of it, and the next job must run; anywhere else an unexpected error should end the process.
        except Exception as error:
            LOG.exception("job %s broke off", job_id)
            log_tail = _tail("".join(traceback.format_exception(error)))
            failure = Failure(
                code="worker_error", reason=_reason(f"{type(error).__name__}: {error}"), log_tail=log_tail
            )
        else:
            return "finished"
        return self._give_up(record, context, failure)

    def _give_up(self, record: JobRecord, context: JobContext, failure: Failure) -> str:
        """Write the failure, unless the job broke off because it was told to."""
        job_id, attempt = record.submission.id, record.attempt
        match context.interruption:
            case None:
                LOG.error("job %s failed: %s: %s", job_id, failure.code, failure.reason)
                self._queue.fail(job_id, attempt, failure)
                return "failed"
            case Interruption.STOPPED:
                self._queue.release(job_id, attempt)
        return context.interruption

    @contextmanager
    def _beating(self, record: JobRecord, context: JobContext) -> Iterator[None]:
        """Renew the lease in a thread of its own while the block runs."""
        done = threading.Event()
        beats = threading.Thread(target=self._beat, args=(record, context, done), name=f"beat-{record.submission.id}")
        beats.start()
        try:
            yield
        finally:
            done.set()
            beats.join()

    def _beat(self, record: JobRecord, context: JobContext, done: threading.Event) -> None:
        next_beat = time.monotonic() + self._beat_s
        with job_log(record.submission.id):
            while not done.wait(min(LOOK_S, self._beat_s)):
                self._publish(context)
                if self._stopping:
                    context.interrupt(Interruption.STOPPED)
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + self._beat_s
                    self._renew(record, context)

    def _renew(self, record: JobRecord, context: JobContext) -> None:
        try:
            self._queue.beat(record.submission.id, record.attempt)
        except JobCancelled:
            context.interrupt(Interruption.CANCELLED)
        except GONE:
            context.interrupt(Interruption.LEASE_LOST)
        except OpenR1Error as error:
            # The store may be back for the next beat, and the lease is ours for as long as nobody takes it.
            LOG.warning("a beat of job %s could not be written: %s", record.submission.id, error)

    def _publish(self, context: JobContext) -> None:
        state = context.unseen_state()
        if state is None:
            return
        try:
            self._live.publish(state)
        except OSError as error:
            LOG.warning("the progress of job %s could not be shown: %s", state.job_id, error)


def _reason(text: str) -> str:
    return text if len(text) <= REASON_CHARACTERS else text[: REASON_CHARACTERS - 1] + "…"


def _tail(text: str) -> str:
    return text[-LOG_TAIL_CHARACTERS:]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
