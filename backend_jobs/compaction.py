"""The scheduled job that writes the tables people load, and the reading of all submissions that it needs."""

from __future__ import annotations

import logging

from backend_jobs.records import REQUESTS, read_record
from backend_jobs.types import RecordUnreadable
from leaderboard.board import Board
from leaderboard.dataset.compact import compacted
from leaderboard.hub_use import USE
from leaderboard.store import Changes, Snapshot, Store, StoreUnusable, VersionConflict, update
from leaderboard.types import JobRecord

LOG = logging.getLogger(__name__)
COMPACT_EVERY_S = 3600.0


def compact(store: Store, board: Board | None = None) -> list[str]:
    """Write the tables anew, in one commit; returns the files that changed. Raises StoreUnusable."""
    written: list[str] = []
    board = board or Board(store)

    def edit(snapshot: Snapshot) -> Changes:
        changes = compacted(snapshot, board, records_of(snapshot))
        written[:] = sorted(changes)
        return changes

    update(store, edit, message="compact")
    return written


def compact_quietly(store: Store, board: Board) -> None:
    """As `compact`, for the clock: a store that cannot be written now is tried again at the next turn."""
    if scarce := USE.scarce():
        LOG.warning("the tables wait: %s", scarce)
        return
    try:
        written = compact(store, board)
    except (StoreUnusable, VersionConflict) as trouble:
        LOG.warning("the tables wait: %s", trouble)
    else:
        LOG.info("compacted: %s", ", ".join(written) or "nothing new")


def records_of(snapshot: Snapshot) -> list[tuple[str, JobRecord]]:
    """Every submission of a tree by its file's name. A file that is none is left out and logged."""
    found = []
    for name in snapshot.names:
        if name.startswith(REQUESTS):
            try:
                found.append((name, read_record(name, snapshot.read(name))))
            except RecordUnreadable as error:
                LOG.error("%s", error)
    return found
