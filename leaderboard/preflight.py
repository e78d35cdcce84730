"""What is known of a submission before it is made: the nouns that the form shows while somebody types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from statistics import median
from typing import Any, Protocol

from evaluator.lengths import Tokens, expected_of
from leaderboard.contracts import LiveState
from leaderboard.types import JobRecord, ResultRow, Status

LATEST_JOBS = 20
Range = tuple[float, float, float]
"""Expected, low, high."""


class Mark(StrEnum):
    """How a check came out. OPEN: it cannot be known yet, or not here."""

    GOOD = "good"
    CAREFUL = "careful"
    BAD = "bad"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at, how it came out, and in words what that means. `link` is where to see more."""

    name: str
    mark: Mark
    says: str
    link: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Whether the model fits some hardware: `answers` of full length at once, None where it does not, and why.

    `hours` and `dollars` for everything that is chosen are (expected, low, high), None where nothing tells them.
    """

    hardware: str
    tensor_parallel_size: int | None
    answers: int | None
    says: str
    here: bool = False
    hours: Range | None = None
    dollars: Range | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one benchmark takes: requests, and tokens of an answer as expected, at the least and the most likely.

    `measured`: the expectation is the middle of this board's earlier results; else that of recorded models.
    `most_tokens` is every answer at its full budget.
    """

    benchmark: str
    requests: int
    each: Tokens
    measured: bool
    most_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Preflight:
    """Everything that could be said of a form as it stands. `ready`: nothing known speaks against submitting it."""

    checks: tuple[Check, ...]
    fits: tuple[Fit, ...] = ()
    costs: tuple[Cost, ...] = ()
    ahead: int = 0
    wait_s: float | None = None

    @property
    def ready(self) -> bool:
        """Whether no check speaks against it."""
        return bool(self.checks) and all(check.mark is not Mark.BAD for check in self.checks)


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstPrompt:
    """The first problem of a benchmark as this model would see it. `text` is None where `says` tells why not."""

    benchmark: str
    text: str | None
    says: str
    opens_thought: bool = False


class SubmissionDesk(Protocol):
    """Looks at forms while they are typed. Implemented by `backend_jobs/preflight.py`."""

    def check(self, form: Mapping[str, Any]) -> Preflight:
        """What can be said of a form as it stands; an unfinished one is no error."""
        ...

    def first_prompt(self, form: Mapping[str, Any]) -> FirstPrompt | None:
        """The first problem as the model would see it; None where model or benchmark is still to be chosen."""
        ...


def waiting(jobs: Sequence[JobRecord], live: Sequence[LiveState]) -> tuple[int, float | None]:
    """(jobs before a new one, seconds until a worker takes it), from what runs and how long the latest jobs took.

    The seconds are None where jobs are waiting or running and nothing tells how long they will take. One worker is
    assumed: with more it is less.
    """
    running = [job for job in jobs if job.status is Status.RUNNING]
    pending = [job for job in jobs if job.status is Status.PENDING]
    if not running and not pending:
        return 0, 0.0
    typical = _typical_seconds(jobs)
    left = [_left(live, job) or typical for job in running]
    waits = [*left, *(typical for _ in pending)]
    known = [wait for wait in waits if wait is not None]
    return len(waits), sum(known) if len(known) == len(waits) else None


def _left(live: Sequence[LiveState], job: JobRecord) -> float | None:
    state = next((state for state in live if state.job_id == job.submission.id), None)
    left = [p.eta_s for p in state.progress.values() if p.eta_s is not None] if state else []
    return sum(left) if left else None


def _typical_seconds(jobs: Sequence[JobRecord]) -> float | None:
    whole = (job for job in jobs if not job.submission.trial)
    took = [seconds for job in whole if (seconds := _took(job)) is not None][:LATEST_JOBS]
    return median(took) if took else None


def _took(job: JobRecord) -> float | None:
    if job.status is not Status.FINISHED or not job.started_at or not job.ended_at:
        return None
    return (datetime.fromisoformat(job.ended_at) - datetime.fromisoformat(job.started_at)).total_seconds()


def cost_of(
    benchmark: str, *, problems: int, attempts: int, max_tokens: int, rows: Sequence[ResultRow], trial: bool = False
) -> Cost:
    """What a run of one benchmark takes, judged by the results that are published on it."""
    requests = 1 if trial else problems * attempts
    lengths = [row.mean_completion_tokens for row in rows if row.benchmark == benchmark and row.mean_completion_tokens]
    each = expected_of(benchmark, max_tokens)
    if lengths:
        mean = min(median(lengths), float(max_tokens))
        each = replace(each, mean=mean, low=min(each.low, mean), high=max(each.high, mean))
    return Cost(
        benchmark=benchmark,
        requests=requests,
        each=each,
        measured=bool(lengths),
        most_tokens=requests * max_tokens,
    )
