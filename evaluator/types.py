"""The nouns of an evaluation, in order: benchmark, sample, plan, completion, score, measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Extraction(StrEnum):
    """How an answer is read out of a completion."""

    MATH = "math"
    LETTER = "letter"


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """A fixed set of problems and the protocol under which a model is measured on it.

    `version` moves whenever a change could move a score (prompt, targets, extraction policy of this benchmark).
    `attempts` and `max_tokens` are the protocol's; a run with fewer is shown but not ranked.
    """

    name: str
    title: str
    version: int
    dataset: str
    subset: str
    split: str
    problems: int
    attempts: int
    max_tokens: int
    extraction: Extraction
    demonstration: bool = False
    private: bool = False
    quick_attempts: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One document of a benchmark as its lighteval task renders it.

    `attempt` is None where every attempt sends the same prompt; GPQA has one document per attempt (its option order
    differs), which then carries that attempt's number. `options` are the option identities behind the letters, in the
    order shown, so that votes can be counted on the option and not on the letter.
    """

    problem_id: str
    prompt: str
    target: str
    attempt: int | None = None
    options: tuple[str, ...] = ()
    subject: str = ""
    level: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Every decoding parameter, all of them sent with each request. `top_k` 0 means no limit."""

    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """Where a checkpoint that was trained here comes from.

    `parent` names the weights that the run began with (model and commit), `data` the dataset and its commit or the
    generator and its seed, `code` the software. `hours` are those of all its processes together on `device`: GPU hours
    where that is a GPU. `method` is `sft` or `grpo`. None where the run did not note it.
    """

    run: str
    step: int
    recipe_hash: str
    parent: str | None = None
    tokens: int | None = None
    data: str | None = None
    code: str | None = None
    device: str | None = None
    hours: float | None = None
    method: str | None = None


class ModelKind(StrEnum):
    """How a model came to be. Each word names the last step that made it what it is."""

    BASE = "base"
    INSTRUCT = "instruct"
    DISTILLED = "distilled"
    SFT = "sft"
    RL = "rl"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What is known of a model beside its scores; None is unknown, never a guess.

    `parameters` are counted from the headers of the weight files, or stated by the authors. `released` is a day in
    ISO 8601. `base` is what it was trained from.
    """

    parameters: int | None = None
    kind: ModelKind | None = None
    licence: str | None = None
    base: str | None = None
    released: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Templates:
    """A checkpoint's chat template beside that of the model it was trained from, which a template may add hints to.

    `base_text` is None where the other one is not known; `unknown` then says why.
    """

    text: str
    base: str | None = None
    base_commit: str | None = None
    base_text: str | None = None
    unknown: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The weights that are measured.

    `commit` is a 40-character Hub commit, `sha256:<64 hex>` over a local folder's weight, config and tokenizer files,
    or None where only a server knows (such a row is shown, never ranked). `path` is the local folder to serve; None
    with a given endpoint.
    """

    model: str
    revision: str | None = None
    commit: str | None = None
    path: Path | None = None
    lineage: Lineage | None = None
    facts: ModelFacts | None = None
    templates: Templates | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalPlan:
    """Everything that decides a number. See `evaluator/plan.py` for its three hashes."""

    benchmark: str
    benchmark_version: int
    model: str
    commit: str | None
    problems_hash: str
    chat_template_hash: str | None
    prompt_opens_thought: bool
    max_tokens: int
    attempts: int
    grader_version: str
    sampling: Sampling = field(default_factory=Sampling)
    system_prompt: str | None = None
    seed_policy: str = "sha256(run, problem, attempt)"
    dtype: str = "bfloat16"
    quantization: str | None = None
    run: int = 0
    limit: int | None = None
    endpoint: str | None = None
    """Part of the identity only where the commit is unknown: then the server is all we know of the weights."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One attempt at one problem, ready to send. `order` is lower for what should be sent first.

    `messages` are (role, content) pairs of a whole conversation; where given they are sent as they are, in place of
    `system_prompt` and `prompt`.
    """

    generation_key: str
    problem_id: str
    attempt: int
    prompt: str
    system_prompt: str | None
    seed: int
    max_tokens: int
    sampling: Sampling
    order: float = 0.0
    messages: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """What the server answered to one request. Durable in the journal before anything else sees it.

    `reasoning` is what a server with a reasoning parser returned apart from the text. `finish_reason` and the token
    counts are None where the server did not say. Times in seconds.
    """

    problem_id: str
    attempt: int
    seed: int
    text: str
    reasoning: str | None = None
    finish_reason: str | None = None
    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    latency_s: float = 0.0
    retries: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A request that will never be answered: the engine refused it for good, or it took too long. Ours, so no score."""

    problem_id: str
    attempt: int
    code: str
    reason: str


class Verdict(StrEnum):
    """What grading says of one attempt. UNGRADED is a failure of ours and blocks publication."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    NO_ANSWER = "no_answer"
    UNGRADED = "ungraded"


class UngradedReason(StrEnum):
    """Why an attempt has no verdict."""

    TIMED_OUT = "timed_out"
    GRADER_STOPPED = "grader_stopped"
    ENGINE_ERROR = "engine_error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """The verdict on one attempt.

    `answer` is the extracted text; `truncated` is None where the server did not say why it stopped;
    `answered_in_thought` marks an answer that stands only inside a closed thought; `reason` is set for UNGRADED alone.
    """

    problem_id: str
    attempt: int
    verdict: Verdict
    answer: str | None = None
    truncated: bool | None = None
    answered_in_thought: bool = False
    reason: UngradedReason | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradeInput:
    """What the grader needs to judge one completion: nothing more, so that stored attempts can be graded again."""

    problem_id: str
    attempt: int
    text: str
    target: str
    extraction: Extraction
    reasoning: str | None = None
    finish_reason: str | None = None
    prompt_opens_thought: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineFacts:
    """What really served the completions, read back from the running engine; None where it cannot be known.

    `machine` is what a rented one is called, with its place, `image` the container that was asked for there, and
    `dollars_per_hour` what all its servers together cost.
    """

    engine: str | None = None
    version: str | None = None
    tensor_parallel_size: int | None = None
    device: str | None = None
    dtype: str | None = None
    max_model_len: int | None = None
    quantization: str | None = None
    replicas: int | None = None
    machine: str | None = None
    image: str | None = None
    dollars_per_hour: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CapPoint:
    """How many requests one server was given at one moment, `at_s` seconds after the stream began, and why."""

    at_s: float
    cap: int
    in_flight: int
    kv_usage: float | None
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaRecord:
    """What one server did in a stream, and how many requests it was given over time."""

    answered: int
    refused: int
    requests_sent: int
    completion_tokens: int
    transient_faults: int
    back_pressure: int
    restarts: int
    history: tuple[CapPoint, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamRecord:
    """One stream of requests, as it is kept with the results that came out of it: all benchmarks share a stream.

    `started_at` is UTC in ISO 8601. A run that was resumed has one for each time it asked anything.
    """

    started_at: str
    wall_s: float
    replicas: tuple[ReplicaRecord, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """The numbers of one measurement. Scores and errors in points from 0 to 100; tokens per completion.

    `stderr_decoding` is None with one attempt per problem. Formulas and sources: `evaluator/statistics.py`.
    """

    score: float
    stderr_questions: float
    stderr_decoding: float | None
    ci95: tuple[float, float]
    pass_at_n: float
    maj_at_n: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetPoint:
    """The score under an answer budget of `tokens`, with its 95 % interval; in points. See `evaluator/budget.py`.

    `exact`: the answers were cut there and graded again. Otherwise a lower bound: the share right within `tokens`.
    """

    tokens: int
    score: float
    ci95: tuple[float, float]
    exact: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One plan, carried out: every attempt graded. `evaluator/measure.py` refuses to build an incomplete one.

    `majority` names the answer that most attempts at a problem gave; None where nobody answered or several tie.
    """

    plan: EvalPlan
    statistics: Statistics
    problems: int
    verdicts: Mapping[str, int]
    truncated: int
    truncation_unknown: int
    answered_in_thought: int
    mean_completion_tokens: float | None
    completion_tokens: int
    engine: EngineFacts
    wall_seconds: float
    samples: tuple[Sample, ...]
    completions: Sequence[Completion]
    """Problem by problem, like `scores`. After a run they are read from the journal as they are needed."""
    scores: tuple[Score, ...]
    majority: Mapping[str, str | None] = field(default_factory=dict)
    streams: tuple[StreamRecord, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """A running evaluation as people see it. Counts are attempts; `score` and `ci95` cover what is graded so far.

    `in_flight` is this benchmark's own; `kv_usage` (0 to 1) that of the fullest server, whatever it works on.
    """

    phase: str
    done: int = 0
    total: int = 0
    graded: int = 0
    in_flight: int = 0
    kv_usage: float | None = None
    score: float | None = None
    ci95: tuple[float, float] | None = None
    tokens_per_s: float | None = None
    eta_s: float | None = None
    message: str = ""


def to_json(value: Any) -> dict[str, Any]:
    """A frozen dataclass as a dict of JSON values: the edge between types and files. Paths become strings."""
    return {key: _plain(item) for key, item in asdict(value).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
