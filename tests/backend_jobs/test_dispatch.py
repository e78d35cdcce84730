"""A machine for every job: rented from the local Hub by the real client; the test moves its Jobs along."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend_jobs.dispatch import Dispatcher, Surroundings
from backend_jobs.launchers.hf_jobs import HfJobsLauncher
from backend_jobs.ledger import Ledger
from backend_jobs.machine_choice import Choice
from backend_jobs.queue import StoreQueue
from leaderboard.live import FileLive
from leaderboard.spending import Budget
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import JobKind, JobRecord, Status, Submission
from tests.fakes.hub_faults import Fault
from tests.fakes.hub_server import FakeHub

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
HOUR = timedelta(hours=1)


@dataclass
class Scene:
    """A board, and the Hub where its machines are rented. `dispatcher()` makes a new one, as a restart would."""

    hub: FakeHub
    folder: Path
    now: datetime = datetime(2026, 1, 10, 12, tzinfo=UTC)
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        self.store = SqliteStore(self.folder / "store.db")
        self.queue = StoreQueue(self.store, now=lambda: self.now)
        self.live = FileLive(self.folder / "live")
        self.made: list[Dispatcher] = []

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, self.budget, now=lambda: self.now)

    def dispatcher(self, *, at_once: int = 4, expected: float = 1.6, grace_s: float = 60.0) -> Dispatcher:
        launcher = HfJobsLauncher(
            token="hf_alice", namespace="alice", board="board", image="image", folder="/app", endpoint=self.hub.root
        )

        def l4(_: JobRecord) -> Choice:
            (machine,) = (each for each in launcher.machines() if each.name == "l4x1")
            return Choice(machine=machine, gpus=1, hours=2.0, dollars=expected, timeout_s=7200)

        made = Dispatcher(
            store=self.store,
            queue=StoreQueue(self.store, now=lambda: self.now),
            ledger=self.ledger,
            live=self.live,
            launcher=launcher,
            choose=l4,
            surroundings=Surroundings(store="hf://datasets/alice/board", secrets={"HF_TOKEN": "hf_s3cr3t"}),
            logs=self.folder / "machines",
            at_once=at_once,
            now=lambda: self.now,
            order_grace_s=grace_s,
        )
        self.made.append(made)
        return made

    def submit(self, number: int, by: str = "alice") -> str:
        job_id = f"20260110-120000-{number:03d}-abcdef01"
        submission = Submission(
            id=job_id,
            kind=JobKind.EVALUATE,
            model=f"alice/model-{number}",
            source=f"alice/model-{number}",
            submitted_at=self.now.isoformat(timespec="seconds"),
            submitted_by=by,
            benchmarks=("math_500",),
        )
        self.queue.submit(submission)
        return job_id

    @property
    def rented(self) -> list[dict[str, Any]]:
        """What runs or ran on the Hub, oldest first."""
        return list(self.hub.jobs.jobs.values())

    def takes_job(self, machine: dict[str, Any]) -> JobRecord:
        """What the worker on a machine does first."""
        words = machine["command"]
        job_id, name = words[words.index("--job") + 1], words[words.index("--name") + 1]
        taken = self.queue.claim(name, may=lambda job: job.submission.id == job_id)
        assert taken is not None
        return taken

    def ends(self, machine: dict[str, Any], stage: str, message: str | None = None, *, after: timedelta = HOUR) -> None:
        machine["status"] = {"stage": stage, "message": message}
        machine["durations"]["runningSecs"] = int(after.total_seconds())
        self.now += after


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        scene = Scene(hub=hub, folder=tmp_path)
        yield scene
        for dispatcher in scene.made:
            dispatcher.stop()


def test_a_job_that_waits_gets_a_machine_with_a_limit_labels_and_its_secrets_apart(scene: Scene) -> None:
    job_id = scene.submit(1)
    assert scene.dispatcher().turn()
    (machine,) = scene.rented
    assert machine["flavor"] == "l4x1"
    assert machine["timeoutSeconds"] == 7200
    assert machine["labels"]["open-r1-board"] == "board"
    assert machine["command"][1:8] == ["-m", "backend_jobs", "worker", "--once", "--job", job_id, "--name"]
    assert machine["environment"]["OPEN_R1_DOLLARS_PER_HOUR"].startswith("0.79")
    assert "hf_s3cr3t" not in str(machine)
    kept = b"".join(path.read_bytes() for path in scene.folder.rglob("*") if path.is_file())
    assert b"hf_s3cr3t" not in kept
    assert scene.dispatcher().turn()
    assert len(scene.rented) == 1


def test_a_machine_that_did_its_work_is_settled_at_what_it_really_ran(scene: Scene) -> None:
    job_id = scene.submit(1)
    dispatcher = scene.dispatcher()
    dispatcher.turn()
    job = scene.takes_job(scene.rented[0])
    scene.queue.finish(job_id, job.attempt, results=(), changes={})
    scene.hub.jobs.lines[scene.rented[0]["id"]].extend(["===== Job started =====", "measured"])
    scene.ends(scene.rented[0], "COMPLETED", after=timedelta(minutes=30, seconds=1))
    assert not dispatcher.turn()
    (record,) = scene.ledger.records()
    assert record.state == "finished"
    assert scene.ledger.look().spent == pytest.approx(31 / 60 * 0.8, rel=1e-3), "billed by the started minute"
    assert (scene.folder / "machines" / f"{record.key}.log").read_text() == "measured\n"
    assert len(scene.rented) == 1


def test_a_machine_stopped_at_its_limit_fails_the_job_with_a_sentence(scene: Scene) -> None:
    job_id = scene.submit(1)
    dispatcher = scene.dispatcher()
    dispatcher.turn()
    scene.takes_job(scene.rented[0])
    scene.ends(scene.rented[0], "ERROR", "Job timeout", after=2 * HOUR)
    dispatcher.turn()
    job = scene.queue.find(job_id)
    assert job.status is Status.FAILED
    assert job.failure is not None
    assert job.failure.code == "machine_timed_out"
    assert "2.0 hours" in job.failure.reason
    assert len(scene.rented) == 1


def test_a_lost_machine_is_replaced_and_three_are_too_many_and_all_are_paid_for(scene: Scene) -> None:
    job_id = scene.submit(1)
    dispatcher = scene.dispatcher()
    for number in range(3):
        dispatcher.turn()
        machine = scene.rented[number]
        if number < 2:
            scene.takes_job(machine)
        scene.ends(machine, "ERROR", "Job failed with exit code: 137")
    dispatcher.turn()
    job = scene.queue.find(job_id)
    assert job.failure is not None
    assert job.failure.code == "machine_failed"
    assert "137" in job.failure.reason
    assert len(scene.rented) == 3
    assert scene.ledger.look().spent == pytest.approx(3 * 0.8, rel=1e-3)
    scene.queue.retry(job_id)
    dispatcher.turn()
    assert len(scene.rented) == 4, "a retry by hand gives it machines again"


def test_cancelling_the_submission_cancels_its_machine(scene: Scene) -> None:
    job_id = scene.submit(1)
    dispatcher = scene.dispatcher()
    dispatcher.turn()
    scene.takes_job(scene.rented[0])
    scene.queue.cancel(job_id)
    dispatcher.turn()
    assert scene.rented[0]["status"]["stage"] == "CANCELED"
    assert not dispatcher.turn()
    assert scene.queue.find(job_id).status is Status.CANCELLED
    assert scene.ledger.records()[0].state == "cancelled"


def test_a_machine_cancelled_on_the_hub_fails_its_job(scene: Scene) -> None:
    job_id = scene.submit(1)
    dispatcher = scene.dispatcher()
    dispatcher.turn()
    scene.ends(scene.rented[0], "CANCELED")
    dispatcher.turn()
    failure = scene.queue.find(job_id).failure
    assert failure is not None
    assert failure.code == "machine_cancelled"


def test_a_machine_that_stays_after_its_job_ended_is_ended(scene: Scene) -> None:
    job_id = scene.submit(1)
    dispatcher = scene.dispatcher()
    dispatcher.turn()
    job = scene.takes_job(scene.rented[0])
    scene.queue.finish(job_id, job.attempt, results=(), changes={})
    dispatcher.turn()
    assert scene.rented[0]["status"]["stage"] == "RUNNING"
    scene.now += timedelta(minutes=6)
    dispatcher.turn()
    assert scene.rented[0]["status"]["stage"] == "CANCELED"


def test_a_budget_stops_new_starts_with_a_sentence_and_what_runs_goes_on(scene: Scene) -> None:
    scene.budget = Budget(monthly=2.0)
    scene.submit(1)
    second = scene.submit(2, by="bob")
    dispatcher = scene.dispatcher(expected=1.6)
    dispatcher.turn()
    dispatcher.turn()
    assert len(scene.rented) == 1
    assert scene.rented[0]["status"]["stage"] == "RUNNING"
    assert scene.queue.find(second).status is Status.PENDING
    state = scene.live.read(second)
    assert state is not None
    assert "$2.00" in state.phase
    assert "OPEN_R1_MONTHLY_BUDGET" in state.phase
    scene.budget = Budget(monthly=4.0)
    scene.dispatcher(expected=1.6).turn()
    assert len(scene.rented) == 2


def test_one_persons_budget_does_not_stop_another_and_a_new_month_begins_at_nothing(scene: Scene) -> None:
    scene.budget = Budget(per_person=2.0)
    first, second = scene.submit(1, by="alice"), scene.submit(2, by="alice")
    scene.submit(3, by="bob")
    dispatcher = scene.dispatcher(expected=1.6)
    dispatcher.turn()
    started = [machine["command"][6] for machine in scene.rented]
    assert len(started) == 2
    assert second not in started
    job = scene.takes_job(next(each for each in scene.rented if first in each["command"]))
    scene.queue.finish(first, job.attempt, results=(), changes={})
    scene.ends(scene.rented[0], "COMPLETED", after=2 * HOUR)
    dispatcher.turn()
    assert len(scene.rented) == 2, "1.60 of 2.00 are gone, another 1.60 does not fit"
    scene.now = datetime(2026, 2, 1, 0, 1, tzinfo=UTC)
    dispatcher.turn()
    assert len(scene.rented) == 3


def test_many_dispatchers_start_each_job_once_and_never_go_over_the_budget(scene: Scene) -> None:
    scene.budget = Budget(monthly=5.0)
    for number in range(6):
        scene.submit(number)
    dispatchers = [scene.dispatcher(at_once=9, expected=1.6) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: each.turn(), dispatchers))
    jobs = [machine["command"][6] for machine in scene.rented]
    assert len(jobs) == len(set(jobs)) == 3


def test_after_a_crash_before_the_order_it_is_given_once(scene: Scene) -> None:
    job_id = scene.submit(1)
    first = scene.dispatcher()
    scene.hub.faults.planned.append(Fault(where="POST /api/jobs/", status=500))
    assert first.turn()
    assert scene.rented == []
    scene.dispatcher(grace_s=60).turn()
    assert scene.rented == [], "whoever noted it may be about to ask"
    scene.dispatcher(grace_s=0).turn()
    scene.dispatcher(grace_s=0).turn()
    (machine,) = scene.rented
    assert job_id in machine["command"]


def test_after_a_crash_during_the_order_the_machine_is_found_and_not_rented_twice(scene: Scene) -> None:
    scene.submit(1)
    scene.hub.faults.planned.append(Fault(where="POST /api/jobs/", after_success=True))
    scene.dispatcher().turn()
    assert len(scene.rented) == 1
    second = scene.dispatcher()
    second.turn()
    assert len(scene.rented) == 1
    scene.hub.jobs.lines[scene.rented[0]["id"]].append("hello")
    scene.takes_job(scene.rented[0])
    scene.ends(scene.rented[0], "ERROR", "Job timeout")
    second.turn()
    assert (scene.folder / "machines" / f"{scene.ledger.records()[0].key}.log").read_text() == "hello\n"


def test_no_credit_fails_the_job_at_once_and_costs_nothing(scene: Scene) -> None:
    job_id = scene.submit(1)
    scene.hub.faults.planned.append(Fault(where="POST /api/jobs/", status=402))
    scene.dispatcher().turn()
    failure = scene.queue.find(job_id).failure
    assert failure is not None
    assert failure.code == "launch_refused"
    assert "402" in failure.reason
    assert scene.ledger.look().spent == 0


def test_while_the_hub_is_down_nothing_is_decided(scene: Scene) -> None:
    job_id = scene.submit(1)
    dispatcher = scene.dispatcher()
    dispatcher.turn()
    scene.takes_job(scene.rented[0])
    scene.hub.status = 503
    dispatcher.turn()
    assert scene.queue.find(job_id).status is Status.RUNNING
    scene.hub.status = None
    scene.ends(scene.rented[0], "ERROR", "Job failed with exit code: 1")
    dispatcher.turn()
    assert scene.queue.find(job_id).status is Status.PENDING
    assert len(scene.rented) == 2


def test_a_job_whose_worker_vanished_elsewhere_gets_a_machine(scene: Scene) -> None:
    job_id = scene.submit(1)
    clock = 0.0
    queue = StoreQueue(scene.store, now=lambda: scene.now, clock=lambda: clock)
    dispatcher = scene.dispatcher()
    dispatcher._queue = queue  # its leases run on this clock
    queue.claim("another worker")
    dispatcher.turn()
    assert scene.rented == []
    clock = 1e6
    dispatcher.turn()
    assert [machine["command"][6] for machine in scene.rented] == [job_id]
    assert replace(scene.queue.find(job_id)).lost == 1
