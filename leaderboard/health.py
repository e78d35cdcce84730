"""Whether the board works, seen from inside: each check says what it found and, where it is bad, what to do."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from evaluator.errors import OpenR1Error
from leaderboard.contracts import JobQueue, LiveBoard
from leaderboard.store import Store
from leaderboard.types import JobRecord, Status

GB = 10**9
QUEUE_STUCK_S = 6 * 3600.0
SILENT_S = 900.0
"""A running job whose worker showed nothing for so long is worth a look; its lease decides what follows."""
FEW_MEMORY_BYTES = GB // 2
NOTHING = "-/"
"""A prefix that no file of a store has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at. A `vital` one that is not `ok` makes the board not ready."""

    name: str
    ok: bool
    detail: str
    vital: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Everything that was looked at, and what was counted on the way. Bytes and seconds."""

    checks: tuple[Check, ...]
    jobs: tuple[JobRecord, ...] = ()
    store_seconds: float = 0.0
    disk_free_bytes: int = 0
    memory_available_bytes: int = 0

    @property
    def ready(self) -> bool:
        """Whether visitors are served as they should be."""
        return all(check.ok for check in self.checks if check.vital)

    def jobs_by_status(self) -> Counter[str]:
        """Jobs in each status."""
        return Counter(str(job.status) for job in self.jobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthWatch:
    """What to look at. `worker_alive` says whether the worker beside the page runs; None where there is none.

    `more` gives further checks.
    """

    store: Store
    queue: JobQueue
    live: LiveBoard
    data_dir: Path
    disk_reserve_bytes: int
    worker_alive: Callable[[], bool | None] = lambda: None
    more: Callable[[], tuple[Check, ...]] = lambda: ()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def look(self) -> Health:
        """Look at everything once. Never raises for what it looks at."""
        store, seconds = self._store()
        queue, jobs = self._queue()
        disk, free = self._disk()
        memory, available = self._memory()
        return Health(
            checks=(store, queue, disk, memory, self._worker(), self._waiting(jobs), self._running(jobs), *self.more()),
            jobs=tuple(jobs),
            store_seconds=seconds,
            disk_free_bytes=free,
            memory_available_bytes=available,
        )

    def _store(self) -> tuple[Check, float]:
        started = time.monotonic()
        try:
            version = self.store.snapshot(NOTHING).version
        except OpenR1Error as error:
            return Check(name="store", ok=False, detail=str(error), vital=True), time.monotonic() - started
        seconds = time.monotonic() - started
        return Check(name="store", ok=True, detail=f"at version {version[:12]}", vital=True), seconds

    def _queue(self) -> tuple[Check, Sequence[JobRecord]]:
        try:
            jobs = self.queue.jobs()
        except OpenR1Error as error:
            return Check(name="queue", ok=False, detail=str(error), vital=True), ()
        return Check(name="queue", ok=True, detail=f"{len(jobs)} jobs", vital=True), jobs

    def _disk(self) -> tuple[Check, int]:
        folder = next(each for each in (self.data_dir, *self.data_dir.parents) if each.exists())
        free = shutil.disk_usage(folder).free
        ok = free >= self.disk_reserve_bytes
        advice = "" if ok else f", at least {self.disk_reserve_bytes / GB:.1f} GB are kept: delete what is not needed"
        return Check(name="disk", ok=ok, detail=f"{free / GB:.1f} GB free{advice}", vital=True), free

    def _memory(self) -> tuple[Check, int]:
        available = _available_memory()
        ok = available >= FEW_MEMORY_BYTES
        advice = "" if ok else ": processes will be ended by the system; run fewer things beside the board"
        return Check(name="memory", ok=ok, detail=f"{available / GB:.1f} GB available{advice}"), available

    def _worker(self) -> Check:
        alive = self.worker_alive()
        detail = {None: "none beside this page", True: "runs", False: "ended; it is started again within seconds"}
        return Check(name="worker", ok=alive is not False, detail=detail[alive])

    def _waiting(self, jobs: Sequence[JobRecord]) -> Check:
        waiting = [job for job in jobs if job.status is Status.PENDING]
        idle = not any(job.status is Status.RUNNING for job in jobs)
        longest = max((self._age_s(job.submission.submitted_at) for job in waiting), default=0.0)
        ok = not (idle and longest > QUEUE_STUCK_S)
        advice = "" if ok else " and nothing runs: start a worker (python -m backend_jobs worker)"
        detail = f"{len(waiting)} wait, the oldest for {longest / 3600:.1f} h{advice}"
        return Check(name="waiting", ok=ok, detail=detail)

    def _running(self, jobs: Sequence[JobRecord]) -> Check:
        running = [job for job in jobs if job.status is Status.RUNNING]
        shown = ((job, self.live.read(job.submission.id)) for job in running)
        silent = [
            job.submission.id for job, state in shown if state is not None and self._age_s(state.updated_at) > SILENT_S
        ]
        advice = f"; silent for {SILENT_S / 60:.0f} minutes: {', '.join(silent)}" if silent else ""
        return Check(name="running", ok=not silent, detail=f"{len(running)} run{advice}")

    def _age_s(self, at: str) -> float:
        return max(0.0, (self.now() - datetime.fromisoformat(at)).total_seconds())


def _available_memory() -> int:
    """Bytes that new processes may take, as the kernel estimates."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kilobytes) * 1024
