"""Backups by the clock: one file a day in a folder of the operator's choice, the newest few of them kept."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leaderboard.health import Check
from leaderboard.store import Store
from leaderboard.transfer import backup

LOG = logging.getLogger(__name__)
NAME = re.compile(r"board-(\d{8}-\d{6})\.tar\.gz")
STAMP = "%Y%m%d-%H%M%S"
LATE = 2
"""How many times its interval a backup may be old before somebody is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backups:
    """The backups of one store. Files of other names in the folder are left alone."""

    store: Store
    folder: Path
    every: timedelta
    kept: int
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def turn(self) -> Path | None:
        """Called by the clock: write one where the newest is old enough, then remove those beyond `kept`.

        What is written is one snapshot: whatever is committed meanwhile is whole in it, or not in it.
        """
        moment, known = self.now(), self._known()
        if known and moment - known[-1][0] < self.every:
            return None
        file = self.folder / f"board-{moment.strftime(STAMP)}.tar.gz"
        done = backup(self.store.snapshot(), file)
        LOG.info("backed up %d files to %s", done.files, file)
        for _, old in self._known()[: -self.kept]:
            old.unlink(missing_ok=True)
        return file

    def check(self) -> Check:
        """Whether there is one that is young enough."""
        known = self._known()
        if not known:
            return Check(name="backup", ok=True, detail=f"none yet in {self.folder}")
        age = self.now() - known[-1][0]
        ok = age <= LATE * self.every
        advice = "" if ok else f": see that {self.folder} can be written and has room"
        return Check(name="backup", ok=ok, detail=f"the newest is {age / timedelta(hours=1):.1f} h old{advice}")

    def _known(self) -> list[tuple[datetime, Path]]:
        """(time, file), oldest first."""
        found = ((NAME.fullmatch(path.name), path) for path in self.folder.glob("board-*.tar.gz"))
        times = ((datetime.strptime(match[1], STAMP).replace(tzinfo=UTC), path) for match, path in found if match)
        return sorted(times)
