"""The run loop: ask for what is missing, grade as answers arrive, measure what is whole."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from time import monotonic

from evaluator import plan
from evaluator.client import stream
from evaluator.engine import RunningEngine
from evaluator.errors import Cancelled, JournalBusy
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.measure import measure, running
from evaluator.prepare import Evaluation
from evaluator.types import (
    Completion,
    EngineFacts,
    GradeInput,
    Measurement,
    Progress,
    Refusal,
    Request,
    Sample,
    Score,
)

PROGRESS_EVERY_S = 1.0
RATE_WINDOW_S = 20.0
CLAIM_POLL_S = 1.0

OpenEngine = Callable[[], AbstractAsyncContextManager[RunningEngine]]
OnProgress = Callable[[Mapping[str, Progress]], None]


async def evaluate(
    evaluations: Sequence[Evaluation],
    *,
    open_engine: OpenEngine,
    journal: Journal,
    grader: GraderPool,
    concurrency: int,
    on_progress: OnProgress,
    cancel: asyncio.Event,
    retry: str | None = None,
    patient: bool = False,
) -> list[Measurement]:
    """Measure one checkpoint on every benchmark it asks for.

    All benchmarks share one queue. What the journal already holds is never asked again; where it holds everything, the
    engine is not even started. `retry` names the occasion on which a person said that what was refused may be asked
    again; each occasion counts once. `patient` waits for another run of the same plan instead of raising JournalBusy.

    Raises:
        IncompleteMeasurement: an attempt was refused or could not be graded, so there is no score.
        EngineFailed, EngineRefused, Cancelled: the run stopped; what was answered stays in the journal.
    """
    with ExitStack() as claims:
        tracks = [_Track(evaluation, journal, grader) for evaluation in evaluations]
        for track in tracks:
            await _claim(claims, journal, track.key, patient=patient, cancel=cancel)
            if retry is not None:
                journal.forget_refusals(track.key, because=retry)
            track.resume()
        async with _reporting(tracks, on_progress):
            await _ask_missing(tracks, open_engine, concurrency, cancel)
            for track in tracks:
                await track.all_graded()
        return [await asyncio.to_thread(track.measurement) for track in tracks]


async def _claim(claims: ExitStack, journal: Journal, key: str, *, patient: bool, cancel: asyncio.Event) -> None:
    """Be the one run of this plan. A worker that was taken over from may still hold on for a while."""
    while True:
        try:
            claims.enter_context(journal.claim(key))
        except JournalBusy:
            if cancel.is_set():
                raise Cancelled("cancelled while another run of the same plan was still going") from None
            if not patient:
                raise
            await asyncio.sleep(CLAIM_POLL_S)
        else:
            return


async def _ask_missing(
    tracks: Sequence[_Track], open_engine: OpenEngine, concurrency: int, cancel: asyncio.Event
) -> None:
    missing = [request for track in tracks for request in track.missing()]
    if not missing:
        return
    by_key = {track.key: track for track in tracks}
    for track in tracks:
        track.asking = any(request.generation_key == track.key for request in missing)
    async with open_engine() as engine:
        for track in tracks:
            track.served_by(engine.facts)
        with engine.explained():
            await stream(
                missing,
                engine.endpoint,
                concurrency=concurrency,
                on_answer=lambda request, answer: by_key[request.generation_key].take(request, answer),
                cancel=cancel,
                alive=engine.check_alive,
            )


@dataclass(slots=True)
class _Track:
    """One benchmark's way through the run: what was answered, what is being graded, what it cost."""

    evaluation: Evaluation
    journal: Journal
    grader: GraderPool
    key: str = ""
    completions: list[Completion] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    gradings: list[Future[Score]] = field(default_factory=list)
    arrivals: deque[tuple[float, int]] = field(default_factory=deque)
    started: float = field(default_factory=monotonic)
    counted: float = field(default_factory=monotonic)
    asking: bool = False
    ended: float | None = None
    requests: list[Request] = field(default_factory=list)
    _facts: EngineFacts | None = None
    _samples: dict[tuple[str, int | None], Sample] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = plan.generation_key(self.evaluation.plan)
        self.requests = plan.requests(self.evaluation.plan, self.evaluation.samples)
        self._samples = {(s.problem_id, s.attempt): s for s in self.evaluation.samples}

    def resume(self) -> None:
        """Take over what the journal holds of this plan, and have it graded."""
        wanted = {(r.problem_id, r.attempt) for r in self.requests}
        for completion in self.journal.completions(self.key):
            if (completion.problem_id, completion.attempt) in wanted:
                self._grade(completion)
        self.refusals = [r for r in self.journal.refusals(self.key) if (r.problem_id, r.attempt) in wanted]

    def missing(self) -> list[Request]:
        """The attempts of this plan that the journal does not hold."""
        recorded = self.journal.recorded(self.key)
        return [r for r in self.requests if (r.problem_id, r.attempt) not in recorded]

    def served_by(self, facts: EngineFacts) -> None:
        """Which engine is asked from here on. It is recorded with its first answer: without one it decided nothing."""
        self._facts = facts

    def take(self, request: Request, answer: Completion | Refusal) -> None:
        """Make one answer durable, then have it graded."""
        if isinstance(answer, Refusal):
            self.journal.refuse(request.generation_key, answer)
            self.refusals.append(answer)
            return
        if self._facts is not None:
            self.journal.note_engine(self.key, self._facts)
            self._facts = None
        self.journal.add(request.generation_key, answer)
        self.arrivals.append((monotonic(), answer.completion_tokens or 0))
        self._grade(answer)

    async def all_graded(self) -> None:
        """Wait for the last verdict."""
        await asyncio.gather(*(asyncio.wrap_future(future) for future in self.gradings))
        self.count_time()
        self.ended = monotonic()

    def scores(self) -> list[Score]:
        """The verdicts that are there so far."""
        return [future.result() for future in self.gradings if future.done() and not future.cancelled()]

    def measurement(self) -> Measurement:
        """The finished measurement; raises IncompleteMeasurement."""
        return measure(
            self.evaluation.plan,
            samples=self.evaluation.samples,
            completions=self.completions,
            refusals=self.refusals,
            scores=self.scores(),
            engine=self.journal.engine(self.key),
            wall_seconds=self.journal.spent(self.key),
            equal=lambda a, b: self.grader.submit_equal(a, b).result(),
        )

    def count_time(self) -> None:
        """Add the time since the last call to the plan's; a run that asks for nothing takes none."""
        now = monotonic()
        if self.asking and self.ended is None:
            self.journal.spend(self.key, now - self.counted)
        self.counted = now

    def progress(self) -> Progress:
        """How far this benchmark is, with a provisional score."""
        total, done = len(self.requests), len(self.completions) + len(self.refusals)
        scores = self.scores()
        provisional = running(scores)
        tokens_per_s, attempts_per_s = self._rates()
        return Progress(
            phase="done"
            if self.ended
            else "grading"
            if done == total
            else "generating"
            if self.arrivals
            else "waiting",
            done=done,
            total=total,
            graded=len(scores),
            score=provisional[0] if provisional else None,
            ci95=provisional[1] if provisional else None,
            tokens_per_s=tokens_per_s,
            eta_s=(total - done) / attempts_per_s if attempts_per_s else None,
        )

    def _rates(self) -> tuple[float | None, float | None]:
        """Tokens/s and attempts/s over the last seconds; None before anything arrived."""
        now = monotonic()
        while self.arrivals and now - self.arrivals[0][0] > RATE_WINDOW_S:
            self.arrivals.popleft()
        if not self.arrivals:
            return None, None
        span = max(now - max(self.started, self.arrivals[0][0]), 1.0)
        return sum(tokens for _, tokens in self.arrivals) / span, len(self.arrivals) / span

    def _grade(self, completion: Completion) -> None:
        self.completions.append(completion)
        key = (completion.problem_id, completion.attempt)
        sample = self._samples.get(key) or self._samples[completion.problem_id, None]
        self.gradings.append(
            self.grader.submit(
                GradeInput(
                    problem_id=completion.problem_id,
                    attempt=completion.attempt,
                    text=completion.text,
                    reasoning=completion.reasoning,
                    target=sample.target,
                    extraction=self.evaluation.bench.extraction,
                    finish_reason=completion.finish_reason,
                    prompt_opens_thought=self.evaluation.plan.prompt_opens_thought,
                )
            )
        )


class _reporting:  # noqa: N801  (used like a function)
    """Reports the progress of all tracks once a second while its block runs, and once at the end."""

    def __init__(self, tracks: Sequence[_Track], on_progress: OnProgress) -> None:
        self._tracks, self._on_progress = tracks, on_progress
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._loop())

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._report()

    async def _loop(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(PROGRESS_EVERY_S)

    def _report(self) -> None:
        for track in self._tracks:
            track.count_time()
        self._on_progress({track.evaluation.bench.name: track.progress() for track in self._tracks})
