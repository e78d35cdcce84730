"""A maintainer hides a result with a public reason; nothing is deleted, and it can be shown again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from leaderboard.audit import Action, read_trail
from leaderboard.board import Board
from leaderboard.moderation import HIDDEN, ModerationRefused, hide, show
from leaderboard.sqlite_store import SqliteStore
from tests.leaderboard.measurements import measurement, publish

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


def ranked(board: Board) -> dict[str, bool]:
    return {row.plan_key: row.ranked for row in board.rows()}


def test_a_hidden_result_loses_its_rank_keeps_its_page_and_says_why(store: SqliteStore) -> None:
    (bad,) = publish(store, measurement([4] * 30, model="a/cheater"))
    (good,) = publish(store, measurement([2] * 30, model="a/honest"))
    board = Board(store)
    assert ranked(board) == {bad: True, good: True}
    hide(store, bad, "trained on the\n test set", by="maintainer", now=lambda: NOON)
    assert ranked(board) == {bad: False, good: True}
    assert board.row(bad).not_ranked_because == "hidden by maintainer on 2026-03-01: trained on the test set"
    assert board.row(bad).statistics.score == 100
    show(store, bad, by="maintainer", now=lambda: NOON)
    assert ranked(board) == {bad: True, good: True}
    assert {entry.action for entry in read_trail(store)} == {Action.HIDE, Action.SHOW}


@pytest.mark.parametrize("reason", ["", "  \n ", "x" * 501])
def test_a_result_is_not_hidden_without_a_reason_that_people_can_read(store: SqliteStore, reason: str) -> None:
    (key,) = publish(store, measurement([4] * 30))
    with pytest.raises(ModerationRefused, match="expected 1 to 500"):
        hide(store, key, reason, by="maintainer")


@pytest.mark.parametrize("plan_key", ["0123456789abcdef", "../../requests/x", ""])
def test_what_is_no_result_cannot_be_hidden_or_shown(store: SqliteStore, plan_key: str) -> None:
    with pytest.raises(ModerationRefused):
        hide(store, plan_key, "because", by="maintainer")
    with pytest.raises(ModerationRefused):
        show(store, plan_key, by="maintainer")


def test_a_damaged_record_hides_all_the_same(store: SqliteStore) -> None:
    (key,) = publish(store, measurement([4] * 30))
    store.commit({f"{HIDDEN}{key}.json": b"{"}, parent=store.version(), message="damage")
    assert ranked(Board(store)) == {key: False}
    assert "damaged" in Board(store).row(key).not_ranked_because
