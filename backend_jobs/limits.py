"""How much one person, and all of them together, may ask for. Counted in the store, in the commit that adds a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from leaderboard.submissions import SubmissionRejected
from leaderboard.types import JobRecord, Status, Submission

DAY = timedelta(days=1)
ACTIVE = frozenset({Status.PENDING, Status.RUNNING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Jobs that may be asked for. None means no limit, as on a machine of one's own."""

    per_person_a_day: int | None = None
    per_person_at_once: int | None = None
    at_once: int | None = None

    def check(self, submission: Submission, jobs: Sequence[JobRecord], now: datetime) -> None:
        """Raises SubmissionRejected where one more job would be too many; says when there is room again."""
        own = [job for job in jobs if job.submission.submitted_by == submission.submitted_by]
        waiting, all_waiting = (sum(job.status in ACTIVE for job in these) for these in (own, jobs))
        if self.at_once is not None and all_waiting >= self.at_once:
            raise SubmissionRejected(
                f"{all_waiting} jobs are waiting or running, as many as this board takes; try again when the queue is "
                "shorter"
            )
        if self.per_person_at_once is not None and waiting >= self.per_person_at_once:
            raise SubmissionRejected(
                f"{submission.submitted_by} has {waiting} jobs waiting or running, as many as one person may; wait for "
                "one to end, or cancel one"
            )
        if self.per_person_a_day is not None:
            self._check_day(submission, own, now)

    def _check_day(self, submission: Submission, own: Sequence[JobRecord], now: datetime) -> None:
        # A clock that was set back makes a job look younger than nothing: it counts all the same.
        asked = sorted(at for job in own if (at := datetime.fromisoformat(job.submission.submitted_at)) > now - DAY)
        if self.per_person_a_day is not None and len(asked) >= self.per_person_a_day:
            free = asked[len(asked) - self.per_person_a_day] + DAY
            raise SubmissionRejected(
                f"{submission.submitted_by} has submitted {len(asked)} jobs within a day, the limit is "
                f"{self.per_person_a_day}; the next one may be submitted after {free:%Y-%m-%d %H:%M} UTC"
            )


NO_LIMITS = Limits()
