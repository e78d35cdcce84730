"""A push to a watched model submits itself, once, and nobody else's words do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from backend_jobs.hooks import Hooks
from backend_jobs.queue import StoreQueue
from leaderboard.api.application import PREFIX, build_root
from leaderboard.api.context import ApiContext
from leaderboard.board import Board
from leaderboard.hub import resolve_commit
from leaderboard.live import FileLive
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import ResolvedModel, check_submission
from leaderboard.types import JobRecord, Status
from tests.backend_jobs.test_hub_queue import no_submissions
from tests.backend_jobs.test_worker import until
from tests.fakes.hub_server import FakeHub
from tests.site import served

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
SECRET, MODEL = "hook-secret", "open-r1/run-7"


@dataclass(kw_only=True)
class Scene:
    """A local Hub that tells a board of every push."""

    hub: FakeHub
    queue: StoreQueue
    url: str = ""
    api: HfApi = field(init=False)

    def push(self, name: str, content: bytes, *, revision: str = "main", **options: Any) -> str:
        return self.api.create_commit(
            MODEL, [CommitOperationAdd(name, content)], commit_message="push", revision=revision, **options
        ).oid

    def commits(self) -> list[str | None]:
        return [job.submission.commit for job in reversed(self.queue.jobs())]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    store = SqliteStore(tmp_path / "store.db")
    with FakeHub() as hub:
        hub.account("trainer", token="hf_trainer", orgs=("open-r1",))
        made = Scene(hub=hub, queue=StoreQueue(store))
        made.api = HfApi(endpoint=hub.root, token="hf_trainer")
        made.api.create_repo(MODEL)

        def resolve(model: str, revision: str | None) -> ResolvedModel:
            found = resolve_commit(model, revision, endpoint=hub.root)
            return ResolvedModel(model=model, source=model, revision=revision, commit=found.commit)

        def submit(form: Mapping[str, Any], name: str) -> JobRecord:
            return made.queue.submit(check_submission(form, local_mode=False, resolve=resolve, submitted_by=name))

        context = ApiContext(
            board=Board(store),
            queue=made.queue,
            live=FileLive(tmp_path / "live"),
            submit=no_submissions,
            identify=lambda _: None,
            local_mode=False,
            hooks=Hooks(submit, secret=SECRET, watched=["open-r1/run-*"], benchmarks=["math_500"]),
        )
        with served(build_root(context)) as made.url:
            yield made


def watch(scene: Scene, secret: str = SECRET) -> None:
    scene.api.create_webhook(
        url=f"{scene.url}{PREFIX}/webhooks/hub", watched=[{"type": "model", "name": MODEL}], secret=secret
    )


def payload(model: str = MODEL, **changes: Any) -> dict[str, Any]:
    return {
        "event": {"action": "update", "scope": "repo.content"},
        "repo": {"type": "model", "name": model},
        "updatedRefs": [{"ref": "refs/heads/main", "oldSha": None, "newSha": "a" * 40}],
        **changes,
    }


def test_each_pushed_revision_submits_itself_pinned_to_its_commit(scene: Scene) -> None:
    watch(scene)
    first = scene.push("step-100/model.safetensors", b"\1")
    until(lambda: scene.commits() == [first])
    second = scene.push("step-200/model.safetensors", b"\2")
    until(lambda: scene.commits() == [first, second])
    (newest, _) = scene.queue.jobs()
    assert (newest.status, newest.submission.submitted_by) == (Status.PENDING, "webhook")
    assert newest.submission.note == "pushed to main"


def test_a_webhook_that_comes_twice_submits_once(scene: Scene) -> None:
    commit = scene.push("model.safetensors", b"\1")
    told = payload(updatedRefs=[{"ref": "refs/heads/main", "newSha": commit}])
    headers = {"X-Webhook-Secret": SECRET}
    answers = [httpx.post(f"{scene.url}{PREFIX}/webhooks/hub", json=told, headers=headers) for _ in range(2)]
    assert [len(answer.json()) for answer in answers] == [1, 0]
    assert [answer.status_code for answer in answers] == [202, 202]


@pytest.mark.parametrize(
    "told",
    [
        payload("someone/else"),
        payload(event={"action": "update", "scope": "discussion"}),
        payload(repo={"type": "dataset", "name": MODEL}),
        payload(updatedRefs=[{"ref": "refs/pr/3", "newSha": "a" * 40}]),
        payload(updatedRefs=[{"ref": "refs/heads/gone", "newSha": None}]),
        payload(updatedRefs=[{"ref": "refs/heads/main", "newSha": "f" * 40}]),
    ],
    ids=["not watched", "a discussion", "a dataset", "a pull request", "a deleted branch", "an unknown commit"],
)
def test_other_news_submits_nothing(scene: Scene, told: dict[str, Any]) -> None:
    answer = httpx.post(f"{scene.url}{PREFIX}/webhooks/hub", json=told, headers={"X-Webhook-Secret": SECRET})
    assert (answer.status_code, answer.json()) == (202, [])
    assert scene.queue.jobs() == []


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"X-Webhook-Secret": "guess"}, 403)])
def test_without_the_secret_nothing_is_read(scene: Scene, headers: dict[str, str], status: int) -> None:
    answer = httpx.post(f"{scene.url}{PREFIX}/webhooks/hub", json=payload(), headers=headers)
    assert answer.status_code == status
    assert scene.queue.jobs() == []


def test_a_payload_that_is_none_is_refused_by_name(scene: Scene) -> None:
    answer = httpx.post(f"{scene.url}{PREFIX}/webhooks/hub", json={"event": {}}, headers={"X-Webhook-Secret": SECRET})
    assert answer.status_code == 422
    assert "event.action" in answer.json()["detail"]
