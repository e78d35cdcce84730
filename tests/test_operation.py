"""What machines ask of the board and what it tells people by itself: on a real store, server and webhook."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import app
from backend_jobs.alerts import Alarms, AlertState, webhook
from backend_jobs.housekeeping import Housekeeping
from backend_jobs.keeper import WorkerKeeper
from backend_jobs.operation import Operation
from backend_jobs.queue import StoreQueue
from evaluator.engine import free_port
from evaluator.types import Progress
from leaderboard.contracts import LiveState
from leaderboard.health import QUEUE_STUCK_S, HealthWatch
from leaderboard.live import FileLive
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import Failure, JobKind, JobRecord, Submission
from settings import read_settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Place:
    """A board's parts in a folder of its own."""

    def __init__(self, folder: Path, **changed: str) -> None:
        self.settings = read_settings({"OPEN_R1_DATA": str(folder), **changed})
        self.store = SqliteStore(folder / "store.db")
        self.queue = StoreQueue(self.store)
        self.live = FileLive(folder / "live")
        self.keeper = WorkerKeeper(["true"], self.settings)
        self.operation = Operation(self.settings, self.store, self.queue, self.live, self.keeper)

    def submit(self, job_id: str, at: datetime = NOON, source: str = "org/model", commit: str = "c" * 40) -> JobRecord:
        submission = Submission(
            id=job_id,
            kind=JobKind.EVALUATE,
            model="org/model",
            source=source,
            commit=commit,
            benchmarks=("aime_2024",),
            submitted_at=at.isoformat(timespec="seconds"),
        )
        return self.queue.submit(submission)

    def watch(self, now: datetime = NOON) -> HealthWatch:
        return HealthWatch(
            store=self.store,
            queue=self.queue,
            live=self.live,
            data_dir=self.settings.data_dir,
            disk_reserve_bytes=0,
            now=lambda: now,
        )

    def check(self, name: str, now: datetime = NOON) -> tuple[bool, str]:
        return next((check.ok, check.detail) for check in self.watch(now).look().checks if check.name == name)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@contextmanager
def served(place: Place) -> Iterator[str]:
    """The three routes and one page behind a real server."""
    site = Starlette(routes=[Route("/result/{key}", lambda _: PlainTextResponse("a page"))])
    server = uvicorn.Server(
        uvicorn.Config(app.watched(site, place.operation), port=(port := free_port()), log_level="warning")
    )
    thread = Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(text: str) -> dict[tuple[str, frozenset[str]], float]:
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_board_that_works_is_healthy_and_ready_and_says_what_it_looked_at(place: Place) -> None:
    with served(place) as root:
        assert get(f"{root}/health") == (200, '{"status":"ok"}')
        status, body = get(f"{root}/ready")
    found = json.loads(body)
    assert (status, found["ready"]) == (200, True)
    assert {check["name"] for check in found["checks"]} >= {"store", "queue", "disk", "memory", "worker"}


def test_a_board_whose_store_is_gone_is_alive_but_not_ready_and_says_why(place: Place) -> None:
    with served(place) as root:
        place.store.close()
        (place.settings.data_dir / "store.db").write_bytes(b"not a database at all, but longer than a header" * 10)
        assert get(f"{root}/health")[0] == 200
        status, body = get(f"{root}/ready")
    assert status == 503
    assert "cannot be used" in body or "not a store" in body


def test_a_disk_with_less_than_the_reserve_makes_the_board_not_ready(tmp_path: Path) -> None:
    with served(Place(tmp_path, OPEN_R1_DISK_RESERVE_GB="999999")) as root:
        status, body = get(f"{root}/ready")
    assert status == 503
    assert "999999.0 GB are kept" in body


def test_metrics_are_what_prometheus_reads_and_tell_jobs_and_requests(place: Place) -> None:
    place.submit("job-1")
    claimed = place.queue.claim("w")
    assert claimed is not None
    place.submit("job-2", commit="d" * 40)
    progress = {"aime_2024": Progress(phase="generating", done=7, total=10, tokens_per_s=99.5)}
    place.live.publish(LiveState(job_id="job-1", updated_at=NOON.isoformat(), progress=progress))
    with served(place) as root:
        get(f"{root}/result/abc")
        get(f"{root}/made-up-by-a-stranger-1")
        get(f"{root}/made-up-by-a-stranger-2")
        found = samples(get(f"{root}/metrics")[1])
    running = {"job-1", "aime_2024"}
    for name, labels, value in (
        ("openr1_jobs", {"PENDING"}, 1),
        ("openr1_jobs", {"RUNNING"}, 1),
        ("openr1_job_done", running, 7),
        ("openr1_job_tokens_per_s", running, 99.5),
        ("openr1_ready", set[str](), 1),
        ("openr1_http_requests_total", {"result", "GET", "200"}, 1),
        ("openr1_http_requests_total", {"other", "GET", "404"}, 2),
        ("openr1_http_request_seconds_count", {"result"}, 1),
    ):
        assert found[name, frozenset(labels)] == value, name


def test_a_queue_that_waits_with_nobody_to_run_it_is_noticed(place: Place) -> None:
    place.submit("job-1")
    assert place.check("waiting", NOON + timedelta(seconds=QUEUE_STUCK_S - 60))[0]
    ok, detail = place.check("waiting", NOON + timedelta(seconds=QUEUE_STUCK_S + 60))
    assert not ok
    assert "start a worker" in detail


def test_a_running_job_that_shows_nothing_is_named(place: Place) -> None:
    place.submit("job-1")
    place.queue.claim("w")
    place.live.publish(LiveState(job_id="job-1", updated_at=NOON.isoformat()))
    assert place.check("running", NOON + timedelta(minutes=1))[0]
    ok, detail = place.check("running", NOON + timedelta(hours=1))
    assert (ok, "job-1" in detail) == (False, True)


class Received:
    """A webhook that keeps what it was sent, and can be out of order."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.status = 200
        received = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if received.status < 400:
                    received.alerts.append(body)
                self.send_response(received.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the test looks at what was kept."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def hook() -> Iterator[Received]:
    received = Received()
    yield received
    received.server.shutdown()
    received.server.server_close()


def test_a_fault_is_told_once_and_once_more_when_it_is_over(place: Place, hook: Received) -> None:
    place.submit("job-1", at=datetime.now(UTC))
    claimed = place.queue.claim("w")
    assert claimed is not None
    place.queue.fail("job-1", claimed.attempt, Failure(code="engine_failed", reason="no memory left"))
    alarms = Alarms(place.watch().look, webhook(hook.url))
    alarms.turn()
    alarms.turn()
    assert [alert["state"] for alert in hook.alerts] == [AlertState.FIRING]
    assert "engine_failed: no memory left" in hook.alerts[0]["text"]
    place.queue.retry("job-1")
    alarms.turn()
    alarms.turn()
    assert [alert["state"] for alert in hook.alerts] == [AlertState.FIRING, AlertState.RESOLVED]
    assert hook.alerts[0]["key"] == hook.alerts[1]["key"]


def test_an_alert_that_could_not_be_sent_is_sent_at_the_next_look(place: Place, hook: Received) -> None:
    alarms = Alarms(place.watch().look, webhook(hook.url), extra=lambda: {"anchor": "the anchor drifted"})
    hook.status = 500
    alarms.turn()
    assert hook.alerts == []
    hook.status = 200
    alarms.turn()
    assert [alert["text"] for alert in hook.alerts] == ["the anchor drifted"]


def test_a_submitters_own_fault_wakes_nobody(place: Place, hook: Received) -> None:
    place.submit("job-1")
    claimed = place.queue.claim("w")
    assert claimed is not None
    place.queue.fail("job-1", claimed.attempt, Failure(code="checkpoint_rejected", reason="no weights"))
    Alarms(place.watch().look, webhook(hook.url)).turn()
    assert hook.alerts == []


def test_room_is_made_by_the_least_recently_used_download_and_only_as_far_as_needed(place: Place) -> None:
    place.submit("job-1", source="org/needed", commit="a" * 40)
    hub = place.settings.data_dir / "hub"
    for age, name in enumerate(["new", "older", "oldest"]):
        folder = hub / f"org--{name}" / ("b" * 40)
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"x" * 1000)
        then = time.time() - 1000 * age
        for path in (folder, folder / "model.safetensors"):
            os.utime(path, (then, then))
    needed = hub / "org--needed" / ("a" * 40)
    needed.mkdir(parents=True)
    journals = place.settings.data_dir / "journals"
    journals.mkdir()
    (journals / "org.db").write_bytes(b"paid for")

    def free(folder: Path) -> int:
        return 5000 - sum(path.stat().st_size for path in hub.rglob("*") if path.is_file())

    keeping = Housekeeping(data_dir=place.settings.data_dir, queue=place.queue, reserve_bytes=4000, free=free)
    assert [folder.parent.name for folder in keeping.make_room()] == ["org--oldest", "org--older"]
    assert keeping.make_room() == []
    everything = Housekeeping(data_dir=place.settings.data_dir, queue=place.queue, reserve_bytes=10**9, free=free)
    assert [folder.parent.name for folder in everything.make_room()] == ["org--new"]
    assert needed.exists()
    assert (journals / "org.db").read_bytes() == b"paid for"


def test_a_commit_names_the_job_that_every_line_of_its_log_carries(place: Place) -> None:
    place.submit("job-1")
    claimed = place.queue.claim("w")
    assert claimed is not None
    place.queue.finish("job-1", claimed.attempt, results=(), changes={})
    with sqlite3.connect(place.settings.data_dir / "store.db") as database:
        messages = [message for (message,) in database.execute("SELECT message FROM commits ORDER BY sequence")]
    assert messages == ["submit job-1", "w takes a job", "finish job-1"]
