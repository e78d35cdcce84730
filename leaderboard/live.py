"""Progress of running jobs as small files: lossy by design, never part of a result."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from evaluator.types import to_json
from leaderboard.contracts import LiveState
from leaderboard.store import InvalidName, checked_name

_STATE = TypeAdapter(LiveState)


class FileLive:
    """One JSON file per job in a folder that the worker and the page share. See `leaderboard.contracts.LiveBoard`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, state: LiveState) -> None:
        """Replace what is shown for this job; a reader sees the old state or the new one, whole.

        Raises:
            OSError: the folder cannot be written.
            InvalidName: the job's id is not a plain file name.
        """
        path = self._path(state.job_id)
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            text = json.dumps(to_json(state), ensure_ascii=False, default=str)
            partial.write_text(text, encoding="utf-8", errors="replace")
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def read(self, job_id: str) -> LiveState | None:
        """The last state of a job; None where there is none, or where a crash left it torn."""
        try:
            return _STATE.validate_json(self._path(job_id).read_bytes())
        except (OSError, ValidationError, InvalidName):
            return None

    def _path(self, job_id: str) -> Path:
        if "/" in job_id:
            raise InvalidName(f"{job_id!r} is not the id of a job")
        return self._folder / f"{checked_name(job_id)}.json"
