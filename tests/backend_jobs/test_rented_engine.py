"""Engines rented for one job: made, asked and deleted on the local Hub by the real client, whatever happens to us."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from backend_jobs.launchers.endpoints import EndpointsApi
from backend_jobs.launchers.types import LaunchRefused
from backend_jobs.ledger import BudgetReached, Ledger
from backend_jobs.machine_choice import Choice
from backend_jobs.queue import StoreQueue
from backend_jobs.rented_engine import Landlord, Rent, prefix_of, sweep
from evaluator.client import run_async
from evaluator.engine import RunningEngine
from evaluator.engine_plan import EnginePlan
from evaluator.errors import Cancelled, EngineFailed
from evaluator.types import Checkpoint
from leaderboard.board import Board
from leaderboard.spending import Budget
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import ResolvedModel, check_submission
from leaderboard.types import JobRecord, Status
from settings import ROOT
from tests.checkpoints import sound_checkpoint
from tests.fakes.hub_server import FakeHub
from tests.fakes.openai_server import FakeOpenAI
from tests.waiting import until

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
MODEL, TOKEN, IMAGE = "alice/model", "hf_s3cr3t", "vllm/vllm-openai:v0.31.0"
PLAN = EnginePlan(
    device="cuda", tensor_parallel_size=1, max_model_len=4096, max_num_seqs=64, kv_cache_bytes=1 << 30, reasons=()
)


@dataclass
class Scene:
    """A board, the Hub where its Endpoints are rented, and the model that answers behind them."""

    hub: FakeHub
    model: FakeOpenAI
    folder: Path
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        self.store = SqliteStore(self.folder / "store.db")
        self.queue = StoreQueue(self.store)
        self.api = EndpointsApi(token=TOKEN, namespace="alice", address=f"{self.hub.root}/v2")
        self.said: list[str] = []
        self.cancelled = threading.Event()

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, self.budget)

    @property
    def there(self) -> dict[str, dict[str, Any]]:
        return self.hub.endpoints.endpoints

    def submit(self) -> str:
        form = {"model": MODEL, "benchmarks": ["arithmetic"], "attempts": 1}
        commit = self.hub.add(MODEL, sound_checkpoint())
        resolved = ResolvedModel(model=MODEL, source=MODEL, revision=None, commit=commit)
        return self.queue.submit(check_submission(form, local_mode=True, resolve=lambda *_: resolved)).submission.id

    def claim(self) -> JobRecord:
        """What a worker does first."""
        claimed = self.queue.claim("a worker")
        assert claimed is not None
        return claimed

    def take_over(self) -> JobRecord:
        """What another worker does once the first one's lease has ended."""
        passed = 0.0
        queue = StoreQueue(self.store, clock=lambda: passed)
        assert queue.claim("another worker") is None, "it is only looked at"
        passed = 3600.0
        claimed = queue.claim("another worker")
        assert claimed is not None
        return claimed

    def rent(self, job: JobRecord, count: int = 1, **changes: object) -> Rent:
        instance = next(each for each in self.api.instances() if each.instance_type == "nvidia-l4")
        choice = Choice(machine=instance.machine, gpus=1, hours=2.0, dollars=1.6 * count, timeout_s=7200)
        return Rent(
            board="board",
            job=job,
            instance=instance,
            choice=replace(choice, **changes),  # type: ignore[arg-type]
            image=IMAGE,
            count=count,
        )

    def with_engine(self, rent: Rent, use: Any = lambda _: None, **limits: float) -> RunningEngine:
        landlord = Landlord(api=self.api, ledger=self.ledger, token=TOKEN, look_every_s=0.02, **limits)
        checkpoint = Checkpoint(model=MODEL, commit="1" * 40)

        async def run() -> RunningEngine:
            async with landlord.engine(rent, checkpoint, PLAN, self.said.append, self.cancelled) as engine:
                await asyncio.to_thread(use, engine)
                return engine

        return run_async(run())

    def runs_at_once(self) -> None:
        self.hub.endpoints.serve = lambda _: self.model.root


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with FakeHub() as hub, FakeOpenAI(model=MODEL, api_key=TOKEN) as model:
        hub.account("alice", token=TOKEN)
        yield Scene(hub=hub, model=model, folder=tmp_path)


def test_what_can_be_had_and_planned_for_is_offered_cheapest_first(scene: Scene) -> None:
    offered = [(each.machine.name, each.machine.devices.count) for each in scene.api.instances()]
    assert offered == [
        ("aws-us-east-1-nvidia-l4-x1", 1),
        ("aws-us-east-1-nvidia-a100-x1", 1),
        ("aws-us-east-1-nvidia-h200-x8", 8),
    ]


def test_it_is_ordered_exactly_waited_for_used_and_deleted(scene: Scene) -> None:
    scene.submit()
    rent = scene.rent(scene.claim())
    seen: list[dict[str, Any]] = []

    def comes_up() -> None:
        until(lambda: scene.there and any("initializing" in said for said in scene.said))
        (made,) = scene.there.values()
        made["status"] |= {"state": "running", "url": scene.model.root}

    def use(engine: RunningEngine) -> None:
        seen.extend(scene.there.values())
        assert scene.ledger.running("endpoint"), "what runs is known to the ledger"

    helper = threading.Thread(target=comes_up)
    helper.start()
    engine = scene.with_engine(rent, use)
    helper.join()
    assert (engine.facts.machine, engine.facts.image) == ("endpoint aws-us-east-1-nvidia-l4-x1", IMAGE)
    assert (engine.facts.engine, engine.facts.version) == ("vLLM", "0.31.0")
    (made,) = seen
    assert len(made["name"]) <= 32
    assert made["model"]["repository"] == MODEL
    assert made["model"]["revision"] == "1" * 40
    assert made["type"] == "authenticated"
    assert made["compute"]["scaling"]["scaleToZeroTimeout"] == 15
    arguments = made["model"]["args"]
    assert arguments[arguments.index("--tensor-parallel-size") + 1] == "1"
    assert arguments[arguments.index("--generation-config") + 1] == "vllm", "its own sampling defaults decide no score"
    assert "--trust-remote-code" not in arguments
    assert scene.hub.endpoints.deleted == [made["name"]]
    (record,) = scene.ledger.records()
    assert (record.state, record.place, record.dollars_per_hour) == ("deleted", "endpoint", 0.8)
    assert TOKEN not in str(scene.said) + str(made)


def test_several_stand_behind_one_queue_and_all_are_deleted(scene: Scene) -> None:
    scene.runs_at_once()
    scene.submit()
    engine = scene.with_engine(scene.rent(scene.claim(), count=3))
    assert len(engine.servers()) == engine.facts.replicas == 3
    assert len(set(scene.hub.endpoints.deleted)) == 3
    assert not scene.there


def test_one_that_fails_never_answers_or_is_cancelled_is_deleted_and_says_why(scene: Scene) -> None:
    scene.submit()
    rent = scene.rent(scene.claim())

    def falls_over() -> None:
        until(lambda: scene.there)
        (made,) = scene.there.values()
        made["status"] |= {"state": "failed", "message": "out of memory"}

    threading.Thread(target=falls_over).start()
    with pytest.raises(EngineFailed, match="is failed: out of memory"):
        scene.with_engine(rent)
    other = replace(rent, job=replace(rent.job, attempt=2))
    with pytest.raises(EngineFailed, match="did not answer within"):
        scene.with_engine(other, start_limit_s=0.1)
    scene.cancelled.set()
    with pytest.raises(Cancelled):
        scene.with_engine(replace(rent, job=replace(rent.job, attempt=3)))
    assert not scene.there
    assert len(scene.hub.endpoints.deleted) == 3
    assert not scene.ledger.running("endpoint")


def test_a_budget_and_a_refusal_stop_it_before_anything_is_rented(scene: Scene) -> None:
    scene.runs_at_once()
    scene.submit()
    rent = scene.rent(scene.claim())
    scene.budget = Budget(monthly=1.0)
    with pytest.raises(BudgetReached, match=r"the budget of everybody for .* is \$1.00"):
        scene.with_engine(rent)
    assert not scene.hub.endpoints.deleted
    scene.budget = Budget()
    scene.api = EndpointsApi(token="hf_nobody", namespace="alice")
    with pytest.raises(LaunchRefused, match="OPEN_R1_RENT_NAMESPACE"):
        scene.with_engine(rent)
    assert not scene.there


def test_after_its_limit_it_is_asked_no_more(scene: Scene) -> None:
    scene.runs_at_once()
    scene.submit()
    engine = scene.with_engine(scene.rent(scene.claim(), timeout_s=-1.0))
    with pytest.raises(EngineFailed, match="it continues from the journal"):
        engine.servers()[0].alive()


def test_the_sweep_deletes_what_no_running_job_needs_and_nothing_else(scene: Scene) -> None:
    scene.runs_at_once()
    scene.submit()
    first = scene.claim()
    mine = scene.rent(first)
    theirs = f"{prefix_of('board')}12345678-1-0"  # of another board that bears the same name

    def use(_: RunningEngine) -> None:
        scene.there[theirs] = dict(next(iter(scene.there.values())), name=theirs)
        assert sweep(scene.api, scene.ledger, scene.store, scene.queue) == []
        # The worker is taken over from: what its attempt rented is an orphan now.
        scene.take_over()
        assert sweep(scene.api, scene.ledger, scene.store, scene.queue) == mine.names
        assert list(scene.there) == [theirs]

    scene.with_engine(mine, use)
    (record,) = scene.ledger.records()
    assert record.state == "swept"


def test_one_that_cannot_be_deleted_keeps_none_of_the_others(scene: Scene) -> None:
    scene.runs_at_once()
    scene.submit()
    rent = scene.rent(scene.claim(), count=3)
    stubborn = rent.names[0]
    scene.hub.endpoints.refused = {stubborn}
    scene.with_engine(rent)
    assert list(scene.there) == [stubborn]
    assert [record.key for record in scene.ledger.running("endpoint")] == [stubborn], "the sweep comes back for it"
    other = f"{stubborn}9"
    scene.there[other] = dict(scene.there[stubborn], name=other)
    scene.ledger.open(replace(scene.ledger.running("endpoint")[0], key=other), alone=False)
    scene.take_over()
    with pytest.raises(LaunchRefused):
        sweep(scene.api, scene.ledger, scene.store, scene.queue)
    assert list(scene.there) == [stubborn], "the others were tried all the same"
    scene.hub.endpoints.refused = set()
    assert sweep(scene.api, scene.ledger, scene.store, scene.queue) == [stubborn]


def test_the_next_attempt_deletes_what_the_last_one_left(scene: Scene) -> None:
    scene.runs_at_once()
    scene.submit()
    first = scene.rent(scene.claim())

    def crashes(_: RunningEngine) -> None:
        second = scene.rent(scene.take_over())
        scene.with_engine(second, lambda _: used.append(set(scene.there)))
        assert used == [set(second.names)]

    used: list[set[str]] = []
    scene.with_engine(first, crashes)
    assert not scene.there


def worker(scene: Scene, *words: str) -> subprocess.Popen[bytes]:
    names = ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {
        "HF_ENDPOINT": scene.hub.root,
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(scene.folder / "hf"),
        "HOME": str(scene.folder),
        "OPEN_R1_DATA": str(scene.folder / "data"),
        "OPEN_R1_ENGINE": "endpoint",
        "OPEN_R1_RENT_NAMESPACE": "alice",
        "OPEN_R1_ENDPOINTS_API": f"{scene.hub.root}/v2",
    }
    command = [sys.executable, "-m", "backend_jobs", *words, "--store", str(scene.folder / "store.db")]
    with (scene.folder / "worker.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def test_an_evaluation_on_an_endpoint_survives_a_kill_and_leaves_nothing_behind(scene: Scene) -> None:
    scene.runs_at_once()
    scene.model.held_after = 100
    job_id = scene.submit()
    first = worker(scene, "worker", "--once")
    try:
        until(lambda: scene.model.in_flight and len(scene.model.requests) >= 101, within_s=240, every_s=0.1)
    finally:
        first.kill()
        first.wait(30)
    assert len(scene.there) == 1, "nobody could delete it"
    scene.model.held_after = None
    second = scene.take_over()
    assert worker(scene, "sweep").wait(120) == 0, (scene.folder / "worker.log").read_text()
    assert not scene.there
    answered = {(asked.prompt, asked.seed) for asked in scene.model.requests if asked.ended == "answered"}
    scene.queue.release(job_id, second.attempt)
    assert worker(scene, "worker", "--once").wait(240) == 0, (scene.folder / "worker.log").read_text()
    job = scene.queue.find(job_id)
    assert job.status is Status.FINISHED, job.failure
    (row,) = Board(scene.store).rows()
    assert row.engine.machine == "endpoint aws-us-east-1-nvidia-l4-x1"
    assert not scene.there
    assert not scene.ledger.running("endpoint")
    again = [key for key in answered if scene.model.asked[key] > 1]
    assert not again, "what was answered before the kill is not paid for twice"
    assert TOKEN not in (scene.folder / "worker.log").read_text()
