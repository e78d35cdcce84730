"""The anchor check: the whole evaluation run on recorded completions, beside what their authors' graders said of them.

Nothing is shortened: a server says the recorded completions, the client asks for them one attempt at a time, the
journal keeps them, grading processes judge them, and the statistics are those of any other measurement.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from backend_jobs.evaluate_job import grading_workers
from evaluator import grading, plan
from evaluator.client import Endpoint, run_async
from evaluator.engine import RunningEngine, given_engine
from evaluator.evaluate import evaluate
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.prepare import Evaluation
from evaluator.recordings import Recording, evaluations_of, read_recordings, recorded_attempts, replies_to
from evaluator.replay import ReplayServer
from evaluator.types import EvalPlan, Measurement, Score, Verdict

CONCURRENCY = 128
VERDICTS = tuple(verdict.value for verdict in Verdict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """One completion that our grader and the author's judge differently."""

    problem_id: str
    attempt: int
    verdict: str
    answer: str | None
    target: str
    author_correct: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorRow:
    """One model on one benchmark under one reading of its thoughts. Scores and agreement in points, 0 to 100.

    `opened` says that the prompt was taken to have opened a thought. `seconds` is the run's wall time.
    """

    model: str
    benchmark: str
    opened: bool
    problems: int
    attempts: int
    score: float
    author_score: float
    agreement: float
    verdicts: Mapping[str, int]
    truncated: int
    answered_in_thought: int
    seconds: float
    disagreements: tuple[Disagreement, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """A whole check. `digest` names every verdict and answer of every row: equal digests are identical verdicts."""

    rows: tuple[AnchorRow, ...]
    grader_version: str
    digest: str
    seconds: float


def anchor(
    files: Sequence[Path],
    *,
    opened: bool = False,
    concurrency: int = CONCURRENCY,
    workers: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Anchor:
    """Replay every completion of some .jsonl or .jsonl.gz files through the whole evaluation.

    Thoughts are read as the authors' graders took them: not opened by the prompt. With `opened` each model is graded
    a second time as if its prompt had opened one; the completions are then taken from the journal. `say` gets a line
    per model.

    Raises:
        CompletionsRejected: a row cannot be replayed; the message names it.
        IncompleteMeasurement: a completion could not be graded, so there is no score to compare.
    """
    started = monotonic()
    by_model: dict[str, list[Recording]] = defaultdict(list)
    for recording in read_recordings(files):
        by_model[recording.model].append(recording)
    evaluations = {model: evaluations_of(recordings) for model, recordings in by_model.items()}
    replies = {key: reply for m, these in by_model.items() for key, reply in replies_to(evaluations[m], these).items()}
    readings = (False, True) if opened else (False,)
    measured: dict[str, list[Measurement]] = {}
    with (
        ReplayServer(replies) as server,
        TemporaryDirectory(prefix="anchor-") as folder,
        Journal(Path(folder) / "journal.db") as journal,
        GraderPool(workers=workers or grading_workers()) as grader,
    ):
        for model in by_model:
            run = ReplayedRun(Endpoint(base_url=server.base_url, model=model), journal, grader, concurrency)
            measured[model] = [m for reading in readings for m in run.measure(evaluations[model], opened=reading)]
            say(f"{model}: {len(by_model[model]):,} completions")
    verdicts = [_verdict(m.plan, score) for these in measured.values() for m in these for score in m.scores]
    return Anchor(
        rows=tuple(_row(m, by_model[model]) for model, these in measured.items() for m in these),
        grader_version=grading.GRADER_VERSION,
        digest=plan.digest(verdicts),
        seconds=monotonic() - started,
    )


def anchor_table(result: Anchor) -> str:
    """A check for people: one line per model, benchmark and reading, in aligned columns."""
    heads = ("model", "benchmark", "thought", "n", "ours", "author", "diff", "agree %", *VERDICTS, "cut off", "s")
    lines = [heads, *(_cells(row) for row in result.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    text = ("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
    completions = sum(row.problems * row.attempts for row in result.rows if not row.opened)
    return "\n".join([*text, f"{completions:,} completions, {result.seconds:.1f} s; verdicts {result.digest}"])


def _cells(row: AnchorRow) -> tuple[str, ...]:
    return (
        row.model,
        row.benchmark,
        "opened" if row.opened else "as author",
        str(row.problems * row.attempts),
        f"{row.score:.2f}",
        f"{row.author_score:.2f}",
        f"{round(row.score - row.author_score, 2) + 0.0:+.2f}",
        f"{row.agreement:.2f}",
        *(str(row.verdicts[name]) for name in VERDICTS),
        str(row.truncated),
        f"{row.seconds:.1f}",
    )


@dataclass(frozen=True, slots=True)
class ReplayedRun:
    """What one model's evaluations run on."""

    endpoint: Endpoint
    journal: Journal
    grader: GraderPool
    concurrency: int

    def measure(self, evaluations: Sequence[Evaluation], *, opened: bool) -> list[Measurement]:
        """The model's measurements under one reading of its thoughts."""
        read = [replace(e, plan=replace(e.plan, prompt_opens_thought=opened)) for e in evaluations]
        return run_async(self._measure(read))

    async def _measure(self, evaluations: Sequence[Evaluation]) -> list[Measurement]:
        return await evaluate(
            evaluations,
            open_engine=self._engine,
            journal=self.journal,
            grader=self.grader,
            concurrency=self.concurrency,
            on_progress=lambda _: None,
            cancel=asyncio.Event(),
        )

    @asynccontextmanager
    async def _engine(self) -> AsyncIterator[RunningEngine]:
        yield await given_engine(self.endpoint)


def _row(measurement: Measurement, recordings: Sequence[Recording]) -> AnchorRow:
    name = measurement.plan.benchmark
    recorded = recorded_attempts(recordings)
    pairs = [(score, recorded[name, score.problem_id, score.attempt]) for score in measurement.scores]
    differing = tuple(
        _disagreement(score, recording)
        for score, recording in pairs
        if (score.verdict is Verdict.CORRECT) != recording.author_correct
    )
    return AnchorRow(
        model=measurement.plan.model,
        benchmark=name,
        opened=measurement.plan.prompt_opens_thought,
        problems=measurement.problems,
        attempts=measurement.plan.attempts,
        score=measurement.statistics.score,
        # Every problem has equally many attempts, so the mean of the problem means is the plain mean.
        author_score=100 * sum(recording.author_correct for _, recording in pairs) / len(pairs),
        agreement=100 * (1 - len(differing) / len(pairs)),
        verdicts=measurement.verdicts,
        truncated=measurement.truncated,
        answered_in_thought=measurement.answered_in_thought,
        seconds=measurement.wall_seconds,
        disagreements=differing,
    )


def _disagreement(score: Score, recording: Recording) -> Disagreement:
    return Disagreement(
        problem_id=score.problem_id,
        attempt=score.attempt,
        verdict=score.verdict.value,
        answer=score.answer,
        target=recording.target,
        author_correct=recording.author_correct,
    )


def _verdict(eval_plan: EvalPlan, score: Score) -> list[Any]:
    reading = eval_plan.prompt_opens_thought
    return [eval_plan.model, eval_plan.benchmark, reading, score.problem_id, score.attempt, score.verdict, score.answer]
