"""The shapes of answers that are not the board's own nouns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, Field

from evaluator.types import Benchmark
from leaderboard.contracts import LiveState
from leaderboard.types import Failure, JobRecord, Status

PLAN_KEY = r"^[0-9a-f]{16}$"
MOST_ROWS = 1000
LAST_ROW = 10_000_000
Key = Annotated[str, Query(pattern=PLAN_KEY, description="a result's id: 16 hexadecimal digits")]
KeyInPath = Annotated[str, Path(pattern=PLAN_KEY, description="a result's id: 16 hexadecimal digits")]
JobId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", description="a submission's id")]
Offset = Annotated[int, Query(ge=0, le=LAST_ROW, description="where to begin: the `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="how many rows at most")]

COLUMN_TYPES: dict[str, Any] = {"string": str, "double": float, "int64": int, "bool": bool}
Row = TypeVar("Row")


class Page(BaseModel, Generic[Row]):
    """Some rows of a longer list. `next` is where the next page begins; null on the last one."""

    items: list[Row]
    next: int | None
    total: int


class Side(BaseModel):
    """One of the two results of a comparison."""

    plan_key: str
    model: str
    commit: str | None
    score: float


class Comparison(BaseModel):
    """Two results, problem by problem. Points, a minus b."""

    benchmark: str
    a: Side
    b: Side
    problems: int
    a_ahead: int
    b_ahead: int
    difference: float
    stderr: float | None
    ci95: tuple[float, float] | None
    p_value: float | None
    detectable: float | None
    shown: bool
    mixes_protocols: bool
    protocol_differences: list[str]
    model_differences: list[str]
    conclusion: str
    could_have_shown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchmarkView:
    """A benchmark and its protocol."""

    name: str
    title: str
    version: int
    problems: int
    attempts: int
    max_tokens: int
    private: bool
    demonstration: bool

    @classmethod
    def of(cls, bench: Benchmark) -> BenchmarkView:
        """As the API shows it."""
        return cls(**{name: getattr(bench, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """A submission and its state. `live` is what a running job last said of itself."""

    id: str
    kind: str
    model: str
    revision: str | None
    commit: str | None
    benchmarks: tuple[str, ...]
    status: Status
    submitted_at: str
    submitted_by: str
    note: str
    started_at: str | None
    ended_at: str | None
    worker: str | None
    attempt: int
    failure: Failure | None
    results: tuple[str, ...]
    live: LiveState | None = None


def job_view(job: JobRecord, live: LiveState | None = None) -> JobView:
    """A job as the API shows it: nothing of this machine's folders."""
    asked = job.submission
    return JobView(
        id=asked.id,
        kind=asked.kind.value,
        model=asked.model,
        revision=asked.revision,
        commit=asked.commit,
        benchmarks=asked.benchmarks,
        status=job.status,
        submitted_at=asked.submitted_at,
        submitted_by=asked.submitted_by,
        note=asked.note,
        started_at=job.started_at,
        ended_at=job.ended_at,
        worker=job.worker,
        attempt=job.attempt,
        failure=job.failure,
        results=job.results,
        live=live,
    )


class Log(BaseModel):
    """The last lines of a job's log."""

    id: str
    status: Status
    lines: list[str] = Field(description="oldest first")
