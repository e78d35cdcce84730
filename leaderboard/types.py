"""The nouns of the board: what people submit, what a job is, what a row says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from evaluator.types import BudgetPoint, EngineFacts, EvalPlan, Lineage, ModelFacts, Statistics, StreamRecord


class JobKind(StrEnum):
    """What a job does."""

    EVALUATE = "evaluate"
    TRAIN = "train"
    GENERATE = "generate"


class Status(StrEnum):
    """Where a job stands. Moves between them: `backend_jobs/queue.py`, its only writer."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What somebody asks for, after every check. Times are UTC in ISO 8601 with seconds.

    For EVALUATE: `model`, `revision` and `commit` name the weights (`source` is what to serve: a Hub id or a local
    folder), `benchmarks` what to measure. For TRAIN and GENERATE: `recipe` is the path of the recipe file and `model`
    the name under which checkpoints appear, or the dataset's (`local/<run>`).
    """

    id: str
    kind: JobKind
    model: str
    submitted_at: str
    submitted_by: str = "local"
    source: str = ""
    revision: str | None = None
    commit: str | None = None
    benchmarks: tuple[str, ...] = ()
    attempts: int | None = None
    max_tokens: int | None = None
    tensor_parallel_size: int | None = None
    recipe: str | None = None
    run: int = 0
    """The run number of the plan: another one asks the same with other seeds."""
    note: str = ""
    trial: bool = False
    """One problem of each benchmark, asked once: shown with its job, never published or ranked."""
    lineage: Lineage | None = None
    """Where the weights come from, as the training that submitted them says; no form and no repository can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a job failed: a code for programs, a reason for people, the last log lines for whoever repairs it."""

    code: str
    reason: str
    log_tail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """A submission and its state: one JSON file of the store, `requests/<owner>/<model>/<id>.json`.

    `attempt` is k of the lease: it rises with every claim, and every write of a worker is checked against it. `beat`
    rises while the worker lives. `lost` counts the leases that ended without a word, `retried` how often a maintainer
    set a failed job back. Of the waiting jobs the one of the highest `priority` runs first.
    """

    submission: Submission
    status: Status = Status.PENDING
    worker: str | None = None
    attempt: int = 0
    beat: int = 0
    lost: int = 0
    retried: int = 0
    priority: int = 0
    started_at: str | None = None
    ended_at: str | None = None
    failure: Failure | None = None
    results: tuple[str, ...] = ()
    schema: int = 2
    """See `leaderboard/versions.py`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemChange:
    """A problem whose verdicts a newer grader moved: right attempts before and after (equal where moves cancel out)."""

    problem_id: str
    correct_before: int
    correct_after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Regrading:
    """The result whose stored attempts were graded again, and what that changed.

    `difference` is the new score minus the old one, in points. `at` is UTC in ISO 8601.
    """

    plan_key: str
    grader_version: str
    score: float
    difference: float
    changed: tuple[ProblemChange, ...]
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateOrigin:
    """A chat template and that of the model it was trained from, by their SHA-256: `templates/<hash>.jinja`.

    `base_hash` is None where the other one is not known; `unknown` then says why.
    """

    hash: str
    base: str | None = None
    base_commit: str | None = None
    base_hash: str | None = None
    unknown: str = ""

    @property
    def differs(self) -> bool | None:
        """Whether it is another one than the base model's; None where that is not known."""
        return None if self.base_hash is None else self.hash != self.base_hash


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRow:
    """One measurement as it is published: `results/<owner>/<model>/<plan_key>.json`. Scores in points, 0 to 100."""

    plan_key: str
    generation_key: str
    protocol_key: str
    benchmark: str
    model: str
    revision: str | None
    commit: str | None
    ranked: bool
    not_ranked_because: str
    plan: EvalPlan
    statistics: Statistics
    problems: int
    attempts_per_problem: int
    verdicts: Mapping[str, int]
    truncated: int
    truncation_unknown: int
    answered_in_thought: int
    mean_completion_tokens: float | None
    completion_tokens: int
    wall_seconds: float
    engine: EngineFacts
    measured_at: str
    schema: int = 2
    job_id: str | None = None
    submitted_by: str | None = None
    lineage: Lineage | None = None
    supersedes: Regrading | None = None
    """The same answers under an older grader; None where this result was measured, not graded again."""
    superseded_by: str | None = None
    """The plan key of the same answers under a newer grader."""
    budget: tuple[BudgetPoint, ...] = ()
    """The score at smaller answer budgets; empty where the server counted no tokens."""
    facts: ModelFacts | None = None
    """What was known of the model when it was measured."""
    streams: tuple[StreamRecord, ...] = ()
    """How its requests were served; empty for results of earlier versions."""
    template: TemplateOrigin | None = None
    """Its chat template beside its base model's; None behind a given server, and in results of earlier versions."""


class ReferenceKind(StrEnum):
    """Whose number a reference score is: the authors' own claim, or somebody else's measurement."""

    REPORTED = "reported"
    MEASURED_ELSEWHERE = "measured elsewhere"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferenceScore:
    """A published score with its source and settings. Shown beside our rows, never mixed with them."""

    model: str
    benchmark: str
    score: float
    kind: ReferenceKind
    source: str
    url: str
    date: str
    settings: str
    samples_per_problem: int | None = None
    max_tokens: int | None = None
    std: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemRow:
    """How one model did on one problem: enough to recompute every statistic. One row of `problems.parquet`.

    `subject` and `level` are the dataset's words; empty where it has none or the benchmark is private. Of multiple
    choice, `letters` are those that the attempts chose, in order, `-` for none, and `right_letters` those that were
    right; empty elsewhere.
    """

    plan_key: str
    problem_id: str
    n: int
    correct: int
    no_answer: int
    truncated: int
    mean_tokens: float | None
    majority: str | None = None
    subject: str = ""
    level: str = ""
    letters: str = ""
    right_letters: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptRow:
    """One attempt as it is stored: one row of `attempts/<generation_key>.parquet`.

    Of a private benchmark neither prompt, text, reasoning nor target is stored: its hashes alone. Hashes are SHA-256 of
    the UTF-8 text, 64 hex digits. `grader_version` is the grader that gave this verdict.
    """

    problem_id: str
    attempt: int
    seed: int
    prompt_sha256: str
    prompt: str | None
    text_sha256: str
    text: str | None
    reasoning: str | None
    finish_reason: str | None
    completion_tokens: int | None
    prompt_tokens: int | None
    latency_s: float
    retries: int
    answer: str | None
    verdict: str
    truncated: bool | None
    answered_in_thought: bool
    target: str | None
    grader_version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardScore:
    """One result as the board shows it. Scores and errors in points, 0 to 100.

    `rank` is (best, worst) among the `compared` ranked results of the same benchmark and protocol; None where this one
    is not ranked or stands alone. `truncated_share` is of the attempts whose end the server reported, 0 to 1; None
    where it reported none.
    """

    benchmark: str
    plan_key: str
    protocol_key: str
    score: float
    ci95: tuple[float, float]
    stderr_questions: float
    stderr_decoding: float | None
    pass_at_n: float
    maj_at_n: float
    problems: int
    attempts_per_problem: int
    truncated_share: float | None
    mean_completion_tokens: float | None
    measured_at: str
    ranked: bool
    not_ranked_because: str
    rank: tuple[int, int] | None = None
    compared: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardEntry:
    """One line of the board: a model at one commit, with one result per benchmark name."""

    model: str
    revision: str | None
    commit: str | None
    lineage: Lineage | None
    scores: Mapping[str, BoardScore]


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """A way of measuring, across benchmarks: what the plans of its results share.

    `words` say what differs from the standard protocol; empty for the standard one itself. Scores of two protocols are
    never sorted into one another, ranked or averaged together.
    """

    id: str
    title: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """One row of the board: one model at one commit under one protocol, with one result per benchmark name."""

    model: str
    revision: str | None
    commit: str | None
    lineage: Lineage | None
    facts: ModelFacts
    protocol: Protocol
    scores: Mapping[str, BoardScore]
    results: Mapping[str, ResultRow]


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """One checkpoint of a training run on one benchmark. Score and interval in points."""

    step: int
    score: float
    ci95: tuple[float, float]
    plan_key: str
