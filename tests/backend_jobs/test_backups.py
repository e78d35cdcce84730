"""Backups by the clock are whole under writes, put a working board back, and only the newest few stay."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend_jobs.backups import Backups
from backend_jobs.queue import StoreQueue
from leaderboard.board import Board
from leaderboard.dataset.validate import validate
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import update
from leaderboard.transfer import restore
from leaderboard.types import JobKind, Status, Submission
from tests.leaderboard.measurements import measurement, publish

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Hours:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> datetime:
        return NOON + timedelta(hours=self.passed)


def backups(store: SqliteStore, folder: Path, hours: Hours, kept: int = 3) -> Backups:
    return Backups(store=store, folder=folder, every=timedelta(hours=24), kept=kept, now=hours)


def test_a_backup_is_written_when_it_is_due_and_the_oldest_go(tmp_path: Path) -> None:
    store, hours = SqliteStore(tmp_path / "store.db"), Hours()
    publish(store, measurement([4, 2]))
    turns = backups(store, tmp_path / "backups", hours)
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "board-mine.tar.gz").write_bytes(b"somebody else's")
    assert turns.turn() is not None
    hours.passed = 23
    assert turns.turn() is None, "not due yet"
    for day in range(1, 6):
        hours.passed = 24 * day
        assert turns.turn() is not None
    names = sorted(path.name for path in (tmp_path / "backups").iterdir())
    days = [f"board-202603{day:02}-120000.tar.gz" for day in (4, 5, 6)]
    assert names == [*days, "board-mine.tar.gz"]


def test_a_backup_that_is_late_is_said(tmp_path: Path) -> None:
    hours = Hours()
    turns = backups(SqliteStore(tmp_path / "store.db"), tmp_path / "backups", hours)
    assert turns.check().ok
    turns.turn()
    hours.passed = 47
    assert turns.check().ok
    hours.passed = 49
    found = turns.check()
    assert (found.ok, found.vital) == (False, False)
    assert "49.0 h old" in found.detail


def test_a_backup_under_writes_holds_whole_commits_and_restores_a_board_that_works(tmp_path: Path) -> None:
    store, ended = SqliteStore(tmp_path / "store.db"), threading.Event()
    key = publish(store, measurement([4, 2, 0]))
    queue = StoreQueue(store)
    queue.submit(
        Submission(
            id="job-1", kind=JobKind.EVALUATE, model="o/m", source="o/m", submitted_at="2026-03-01T12:00:00+00:00"
        )
    )

    def write() -> None:
        turn = 0
        while not ended.is_set():
            turn += 1
            both = {f"notes/{side}": f"{turn}".encode() * 20_000 for side in ("left", "right")}
            update(store, lambda _, both=both: both, message="a pair")  # type: ignore[misc]

    writer = threading.Thread(target=write)
    writer.start()
    try:
        files = []
        for turn in range(5):
            hours = Hours()
            hours.passed = 24 * turn
            files.append(backups(store, tmp_path / "backups", hours, kept=9).turn())
    finally:
        ended.set()
        writer.join()
    for number, file in enumerate(files):
        assert file is not None
        restored = SqliteStore(tmp_path / f"restored-{number}.db")
        restore(file, restored)
        tree = restored.snapshot("notes/")
        assert len({tree.read(name) for name in tree.names}) <= 1, "one commit is in it or not, never half"
        assert [row.plan_key for row in Board(restored).rows()] == list(key)
        assert not validate(restored.snapshot()).faults
        claimed = StoreQueue(restored).claim("a worker")
        assert claimed is not None
        assert claimed.status is Status.RUNNING
