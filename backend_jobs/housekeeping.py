"""Makes room before the disk is full: old downloads, then folders of engines that ended. Never a journal or a store."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from leaderboard.contracts import JobQueue
from leaderboard.types import Status

LOG = logging.getLogger(__name__)
GB = 10**9
ACTIVE = frozenset({Status.PENDING, Status.RUNNING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Housekeeping:
    """The data folder of one machine. `reserve_bytes` is what is kept free.

    `free` gives the free bytes of a folder's disk.
    """

    data_dir: Path
    queue: JobQueue
    reserve_bytes: int
    free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free

    def make_room(self) -> list[Path]:
        """Remove what can be had again, least recently used first, until the reserve is free. Returns what went.

        Checkpoints of jobs that wait or run stay, and so does whatever a running engine was given.
        """
        removed: list[Path] = []
        if not self.data_dir.exists():
            return removed
        for folder in self._removable():
            if self.free(self.data_dir) >= self.reserve_bytes:
                break
            LOG.warning("the disk has %.1f GB free: removing %s", self.free(self.data_dir) / GB, folder)
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
        if removed and self.free(self.data_dir) < self.reserve_bytes:
            LOG.error(
                "the disk has %.1f GB free after all that could go went; %.1f GB are to be kept: delete other files",
                self.free(self.data_dir) / GB,
                self.reserve_bytes / GB,
            )
        return removed

    def _removable(self) -> Iterable[Path]:
        """Downloads that no waiting job needs, then folders of engines that ended, oldest first."""
        needed = {
            (job.submission.source.replace("/", "--"), job.submission.commit)
            for job in self.queue.jobs()
            if job.status in ACTIVE
        }
        downloads = [
            folder for folder in (self.data_dir / "hub").glob("*/*") if (folder.parent.name, folder.name) not in needed
        ]
        engines = [folder for folder in (self.data_dir / "engines").glob("*-*") if not _runs(folder.name)]
        return [*sorted(downloads, key=_last_used), *sorted(engines, key=_last_used)]


def _runs(run: str) -> bool:
    """Whether the process that an engine's folder is named after (`<pid>-<thread>`) still lives."""
    return Path("/proc", run.partition("-")[0]).exists()


def _last_used(folder: Path) -> float:
    """When any file of it was last read or written. File systems that note no reads give the last write."""
    times = [max(stat.st_atime, stat.st_mtime) for path in folder.rglob("*") if (stat := path.lstat())]
    return max(times, default=folder.lstat().st_mtime)
