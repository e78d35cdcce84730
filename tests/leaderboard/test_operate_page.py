"""The operator's page: everything at once, for maintainers alone, and nothing that a stranger wrote obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_jobs.queue import StoreQueue
from backend_jobs.run_log import FileTrainingLog
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.desk import OperatorDesk
from leaderboard.health import HealthWatch
from leaderboard.live import FileLive
from leaderboard.moderation import ModerationRefused
from leaderboard.pages.frame import PageContext
from leaderboard.pages.operate import render_operation
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import Failure, JobKind, Submission
from leaderboard.visitors import EVERYBODY, Visitor
from tests.leaderboard.measurements import measurement, publish
from tests.leaderboard.page_content import HOSTILE
from tests.leaderboard.test_views import assert_harmless


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def desk(store: SqliteStore, tmp_path: Path) -> OperatorDesk:
    queue, live = StoreQueue(store), FileLive(tmp_path / "live")
    watch = HealthWatch(store=store, queue=queue, live=live, data_dir=tmp_path, disk_reserve_bytes=0)
    return OperatorDesk(store=store, queue=queue, look=watch.look)


def context(desk: OperatorDesk, store: SqliteStore, folder: Path) -> PageContext:
    board = Board(store)
    return PageContext(
        board=board,
        files=BoardFiles(board),
        queue=desk.queue,
        live=FileLive(folder / "live"),
        submit=lambda *_: pytest.fail("nothing is submitted here"),
        training=FileTrainingLog(folder / "training"),
        local_mode=False,
        operator=desk,
    )


def submit(queue: StoreQueue, job_id: str, commit: str) -> None:
    queue.submit(
        Submission(
            id=job_id,
            kind=JobKind.EVALUATE,
            model="org/model",
            commit=commit * 40,
            benchmarks=("aime_2024",),
            submitted_at="2026-03-01T12:00:00+00:00",
            submitted_by=HOSTILE,
            note=HOSTILE,
        )
    )


def test_a_maintainer_sees_checks_leases_failures_and_who_did_what(
    desk: OperatorDesk, store: SqliteStore, tmp_path: Path
) -> None:
    queue = StoreQueue(store)
    (key,) = publish(store, measurement([4, 0]))
    for job_id, commit in (("job-1", "a"), ("job-2", "b"), ("job-3", "c")):
        submit(queue, job_id, commit)
    failed = queue.claim("worker-7")
    assert failed is not None
    queue.fail(failed.submission.id, failed.attempt, Failure(code="engine_failed", reason=HOSTILE))
    assert queue.claim("worker-8") is not None
    desk.prioritize("job-3", 7, EVERYBODY)
    desk.hide(key, HOSTILE[:200], EVERYBODY)
    page = assert_harmless(render_operation(context(desk, store, tmp_path), EVERYBODY))
    for words in ("Checks", "store", "worker-8", "job-3", "engine_failed", "Hidden results", "priority", "hide"):
        assert words in page.text


@pytest.mark.parametrize("visitor", [None, Visitor(name="ada")])
def test_others_see_that_it_is_not_for_them(
    desk: OperatorDesk, store: SqliteStore, tmp_path: Path, visitor: Visitor | None
) -> None:
    submit(StoreQueue(store), "job-1", "a")
    page = render_operation(context(desk, store, tmp_path), visitor)
    assert "for the board's maintainers" in page or "maintainers" in page
    assert "job-1" not in page


def test_what_cannot_be_hidden_is_refused(desk: OperatorDesk) -> None:
    with pytest.raises(ModerationRefused):
        desk.hide("0123456789abcdef", "because", EVERYBODY)
