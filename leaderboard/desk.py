"""What the operator's page shows and does: the board's health, who did what, and what a maintainer may change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard.audit import AuditEntry, read_trail
from leaderboard.contracts import JobQueue
from leaderboard.health import Health
from leaderboard.moderation import HIDDEN, Hidden, hide, read_hidden, show
from leaderboard.store import Store
from leaderboard.types import JobRecord, Status
from leaderboard.visitors import Visitor

FAILURES_SHOWN = 20
TRAIL_SHOWN = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """Everything on the operator's page, looked up at once."""

    health: Health
    running: Sequence[JobRecord]
    waiting: Sequence[JobRecord]
    failures: Sequence[JobRecord]
    hidden: Sequence[Hidden]
    trail: Sequence[AuditEntry]


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatorDesk:
    """One board's. Whoever calls has made sure that the visitor is a maintainer."""

    store: Store
    queue: JobQueue
    look: Callable[[], Health]

    def overview(self) -> Overview:
        """Look everything up. Raises OpenR1Error where the store cannot be read."""
        health = self.look()
        jobs = health.jobs
        return Overview(
            health=health,
            running=[job for job in jobs if job.status is Status.RUNNING],
            waiting=sorted((job for job in jobs if job.status is Status.PENDING), key=_turn),
            failures=[job for job in jobs if job.status is Status.FAILED][:FAILURES_SHOWN],
            hidden=list(read_hidden(self.store.snapshot(HIDDEN)).values()),
            trail=read_trail(self.store, most=TRAIL_SHOWN),
        )

    def hide(self, plan_key: str, reason: str, visitor: Visitor) -> None:
        """Take a result out of the ranks. Raises ModerationRefused."""
        hide(self.store, plan_key, reason, by=visitor.name)

    def show(self, plan_key: str, visitor: Visitor) -> None:
        """Put a hidden result back. Raises ModerationRefused."""
        show(self.store, plan_key, by=visitor.name)

    def prioritize(self, job_id: str, priority: int, visitor: Visitor) -> None:
        """Move a waiting job. Raises MoveRefused, JobNotFound."""
        self.queue.prioritize(job_id, priority, by=visitor.name)


def _turn(job: JobRecord) -> tuple[int, str, str]:
    return -job.priority, job.submission.submitted_at, job.submission.id
