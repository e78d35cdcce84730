"""The nouns of running jobs: what a run hands back, and the ways in which a queue says no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evaluator.errors import Cancelled, OpenR1Error
from leaderboard.store import Changes, Snapshot

Files = Changes | Callable[[Snapshot], Changes]
"""Files to commit, or how to make them from the very tree that they go into; asked again where a commit was lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a job that ran to its end publishes: the names of its results, and the files to commit with its status."""

    results: tuple[str, ...] = ()
    changes: Files = field(default_factory=dict[str, bytes | None])


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """What an observer saw of a running job: `attempt` and `beat` at `since_s`, on the observer's own clock."""

    attempt: int
    beat: int
    since_s: float


class WrongUsage(OpenR1Error):
    """The words of a command do not make one, in a way that the parser alone cannot see."""

    code = "wrong_usage"


class PartlyDone(OpenR1Error):
    """A part of what was asked for failed; `result` is what was done, to be shown all the same."""

    code = "partly_done"

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        super().__init__(message)
        self.result = result


class JobNotFound(OpenR1Error):
    """No job has this id."""

    code = "job_not_found"


class MoveRefused(OpenR1Error):
    """A job cannot go from the status it has to the one that was asked for."""

    code = "move_refused"


class LeaseLost(OpenR1Error):
    """The job is no longer this worker's: another one took it over, or it already ended. Nothing may be written."""

    code = "lease_lost"


class JobCancelled(Cancelled):
    """Somebody cancelled the job while it ran. Nothing may be written."""


class RecordUnreadable(OpenR1Error):
    """A job's file is not a record of this version."""

    code = "record_unreadable"
