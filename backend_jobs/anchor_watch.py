"""A model that is measured again and again, so that a change of ours that moves scores is noticed before others do.

Every run has other seeds, so two runs differ by their decoding errors and no more. The newest run is held against the
mean of those before it, of the same weights, benchmark and protocol; where they differ by more than chance explains in
99 of 100 looks, an alarm names both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import sqrt

from evaluator.errors import OpenR1Error
from leaderboard.board import Board
from leaderboard.contracts import JobQueue
from leaderboard.submissions import SubmissionRejected
from leaderboard.types import ResultRow, Status, Submission

LOG = logging.getLogger(__name__)
ANCHOR = "anchor"
"""In whose name the board asks."""
RARELY_BY_CHANCE = 2.576  # two-sided 99 % of a normal distribution
ACTIVE = frozenset({Status.PENDING, Status.RUNNING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """The newest run beside the mean of those before it; in points. `allowed` is what chance explains."""

    benchmark: str
    newest: ResultRow
    before: float
    runs_before: int
    difference: float
    allowed: float

    @property
    def beyond_chance(self) -> bool:
        """Whether something moved."""
        return abs(self.difference) > self.allowed

    def words(self) -> str:
        """For an alarm."""
        return (
            f"the anchor {self.newest.model} scored {self.newest.statistics.score:.1f} on {self.benchmark}, the "
            f"{self.runs_before} runs before it {self.before:.1f} on average; chance explains {self.allowed:.1f} "
            f"points. Compare what served result {self.newest.plan_key} with what served the others"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorWatch:
    """Submits the next run when it is due, and looks at what the runs say.

    `ask` makes a submission of the anchor on its benchmarks, with its weights pinned.
    """

    board: Board
    queue: JobQueue
    ask: Callable[[], Submission]
    every: timedelta
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def turn(self) -> None:
        """Called by the clock: ask for the next run where the last one was long enough ago."""
        jobs = [job for job in self.queue.jobs() if job.submission.submitted_by == ANCHOR]
        if any(job.status in ACTIVE for job in jobs):
            return
        last = max((datetime.fromisoformat(job.submission.submitted_at) for job in jobs), default=None)
        if last is not None and self.now() - last < self.every:
            return
        runs = [job.submission.run for job in jobs]
        try:
            self.queue.submit(replace(self.ask(), submitted_by=ANCHOR, run=max(runs, default=-1) + 1))
        except SubmissionRejected as refused:
            LOG.warning("the anchor's next run is not queued: %s", refused)

    def drifts(self) -> list[Drift]:
        """One look for each benchmark and protocol of which there are two runs or more."""
        groups: dict[tuple[object, ...], list[ResultRow]] = {}
        names = {job.submission.id for job in self.queue.jobs() if job.submission.submitted_by == ANCHOR}
        for row in self.board.rows():
            if row.job_id in names and row.superseded_by is None:
                groups.setdefault((row.model, row.commit, row.benchmark, row.protocol_key), []).append(row)
        return [drift for rows in groups.values() if (drift := _drift(rows)) is not None]

    def faults(self) -> dict[str, str]:
        """What the alarms tell, by key."""
        try:
            drifts = self.drifts()
        except OpenR1Error as error:
            return {"anchor": f"the anchor's runs cannot be read: {error}"}
        return {f"anchor {drift.newest.plan_key}": drift.words() for drift in drifts if drift.beyond_chance}


def _drift(rows: Sequence[ResultRow]) -> Drift | None:
    """The newest of several runs against the others; None for a single one, or where an error cannot be known."""
    newest, *before = sorted(rows, key=lambda row: row.plan.run, reverse=True)
    errors = [row.statistics.stderr_decoding for row in (newest, *before)]
    known = [error for error in errors if error is not None]
    if not before or len(known) < len(errors):
        return None
    mean = sum(row.statistics.score for row in before) / len(before)
    error = sqrt(known[0] ** 2 + sum(each**2 for each in known[1:]) / len(before) ** 2)
    return Drift(
        benchmark=newest.benchmark,
        newest=newest,
        before=mean,
        runs_before=len(before),
        difference=newest.statistics.score - mean,
        allowed=RARELY_BY_CHANCE * error,
    )
