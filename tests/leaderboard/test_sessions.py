"""Visits leave nothing behind for ever: Gradio's copy of the site for each of them is bounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradio.state_holder import StateHolder

from backend_jobs.run_log import FileTrainingLog
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.pages.frame import PageContext
from leaderboard.pages.site import SESSIONS_KEPT, build_page
from leaderboard.sqlite_store import SqliteStore
from tests.leaderboard.page_content import MemoryLive, MemoryQueue


def refuse(*_: Any) -> Any:
    raise AssertionError("nobody submits")


def test_the_oldest_visits_are_forgotten(tmp_path: Path) -> None:
    board = Board(SqliteStore(tmp_path / "store.db"))
    context = PageContext(
        board=board,
        files=BoardFiles(board),
        queue=MemoryQueue([]),
        live=MemoryLive(),
        submit=refuse,
        training=FileTrainingLog(tmp_path),
        local_mode=False,
    )
    visits = StateHolder()
    visits.set_blocks(build_page(context))
    for number in range(SESSIONS_KEPT + 20):
        _ = visits[f"visit-{number}"]
    assert len(visits.session_data) == SESSIONS_KEPT
    assert "visit-0" not in visits
    assert f"visit-{SESSIONS_KEPT + 19}" in visits
