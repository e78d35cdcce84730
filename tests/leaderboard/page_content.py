"""Boards and queues to look at: published through the real store and records, with text as hostile as it gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backend_jobs.types import JobNotFound, MoveRefused
from evaluator.benchmarks import benchmark
from evaluator.measure import measure
from evaluator.types import (
    Checkpoint,
    Completion,
    EngineFacts,
    EvalPlan,
    Lineage,
    Measurement,
    Sample,
    Score,
    Verdict,
)
from leaderboard.contracts import LiveState
from leaderboard.results import publish_changes
from leaderboard.store import Store
from leaderboard.types import JobKind, JobRecord, Status, Submission

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OVERRIDE = "\u202e"
HOSTILE = f"<script>alert('x')</script> \"quoted\" {{{{value}}}} ${{value}} javascript:alert(1) {OVERRIDE}desrever"
OUTCOMES = (Verdict.CORRECT, Verdict.INCORRECT, Verdict.NO_ANSWER)


def measured(
    name: str = "math_500",
    *,
    model: str = "open-r1/OpenR1-Distill-7B",
    problems: int = 6,
    attempts: int = 3,
    correct_problems: int = 3,
) -> Measurement:
    """A measurement whose first problems are all right; each other has one right, one wrong and one cut-off attempt."""
    protocol = benchmark(name)
    plan = EvalPlan(
        benchmark=name,
        benchmark_version=protocol.version,
        model=model,
        commit=COMMIT,
        problems_hash="p" * 16,
        chat_template_hash="c" * 16,
        prompt_opens_thought=True,
        max_tokens=protocol.max_tokens,
        attempts=attempts,
        grader_version="1+test",
    )
    samples = [Sample(problem_id=f"p{i}", prompt=f"What is {i} + {i}? {HOSTILE}", target="42") for i in range(problems)]
    keys = [(i, j) for i in range(problems) for j in range(attempts)]
    return measure(
        plan,
        samples=samples,
        completions=[_completion(i, j, _outcome(i, j, correct_problems)) for i, j in keys],
        refusals=[],
        scores=[_score(i, j, _outcome(i, j, correct_problems)) for i, j in keys],
        engine=EngineFacts(engine="vLLM", version="0.31.0", tensor_parallel_size=2, device="H100"),
        wall_seconds=60.0,
        equal=lambda a, b: a == b,
    )


def _outcome(problem: int, attempt: int, correct_problems: int) -> Verdict:
    return Verdict.CORRECT if problem < correct_problems else OUTCOMES[attempt % 3]


def _completion(problem: int, attempt: int, verdict: Verdict) -> Completion:
    cut = verdict is Verdict.NO_ANSWER
    return Completion(
        problem_id=f"p{problem}",
        attempt=attempt,
        seed=problem * 100 + attempt,
        text="Let me think forever." if cut else f"Let me think.</think>The answer of p{problem} a{attempt}: {HOSTILE}",
        finish_reason="length" if cut else "stop",
        completion_tokens=100 + attempt,
        prompt_tokens=10,
    )


def _score(problem: int, attempt: int, verdict: Verdict) -> Score:
    answer = {Verdict.CORRECT: "42", Verdict.INCORRECT: f"43{HOSTILE}"}.get(verdict)
    return Score(
        problem_id=f"p{problem}",
        attempt=attempt,
        verdict=verdict,
        answer=answer,
        truncated=verdict is Verdict.NO_ANSWER,
    )


def publish(store: Store, measurement: Measurement, *, lineage: Lineage | None = None) -> str:
    """Publish one measurement as a worker does, and return its plan key."""
    checkpoint = Checkpoint(model=measurement.plan.model, revision="main", commit=COMMIT, lineage=lineage)
    keys, changes = publish_changes([measurement], checkpoint=checkpoint, measured_at="2026-03-02T14:05:10+00:00")
    store.commit(changes, parent=store.snapshot().version, message="publish")
    return keys[0]


def job(job_id: str, status: Status, **changes: object) -> JobRecord:
    """A job of the queue; `changes` are fields of its record or of its submission."""
    in_submission = {name: changes.pop(name) for name in list(changes) if name in Submission.__dataclass_fields__}
    submission = Submission(
        id=job_id,
        kind=JobKind.EVALUATE,
        model="open-r1/OpenR1-Distill-7B",
        submitted_at="2026-03-02T14:05:10+00:00",
        commit=COMMIT,
        benchmarks=("math_500",),
    )
    record = JobRecord(submission=replace(submission, **in_submission), status=status)  # type: ignore[arg-type]
    return replace(record, **changes)  # type: ignore[arg-type]


class MemoryQueue:
    """A queue without a store: what the page asks for happens at once."""

    def __init__(self, jobs: Sequence[JobRecord] = ()) -> None:
        self.records = {record.submission.id: record for record in jobs}

    def submit(self, submission: Submission) -> JobRecord:
        self.records[submission.id] = JobRecord(submission=submission)
        return self.records[submission.id]

    def jobs(self) -> list[JobRecord]:
        return sorted(self.records.values(), key=lambda record: record.submission.id, reverse=True)

    def find(self, job_id: str) -> JobRecord:
        if job_id not in self.records:
            raise JobNotFound(f"there is no job {job_id!r}")
        return self.records[job_id]

    def cancel(self, job_id: str, *, by: str = "local") -> JobRecord:
        return self._move(job_id, {Status.PENDING, Status.RUNNING}, Status.CANCELLED)

    def retry(self, job_id: str, *, by: str = "local") -> JobRecord:
        return self._move(job_id, {Status.FAILED}, Status.PENDING)

    def prioritize(self, job_id: str, priority: int, *, by: str = "local") -> JobRecord:
        self.records[job_id] = replace(self.find(job_id), priority=priority)
        return self.records[job_id]

    def _move(self, job_id: str, origins: set[Status], target: Status) -> JobRecord:
        record = self.find(job_id)
        if record.status not in origins:
            raise MoveRefused(f"job {job_id} is {record.status}, which cannot become {target}")
        self.records[job_id] = replace(record, status=target)
        return self.records[job_id]


class MemoryLive:
    """Live progress without files."""

    def __init__(self) -> None:
        self.states: dict[str, LiveState] = {}

    def publish(self, state: LiveState) -> None:
        self.states[state.job_id] = state

    def read(self, job_id: str) -> LiveState | None:
        return self.states.get(job_id)
