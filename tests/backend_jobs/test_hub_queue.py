"""Workers and a board on one Hub store: beats through the board, long leases, and a Hub that goes away."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from backend_jobs.beats import Beats
from backend_jobs.hub_queue import BoardLink, HubQueue
from backend_jobs.queue import StoreQueue
from backend_jobs.types import JobCancelled, LeaseLost
from leaderboard.api.application import build_root
from leaderboard.api.context import ApiContext
from leaderboard.board import Board
from leaderboard.contracts import LiveState
from leaderboard.hub_repository import HubRepository
from leaderboard.hub_store import HubStore, Waits
from leaderboard.live import FileLive
from leaderboard.types import JobKind, Status, Submission
from tests.fakes.hub_server import FakeHub
from tests.site import served

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
REPO, TOKEN = "alice/board", "worker-secret"
JOB = Submission(
    id="j1", kind=JobKind.EVALUATE, model="o/m", submitted_at="2026-01-01T00:00:00+00:00", benchmarks=("math_500",)
)
IMPATIENT = Waits(first_s=0.01, longest_s=0.05, patience_s=0.3)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(kw_only=True)
class Scene:
    """A local Hub, the board's own queue and API beside it."""

    hub: FakeHub
    folder: Path
    queue: StoreQueue
    beats: Beats
    live: FileLive
    url: str = ""

    def store(self, name: str, waits: Waits = IMPATIENT) -> HubStore:
        return HubStore(
            HubRepository(REPO, token="hf_alice", endpoint=self.hub.root), self.folder / name, refresh_s=0, waits=waits
        )

    def worker(self, name: str, **options: Any) -> HubQueue:
        link = BoardLink(self.url, TOKEN) if options.pop("linked", True) else None
        return HubQueue(self.store(name), worker=name, link=link, **options)

    @property
    def commits(self) -> list[str]:
        repository = self.hub.repositories[f"datasets/{REPO}"]
        return [made.title for _, made in repository.history(repository.refs["main"])]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        HfApi(endpoint=hub.root, token="hf_alice").create_repo(REPO, repo_type="dataset")
        repository = HubRepository(REPO, token="hf_alice", endpoint=hub.root)
        store = HubStore(repository, tmp_path / "board", refresh_s=3600, waits=IMPATIENT)
        queue, live = StoreQueue(store), FileLive(tmp_path / "live")
        beats = Beats(store, queue, live)
        context = ApiContext(
            board=Board(store),
            queue=queue,
            live=live,
            submit=no_submissions,
            identify=lambda _: None,
            local_mode=False,
            beats=beats,
            worker_token=TOKEN,
        )
        made = Scene(hub=hub, folder=tmp_path, queue=queue, beats=beats, live=live)
        with served(build_root(context)) as made.url:
            yield made


def no_submissions(form: Mapping[str, Any], name: str) -> Any:
    raise AssertionError("nobody submits here")


def test_beats_and_progress_go_to_the_board_and_cost_one_commit_for_all(scene: Scene) -> None:
    for number in range(3):
        scene.queue.submit(replace(JOB, id=f"j{number}", model=f"o/m{number}"))
    workers = [scene.worker(f"w{n}") for n in range(3)]
    jobs = [job for worker in workers if (job := worker.claim("w"))]
    before = len(scene.commits)
    for _ in range(5):
        for worker, job in zip(workers, jobs, strict=True):
            worker.beat(job.submission.id, job.attempt)
    assert len(scene.commits) == before
    assert scene.beats.commit() == 3
    assert len(scene.commits) == before + 1
    assert scene.beats.commit() == 0, "nothing new was said"
    assert {job.beat for job in scene.store("reader") and StoreQueue(scene.store("reader")).jobs()} == {1}


def test_progress_is_shown_by_the_board(scene: Scene) -> None:
    scene.queue.submit(JOB)
    link = BoardLink(scene.url, TOKEN)
    worker = HubQueue(scene.store("w"), worker="w", link=link)
    job = worker.claim("w")
    assert job is not None
    state = LiveState(job_id=JOB.id, updated_at="2026-01-01T00:00:00+00:00", phase="running", log_tail="halfway")
    link.publish(state)
    worker.beat(JOB.id, job.attempt)
    assert scene.live.read(JOB.id) == state


def test_a_worker_learns_from_the_board_that_its_job_was_cancelled_or_taken(scene: Scene) -> None:
    scene.queue.submit(JOB)
    worker = scene.worker("w")
    first = worker.claim("w")
    assert first is not None
    worker.release(JOB.id, first.attempt)
    second = worker.claim("w")
    assert second is not None
    worker.beat(JOB.id, second.attempt)
    with pytest.raises(LeaseLost):
        worker.beat(JOB.id, first.attempt)
    scene.queue.cancel(JOB.id)
    with pytest.raises(JobCancelled):
        worker.beat(JOB.id, second.attempt)


def test_while_the_board_is_silent_a_worker_commits_a_beat_now_and_then(scene: Scene) -> None:
    scene.queue.submit(JOB)
    clock = Clock()
    worker = scene.worker("w", clock=clock, own_beat_s=600)
    worker._link = BoardLink("http://127.0.0.1:9", TOKEN)
    job = worker.claim("w")
    assert job is not None
    before = len(scene.commits)
    for _ in range(125):
        clock.now += 10
        worker.beat(JOB.id, job.attempt)
    assert len(scene.commits) - before == 2, "1,250 s of beats every ten seconds"


def test_a_wrong_worker_token_is_refused(scene: Scene) -> None:
    scene.queue.submit(JOB)
    worker = scene.worker("w")
    worker._link = BoardLink(scene.url, "guess")
    job = worker.claim("w")
    assert job is not None
    before = len(scene.commits)
    worker.beat(JOB.id, job.attempt)
    assert scene.beats.commit() == 0
    assert len(scene.commits) == before


def test_beats_wait_while_the_hub_is_down_and_go_with_the_next_commit(scene: Scene) -> None:
    scene.queue.submit(JOB)
    worker = scene.worker("w")
    job = worker.claim("w")
    assert job is not None
    worker.beat(JOB.id, job.attempt)
    scene.queue.jobs()
    scene.hub.stop()
    assert scene.beats.commit() == 0
    scene.hub.start()
    assert scene.beats.commit() == 1


def test_what_was_measured_while_the_hub_was_down_is_published_once_it_is_back(scene: Scene) -> None:
    scene.queue.submit(JOB)
    worker = scene.worker("w", again_s=0.05)
    job = worker.claim("w")
    assert job is not None
    scene.hub.stop()
    done = threading.Thread(
        target=lambda: worker.finish(JOB.id, job.attempt, results=("r",), changes={"results/o/m/r.json": b"{}"})
    )
    done.start()
    time.sleep(1.0)
    assert done.is_alive(), "it waits"
    scene.hub.start()
    done.join(60)
    (finished,) = StoreQueue(scene.store("reader")).jobs()
    assert (finished.status, finished.results) == (Status.FINISHED, ("r",))
    assert scene.commits.count(f"finish {JOB.id}") == 1


def test_silence_while_the_hub_was_down_does_not_count_against_a_worker(scene: Scene) -> None:
    scene.queue.submit(JOB)
    clock = Clock()
    holder, observer = scene.worker("a", clock=clock), scene.worker("b", clock=clock)
    job = holder.claim("a")
    assert job is not None
    assert observer.claim("b") is None
    scene.hub.stop()
    for _ in range(60):
        clock.now += 60
        observer._store.version()
        assert observer.claim("b") is None
    scene.hub.start()
    observer._store.version()
    assert observer.claim("b") is None, "an hour passed, but nobody could have beaten"
    clock.now += 45 * 60
    taken = observer.claim("b")
    assert taken is not None
    assert (taken.attempt, taken.lost) == (2, 1)
