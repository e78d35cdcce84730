"""What the page needs from those who run jobs. `app.py` hands it the real ones; imports stay one-way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from evaluator.types import Progress
from leaderboard.datasets import GenerationProgress
from leaderboard.types import JobRecord, Submission


class JobQueue(Protocol):
    """The jobs of the board. Implemented by `backend_jobs/queue.py`, the one writer of status."""

    def submit(self, submission: Submission) -> JobRecord:
        """Add a PENDING job. Raises SubmissionRejected where the same work is already pending or running."""
        ...

    def jobs(self) -> list[JobRecord]:
        """Every job, newest submission first."""
        ...

    def find(self, job_id: str) -> JobRecord:
        """One job. Raises JobNotFound."""
        ...

    def cancel(self, job_id: str, *, by: str = "local") -> JobRecord:
        """PENDING or RUNNING to CANCELLED. Raises MoveRefused from any other status."""
        ...

    def retry(self, job_id: str, *, by: str = "local") -> JobRecord:
        """FAILED to PENDING. Raises MoveRefused from any other status."""
        ...

    def prioritize(self, job_id: str, priority: int, *, by: str = "local") -> JobRecord:
        """Let a waiting job run before those of lower priority. Raises MoveRefused where it no longer waits."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LivePoint:
    """One benchmark of a running job at one moment, `at_s` seconds after its worker took it.

    Counts are attempts; `score` and `ci95` in points, provisional; `kv_usage` from 0 to 1. None where it is not known.
    """

    at_s: float
    done: int
    graded: int
    score: float | None = None
    ci95: tuple[float, float] | None = None
    tokens_per_s: float | None = None
    in_flight: int | None = None
    kv_usage: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveState:
    """What a running job last said of itself. `updated_at` is UTC, ISO 8601."""

    job_id: str
    updated_at: str
    phase: str = ""
    progress: dict[str, Progress] = field(default_factory=dict)
    """By benchmark, in the order in which the job runs them."""
    history: dict[str, tuple[LivePoint, ...]] = field(default_factory=dict)
    """By benchmark: how it went so far, thinned."""
    training: dict[str, Any] = field(default_factory=dict)
    """For a training run: step, steps, loss, eta_s."""
    generation: GenerationProgress | None = None
    """For a generation."""
    log_tail: str = ""


class LiveBoard(Protocol):
    """Progress of running jobs; lossy by design, never part of a result."""

    def publish(self, state: LiveState) -> None:
        """Replace what is shown for this job."""
        ...

    def read(self, job_id: str) -> LiveState | None:
        """The last state of a job, or None."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """A sign of life of a worker: the job and attempt that it holds, and what the job shows of itself."""

    job_id: str
    attempt: int
    worker: str
    state: LiveState | None = None


class BeatDesk(Protocol):
    """Takes beats and progress from workers elsewhere. Implemented by `backend_jobs/beats.py`."""

    def take(self, beat: Beat) -> JobRecord:
        """Note a beat; it is committed later, together with others. Returns the job as it stands.

        Raises JobNotFound, and LeaseLost where the job is no longer this attempt's.
        """
        ...


class HookDesk(Protocol):
    """Takes the Hub's webhooks. Implemented by `backend_jobs/hooks.py`."""

    def take(self, payload: dict[str, Any], secret: str | None) -> list[JobRecord]:
        """Submit the new revisions of a watched model; what was submitted.

        Raises NotSignedIn and NotAllowed for a missing or wrong secret, SubmissionRejected for a payload that is none.
        """
        ...
