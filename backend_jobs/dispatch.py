"""A machine for every job that waits: asked for, followed, looked after, and never paid for longer than needed.

The machine runs `worker --once --job ID` on the same store, so the job's lease, its journal and its result are the
worker's, as everywhere. What is decided here is only whether a machine may be had, and what a machine that ended means
for its job. All of it can be taken up by another process after a crash: what was started stands in the ledger
(`leaderboard/spending.py`), and the place itself knows it by its key.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend_jobs.launchers.types import (
    ENDED,
    Launched,
    Launcher,
    LauncherUnreachable,
    LaunchNotFound,
    LaunchRefused,
    LaunchState,
    Order,
)
from backend_jobs.ledger import AlreadyRented, BudgetReached, Ledger
from backend_jobs.logs import job_log
from backend_jobs.machine_choice import Choice
from backend_jobs.machine_end import verdict
from backend_jobs.machine_log import MachineLog
from backend_jobs.queue import StoreQueue, turn
from evaluator.errors import OpenR1Error
from leaderboard.contracts import LiveBoard, LiveState
from leaderboard.spending import Spent
from leaderboard.store import Store
from leaderboard.types import Failure, JobKind, JobRecord, Status

LOG = logging.getLogger(__name__)
NAME = "dispatcher"
LAST_LINES_S = 10.0
AFTERWARDS = timedelta(minutes=5)
"""How long a machine may take to go away after its job has ended."""
KEY_CHARACTERS = 34
ORDER_GRACE_S = 60.0
"""How long the process that noted a machine may take to ask for it before another one does."""

ChooseMachine = Callable[[JobRecord], Choice]
"""Raises OpenR1Error where no machine can run the job; the message is what its submitter reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a machine is told beside its job. `store` is the board's memory by its name."""

    store: str
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


class Dispatcher:
    """One place's. Any number of processes may dispatch for one board: the ledger lets one of them start a job.

    `kinds` are what can run there, `at_once` how many machines may run at the same time. `logs` is the folder of what
    machines printed. `shows_progress`: nobody else tells people how a running job gets on.
    """

    def __init__(
        self,
        *,
        store: Store,
        queue: StoreQueue,
        ledger: Ledger,
        live: LiveBoard,
        launcher: Launcher,
        choose: ChooseMachine,
        surroundings: Surroundings,
        logs: Path,
        kinds: Sequence[JobKind] = tuple(JobKind),
        at_once: int = 4,
        shows_progress: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        order_grace_s: float = ORDER_GRACE_S,
    ) -> None:
        self._store, self._queue, self._ledger, self._live = store, queue, ledger, live
        self._launcher, self._choose, self._surroundings, self._now = launcher, choose, surroundings, now
        self._logs, self._kinds, self._at_once, self._shows_progress = logs, tuple(kinds), at_once, shows_progress
        self._clock, self._order_grace_s = clock, order_grace_s
        self._followed: dict[str, MachineLog] = {}
        self._not_there: dict[str, float] = {}
        self._ids: dict[str, str] = {}

    def turn(self) -> bool:
        """Look after what runs, then start what may. Whether any machine runs now. Raises StoreUnusable."""
        running = self._ledger.running(self._launcher.name)
        for record in running:
            with job_log(record.job_id):
                self._look_after(record)
        running = self._ledger.running(self._launcher.name)
        self._take_back({record.job_id for record in running})
        busy = {record.job_id for record in running}
        for job in sorted(self._queue.jobs(), key=turn):
            if len(busy) >= self._at_once:
                break
            if self._may_start(job) and job.submission.id not in busy:
                with job_log(job.submission.id):
                    busy |= {job.submission.id} if self._start(job) else set()
        return bool(busy)

    def stop(self) -> None:
        """Follow nothing any more. What runs goes on: whoever comes next finds it."""
        for log in self._followed.values():
            log.stop()

    def _may_start(self, job: JobRecord) -> bool:
        return job.status is Status.PENDING and job.submission.kind in self._kinds

    def _start(self, job: JobRecord) -> bool:
        """Give a job its machine; whether it has one now."""
        submission = job.submission
        try:
            choice = self._choose(job)
        except LauncherUnreachable as silent:
            LOG.warning("%s", silent)
            return False
        except OpenR1Error as error:
            self._fail(job, Failure(code=error.code, reason=str(error)))
            return False
        try:
            record = self._ledger.open(self._record(job, choice))
        except BudgetReached as reached:
            self._say(submission.id, str(reached))
            return False
        except AlreadyRented:
            return True
        self._say(submission.id, f"asked for a machine: {record.machine} of {record.place}")
        return self._launch(record, self._order(record))

    def _launch(self, record: Spent, order: Order) -> bool:
        try:
            launched = self._launcher.start(order)
        except LauncherUnreachable as silent:
            # It may have been started all the same: the next turn looks for its key.
            LOG.warning("%s", silent)
            return True
        except LaunchRefused as refused:
            self._ledger.close(record, running_s=0.0, state="refused")
            self._fail(self._queue.find(record.job_id), Failure(code=refused.code, reason=str(refused)))
            return False
        LOG.info("job %s runs on %s of %s as %s", record.job_id, record.machine, record.place, launched.id)
        self._ids[record.key] = launched.id
        self._follow(record, launched)
        return True

    def _record(self, job: JobRecord, choice: Choice) -> Spent:
        stem = job.submission.id.lower().replace("_", "-")[:KEY_CHARACTERS]
        number = 1 + sum(record.job_id == job.submission.id for record in self._ledger.records())
        return Spent(
            key=f"{stem}-{number}",
            job_id=job.submission.id,
            submitted_by=job.submission.submitted_by,
            place=self._launcher.name,
            machine=choice.machine.name,
            started_at=self._now().isoformat(timespec="seconds"),
            timeout_s=choice.timeout_s,
            dollars_per_hour=choice.machine.dollars_per_hour,
            expected_dollars=choice.dollars,
            retried=job.retried,
            gpus=choice.gpus,
        )

    def _order(self, record: Spent) -> Order:
        told = {"OPEN_R1_STORE": self._surroundings.store, "OPEN_R1_MACHINE": f"{record.place} {record.machine}"}
        if record.dollars_per_hour is not None:
            told["OPEN_R1_DOLLARS_PER_HOUR"] = f"{record.dollars_per_hour:.6f}"
        command = ("-m", "backend_jobs", "worker", "--once", "--job", record.job_id, "--name", record.key)
        return Order(
            key=record.key,
            arguments=(*command, "--store", self._surroundings.store),
            machine=record.machine,
            timeout_s=record.timeout_s,
            gpus=record.gpus,
            environment={**self._surroundings.environment, **told},
            secrets=self._surroundings.secrets,
        )

    def _look_after(self, record: Spent) -> None:
        """One machine that was not seen to end: follow it, end it where its job is over, settle it where it ended."""
        try:
            launched = self._launched(record)
            if launched is None:
                self._take_up(record)
                return
            self._follow(record, launched)
            if launched.state in ENDED:
                self._settle(record, launched)
            elif self._is_over(self._queue.find(record.job_id)):
                LOG.info("job %s is over: its machine %s is ended", record.job_id, launched.id)
                self._launcher.cancel(launched.id)
            elif launched.state is LaunchState.WAITING:
                self._say(record.job_id, f"waits for a machine: {record.machine} of {record.place}")
        except LauncherUnreachable as silent:
            LOG.warning("%s", silent)
        except LaunchNotFound as gone:
            LOG.warning("%s; it is looked for by its key", gone)
            self._ids.pop(record.key, None)

    def _take_up(self, record: Spent) -> None:
        """Give an order that somebody noted and never gave. Another process may be about to: it gets a while."""
        since = self._not_there.setdefault(record.key, self._clock())
        if self._clock() - since < self._order_grace_s:
            return
        if self._queue.find(record.job_id).status is Status.PENDING:
            self._launch(record, self._order(record))
        else:
            self._ledger.close(record, running_s=0.0, state="never started")

    def _launched(self, record: Spent) -> Launched | None:
        """What became of an order. Should it have been carried out twice, the one that runs counts, and both cost."""
        if record.key in self._ids:
            return self._launcher.look(self._ids[record.key])
        found = [each for each in self._launcher.find() if each.key == record.key]
        if not found:
            return None
        self._not_there.pop(record.key, None)
        chosen = next((each for each in found if each.state not in ENDED), found[0])
        self._ids[record.key] = chosen.id
        return replace(chosen, running_s=sum(each.running_s for each in found))

    def _is_over(self, job: JobRecord) -> bool:
        """Whether a job needs its machine no longer. One that ended by itself may tidy up for a while."""
        if job.status is Status.CANCELLED:
            return True
        if job.status in (Status.PENDING, Status.RUNNING) or job.ended_at is None:
            return False
        return self._now() - datetime.fromisoformat(job.ended_at) > AFTERWARDS

    def _settle(self, record: Spent, launched: Launched) -> None:
        """Say what a machine's end means for its job, then close its record: in this order a crash loses neither."""
        log = self._followed.pop(record.key, None)
        if log is not None:
            log.join(LAST_LINES_S)
        self._store.refresh()
        job = self._queue.find(record.job_id)
        ended = [each for each in self._ledger.records() if each.job_id == record.job_id]
        tried = sum(each.retried == job.retried for each in ended)
        failure = verdict(job, record, launched, tried=tried, log_tail=log.tail() if log else "")
        if failure is not None:
            self._fail(job, failure)
        elif job.status is Status.RUNNING and job.worker == record.key:
            LOG.warning("the machine of job %s is lost (%s); it gets another", record.job_id, launched.reason)
            self._queue.release(record.job_id, job.attempt)
        closed = self._ledger.close(record, running_s=launched.running_s, state=launched.state)
        LOG.info("%s ended (%s) after %.0f s", record.key, launched.state, closed.running_s)

    def _fail(self, job: JobRecord, failure: Failure) -> None:
        """Write a failure, taking the job first where nobody has it."""
        if job.status is Status.PENDING:
            taken = self._queue.claim(NAME, may=lambda each: each.submission.id == job.submission.id)
            if taken is None:
                return
            job = taken
        LOG.error("job %s failed: %s: %s", job.submission.id, failure.code, failure.reason)
        self._queue.fail(job.submission.id, job.attempt, failure)

    def _take_back(self, with_machine: set[str]) -> None:
        """Set jobs back whose worker is lost and that have no machine here: they get one in this very turn."""
        lost = self._queue.claim(
            NAME, self._kinds, may=lambda job: job.status is Status.RUNNING and job.submission.id not in with_machine
        )
        if lost is not None:
            self._queue.release(lost.submission.id, lost.attempt)

    def _follow(self, record: Spent, launched: Launched) -> None:
        if record.key not in self._followed:
            self._followed[record.key] = MachineLog(
                self._launcher,
                launched.id,
                self._logs / f"{record.key}.log",
                job_id=record.job_id,
                on_line=lambda: self._show(record),
            )

    def _show(self, record: Spent) -> None:
        if self._shows_progress:
            log = self._followed.get(record.key)
            self._say(record.job_id, f"runs on {record.machine} of {record.place}", log.tail() if log else "")

    def _say(self, job_id: str, phase: str, log_tail: str = "") -> None:
        """Show people where a job stands."""
        state = LiveState(
            job_id=job_id, updated_at=self._now().isoformat(timespec="seconds"), phase=phase, log_tail=log_tail
        )
        try:
            self._live.publish(state)
        except OSError as error:
            LOG.warning("what job %s waits for could not be shown: %s", job_id, error)
