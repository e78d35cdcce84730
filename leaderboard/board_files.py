"""The board's files, kept ready: made once per set of results, renewed in the background, served with tags.

A reader never waits for a file that is being made anew: until it is ready the one before is served, and the page asks
again soon. Only the first reader after a start may have to wait.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from evaluator.errors import OpenR1Error
from evaluator.plan import digest
from leaderboard.board import Board
from leaderboard.chart_data import charts_json
from leaderboard.payload import Prepared, board_json, details_json, prepare
from leaderboard.types import Standing

LOG = logging.getLogger(__name__)
PATIENCE_S = 0.5
NAMES = ("board.json", "details.json", "charts.json")


class BoardFiles:
    """`board.json`, `details.json` and `charts.json` of one board. Safe to use from many threads."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._seen: str | None = None
        self._made_from: object = None
        self._files: Mapping[str, Prepared] = {}
        self._standings: tuple[Standing, ...] = ()
        self._making: threading.Thread | None = None
        self._failure: OpenR1Error | None = None

    def get(self, name: str) -> Prepared:
        """A file of the newest results, or of those before while the newest are being prepared.

        Raises:
            OpenR1Error: the store cannot be read, and nothing was prepared before.
        """
        making = self._renew()
        if making is not None:
            making.join(PATIENCE_S if self._files else None)
        with self._lock:
            if not self._files and self._failure is not None:
                raise self._failure
            return self._files[name]

    def standings(self) -> tuple[str, tuple[Standing, ...]]:
        """(version, rows) that the files were made from: what a row number of theirs means."""
        self.get(NAMES[0])
        with self._lock:
            return _version(self._standings), self._standings

    def _renew(self) -> threading.Thread | None:
        """The thread that makes new files, started where the store has moved on; None where all is up to date."""
        version = self._board.version()
        with self._lock:
            if self._making is not None and self._making.is_alive():
                return self._making
            if version == self._seen:
                return None
            self._making = threading.Thread(target=self._make, args=(version,), name="board files", daemon=True)
            self._making.start()
            return self._making

    def _make(self, version: str) -> None:
        try:
            standings, curves, references = self._board.standings(), self._board.curves(), self._board.references()
        except OpenR1Error as failure:
            LOG.error("the board's files stay as they are: %s", failure)
            with self._lock:
                self._failure = failure
            return
        source = (standings, curves, references)
        files = self._files
        if source != self._made_from:
            name = _version(standings)
            files = {
                "board.json": prepare(board_json(standings, references, version=name)),
                "details.json": prepare(details_json(standings, version=name)),
                "charts.json": prepare(charts_json(standings, curves, references, version=name)),
            }
        with self._lock:
            self._files, self._made_from, self._seen = files, source, version
            self._standings, self._failure = standings, None


def _version(standings: tuple[Standing, ...]) -> str:
    """Names the results behind the files, so that two files can be seen to belong together."""
    return digest(sorted(score.plan_key for standing in standings for score in standing.scores.values()))
