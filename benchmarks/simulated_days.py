"""Days of the scheduler in virtual time: people, workers that crash, pause and come back, a store that is away for
hours, clocks that jump. The queue and the store are the real ones; only time is made up.

    python -m benchmarks.simulated_days --seeds 500

After every step: a job moved only along the table of moves, and a result stands exactly where a job is FINISHED. Then
the faults end, and every job must come to an end. Prints one row of totals; exit status 1 where an invariant broke.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

from backend_jobs.limits import Limits
from backend_jobs.queue import MOVES, StoreQueue
from backend_jobs.types import JobCancelled, JobNotFound, LeaseLost, MoveRefused
from leaderboard.sqlite_store import SqliteSnapshot, SqliteStore
from leaderboard.store import Changes, StoreUnusable
from leaderboard.submissions import SubmissionRejected
from leaderboard.types import Failure, JobKind, JobRecord, Status, Submission

DAY_S = 24 * 3600.0
LEASE_S, BEAT_S, POLL_S = 45 * 60.0, 600.0, 180.0
START = datetime(2026, 3, 1, tzinfo=UTC)
PEOPLE = ("ada", "grace", "edsger")
ENDED = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED})
REFUSALS = (LeaseLost, JobCancelled, JobNotFound)
FAILURE = Failure(code="engine_failed", reason="the engine ended by itself")


class Broken(AssertionError):
    """An invariant does not hold."""


class Away(SqliteStore):
    """The real store, which cannot be reached while `away` is set."""

    away = False

    def snapshot(self, prefix: str = "") -> SqliteSnapshot:
        """As the store's own, where it can be reached."""
        self._reached()
        return super().snapshot(prefix)

    def commit(self, changes: Changes, *, parent: str, message: str) -> str:
        """As the store's own, where it can be reached."""
        self._reached()
        return super().commit(changes, parent=parent, message=message)

    def _reached(self) -> None:
        if self.away:
            raise StoreUnusable("the Hub is down")


@dataclass(slots=True)
class SimWorker:
    """One worker process: what it holds, and until when it is deaf."""

    name: str
    queue: StoreQueue
    job_id: str = ""
    attempt: int = 0
    ends_at: float = 0.0
    deaf_until: float = 0.0


@dataclass(slots=True)
class Day:
    """One seed's world."""

    seed: int
    store: Away
    workers: int = 3
    now: float = 0.0
    jump_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, JobRecord] = field(default_factory=dict)
    rng: random.Random = field(init=False)
    events: list[tuple[float, int, str, SimWorker | None]] = field(default_factory=list)
    order: count[int] = field(default_factory=count)
    people: StoreQueue = field(init=False)
    faults: bool = True

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.people = self.open_queue()

    def open_queue(self) -> StoreQueue:
        """The queue as a process of its own sees it."""
        return StoreQueue(
            self.store,
            lease_s=LEASE_S,
            limits=Limits(per_person_a_day=40),
            clock=lambda: self.now,
            now=lambda: START + timedelta(seconds=self.now + self.jump_s),
        )

    def at(self, delay_s: float, what: str, worker: SimWorker | None = None) -> None:
        """Let something happen after so many seconds."""
        heappush(self.events, (self.now + delay_s, next(self.order), what, worker))

    def run(self) -> Counter[str]:
        """One day with faults, then as long as it takes without."""
        for number in range(self.workers):
            worker = SimWorker(name=f"worker-{number}", queue=self.open_queue())
            self.at(self.rng.uniform(0, POLL_S), "turn", worker)
        for what, mean_s in (("submit", 2400.0), ("meddle", 5400.0), ("outage", 20_000.0), ("jump", 15_000.0)):
            self.at(self.rng.expovariate(1 / mean_s), what)
        while self.events and (self.now < DAY_S or not self.all_ended()):
            if self.now > 20 * DAY_S:
                raise Broken(f"seed {self.seed}: jobs are left after {self.now / DAY_S:.0f} days: {self.statuses}")
            self.now, _, what, worker = heappop(self.events)
            if self.now >= DAY_S and self.faults:
                self.faults, self.store.away = False, False
            self.step(what, worker)
            self.check()
        return self.counts

    def all_ended(self) -> bool:
        """Whether nothing waits or runs."""
        return all(job.status in ENDED for job in self.statuses.values())

    def step(self, what: str, worker: SimWorker | None) -> None:
        """One event; a store that is away costs the turn, never more."""
        try:
            if worker is not None:
                self.turn(worker)
            elif self.faults:
                getattr(self, f"on_{what}")()
        except StoreUnusable:
            self.counts["turns lost to an outage"] += 1
            if worker is not None:
                self.at(POLL_S, "turn", worker)

    def on_submit(self) -> None:
        """Somebody asks for an evaluation."""
        self.at(self.rng.expovariate(1 / 2400), "submit")
        number = self.counts["submitted"]
        submission = Submission(
            id=f"job-{number:04d}",
            kind=JobKind.EVALUATE,
            model="org/model",
            commit=f"{self.rng.randrange(60):040x}",
            benchmarks=("aime_2024",),
            submitted_at=(START + timedelta(seconds=self.now + self.jump_s)).isoformat(timespec="seconds"),
            submitted_by=self.rng.choice(PEOPLE),
        )
        try:
            self.people.submit(submission)
            self.counts["submitted"] += 1
        except SubmissionRejected:
            self.counts["refused"] += 1

    def on_meddle(self) -> None:
        """Somebody cancels, retries or reorders."""
        self.at(self.rng.expovariate(1 / 5400), "meddle")
        if not self.statuses:
            return
        job_id = self.rng.choice(sorted(self.statuses))
        act = self.rng.choice(("cancel", "retry", "prioritize"))
        try:
            if act == "prioritize":
                self.people.prioritize(job_id, self.rng.randrange(-2, 3), by="maintainer")
            else:
                getattr(self.people, act)(job_id, by="ada")
            self.counts[act] += 1
        except (MoveRefused, SubmissionRejected):
            self.counts["refused"] += 1

    def on_outage(self) -> None:
        """The store cannot be reached for up to two hours."""
        self.store.away = True
        self.counts["outages"] += 1
        self.at(self.rng.uniform(60, 7200), "back")

    def on_back(self) -> None:
        """It can be reached again."""
        self.store.away = False
        self.at(self.rng.expovariate(1 / 20_000), "outage")

    def on_jump(self) -> None:
        """The wall clock jumps by up to a day, either way."""
        self.jump_s += self.rng.uniform(-DAY_S, DAY_S)
        self.counts["clock jumps"] += 1
        self.at(self.rng.expovariate(1 / 15_000), "jump")

    def turn(self, worker: SimWorker) -> None:
        """What a worker does when it is its turn: claim, beat, or end its job one way or another."""
        if self.faults and self.rng.random() < 0.02:
            self.crash(worker)
            return
        if self.now < worker.deaf_until:
            self.at(worker.deaf_until - self.now, "turn", worker)
            return
        if not worker.job_id:
            self.claim(worker)
            self.at(BEAT_S if worker.job_id else POLL_S, "turn", worker)
            return
        try:
            self.carry_on(worker)
        except REFUSALS as refusal:
            self.counts[f"write refused: {refusal.code}"] += 1
            worker.job_id = ""
        if self.faults and worker.job_id and self.rng.random() < 0.02:
            self.counts["pauses"] += 1
            worker.deaf_until = self.now + self.rng.uniform(0.5, 3) * LEASE_S
        self.at(min(BEAT_S, max(1.0, worker.ends_at - self.now)), "turn", worker)

    def crash(self, worker: SimWorker) -> None:
        """The process is gone with all it knew; another one of that name starts later."""
        self.counts["crashes"] += 1
        reborn = SimWorker(name=worker.name, queue=self.open_queue())
        self.at(self.rng.uniform(10, 7200), "turn", reborn)

    def claim(self, worker: SimWorker) -> None:
        """Take a job where there is one."""
        job = worker.queue.claim(worker.name)
        if job is not None:
            self.counts["claims"] += 1
            self.counts["taken over"] += job.lost > 0
            worker.job_id, worker.attempt = job.submission.id, job.attempt
            worker.ends_at = self.now + self.rng.expovariate(1 / 5000)

    def carry_on(self, worker: SimWorker) -> None:
        """Beat, or end the job: mostly well."""
        if self.now < worker.ends_at:
            worker.queue.beat(worker.job_id, worker.attempt)
            return
        chance = self.rng.random()
        if chance < 0.85:
            name = f"results/org/model/{worker.job_id}.json"
            worker.queue.finish(
                worker.job_id, worker.attempt, results=(worker.job_id,), changes={name: worker.name.encode()}
            )
            self.counts["published"] += 1
        elif chance < 0.95:
            worker.queue.fail(worker.job_id, worker.attempt, FAILURE)
        else:
            worker.queue.release(worker.job_id, worker.attempt)
        worker.job_id = ""

    def check(self) -> None:
        """The invariants, looked at from outside."""
        if self.store.away:
            return
        jobs = {job.submission.id: job for job in self.people.jobs()}
        for job_id, before in self.statuses.items():
            if job_id not in jobs:
                raise Broken(f"seed {self.seed}: {job_id} is lost")
            after = jobs[job_id]
            if after.status != before.status and after.status not in _reachable(before.status):
                raise Broken(f"seed {self.seed}: {job_id} went from {before.status} to {after.status}")
            if after.attempt < before.attempt:
                raise Broken(f"seed {self.seed}: the attempt of {job_id} went back")
        published = {name.rpartition("/")[2].removesuffix(".json") for name in self.store.snapshot("results/").names}
        finished = {job_id for job_id, job in jobs.items() if job.status is Status.FINISHED}
        if published != finished or self.counts["published"] != len(finished):
            raise Broken(f"seed {self.seed}: published {published ^ finished} and finished are not the same jobs")
        self.statuses = jobs


def _reachable(status: Status) -> set[Status]:
    """Where a job may stand after any number of moves."""
    found, edge = set(MOVES[status]), set(MOVES[status])
    while edge:
        edge = {to for each in edge for to in MOVES[each]} - found
        found |= edge
    return found


def simulate(seed: int, folder: Path) -> Counter[str]:
    """One seed. Raises Broken."""
    store = Away(folder / f"{seed}.db")
    try:
        return Day(seed=seed, store=store).run()
    finally:
        store.close()


def main() -> int:
    """Run all seeds and print the totals."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulated_days", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    totals: Counter[str] = Counter()
    broken = 0
    for seed in range(given.first, given.first + given.seeds):
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            try:
                totals += simulate(seed, Path(folder))
            except Broken as failure:
                broken += 1
                print(failure)
    print(f"{given.seeds} days, {broken} broken: " + ", ".join(f"{what} {n:,}" for what, n in sorted(totals.items())))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
