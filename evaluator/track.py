"""One benchmark's way through a run: what was answered, what is being graded, what it cost."""

from __future__ import annotations

from collections import deque
from time import monotonic

from evaluator import plan
from evaluator.client import StreamState
from evaluator.estimate import EndEstimate
from evaluator.grading_pool import GraderPool
from evaluator.grading_queue import GradingQueue
from evaluator.journal import Journal
from evaluator.measure import Tally, attempts_of, measure, sample_index
from evaluator.prepare import Evaluation
from evaluator.replica import Standing
from evaluator.types import (
    Completion,
    EngineFacts,
    GradeInput,
    Measurement,
    Progress,
    Refusal,
    Request,
    Score,
)

RATE_WINDOW_S = 20.0
Key = tuple[str, int]


class Track:
    """The state of one plan. Holds counts and verdicts, never texts: those are in the journal."""

    def __init__(self, evaluation: Evaluation, journal: Journal, grader: GraderPool) -> None:
        self.evaluation, self.journal = evaluation, journal
        self.key = plan.generation_key(evaluation.plan)
        self.requests = plan.requests(evaluation.plan, evaluation.samples)
        self.scores: list[Score] = []
        self.asking = False
        self.in_flight = 0
        self._grader = grader
        self._samples = sample_index(evaluation.plan, evaluation.samples)
        self._tally, self._ends = Tally(), EndEstimate()
        self._answered = self._refused = 0
        self._eta_s: float | None = None
        self._message = ""
        self._all_in_flight = 0
        self._kv_usage: float | None = None
        self._facts: EngineFacts | None = None
        self._arrivals: deque[tuple[float, int]] = deque()
        self._started = self._counted = monotonic()
        self._ended: float | None = None
        self.grading = GradingQueue(
            grader, as_input=self._grade_input, read_back=self._read_back, on_score=self._scored
        )

    def resume(self) -> None:
        """Take over what the journal holds of this plan, and have it graded."""
        wanted = {(r.problem_id, r.attempt) for r in self.requests}
        stored = [key for key in self.journal.answered(self.key) if key in wanted]
        self._answered = len(stored)
        self._refused = sum((r.problem_id, r.attempt) in wanted for r in self.journal.refusals(self.key))
        self.grading.add_stored(stored)

    def missing(self) -> list[Request]:
        """The attempts of this plan that the journal does not hold."""
        recorded = self.journal.recorded(self.key)
        return [r for r in self.requests if (r.problem_id, r.attempt) not in recorded]

    def served_by(self, facts: EngineFacts) -> None:
        """Which engine is asked from here on. It is recorded with its first answer: without one it decided nothing."""
        self._facts = facts

    def note_engine(self) -> None:
        """An answer is about to be made durable: so is what gave it."""
        if self._facts is not None:
            self.journal.note_engine(self.key, self._facts)
            self._facts = None

    def take(self, answer: Completion | Refusal) -> None:
        """Count one durable answer and have it graded."""
        if isinstance(answer, Refusal):
            self._refused += 1
            return
        self._answered += 1
        self._arrivals.append((monotonic(), answer.completion_tokens or 0))
        self._ends.answered(answer.latency_s)
        self.grading.add(answer)

    def follow(self, state: StreamState) -> None:
        """What the stream is doing now: how much of it is this plan's, and when that will end."""
        self.in_flight = state.in_flight.get(self.key, 0)
        self._all_in_flight = sum(state.in_flight.values())
        self._kv_usage = max((each.kv_usage for each in state.replicas if each.kv_usage is not None), default=None)
        resting = [each.standing.value for each in state.replicas if each.standing is not Standing.OPEN]
        self._message = f"{len(resting)} of {len(state.replicas)} servers {', '.join(resting)}" if resting else ""
        together, left = self._all_in_flight, len(self.requests) - self._answered - self._refused
        self._eta_s = self._ends.seconds_left(
            waiting=max(0, left - self.in_flight),
            in_flight=self.in_flight,
            age_s=state.age_s * self.in_flight / together if together else 0.0,
        )

    async def all_graded(self) -> None:
        """Wait for the last verdict."""
        await self.grading.all_graded()
        self.count_time()
        self._ended = monotonic()

    def measurement(self) -> Measurement:
        """The finished measurement; raises IncompleteMeasurement."""
        answered = set(self.journal.answered(self.key))
        keys = [key for key in attempts_of(self.evaluation.plan, self.evaluation.samples) if key in answered]
        return measure(
            self.evaluation.plan,
            samples=self.evaluation.samples,
            completions=self.journal.stored(self.key, keys),
            refusals=self.journal.refusals(self.key),
            scores=self.scores,
            engine=self.journal.engine(self.key),
            wall_seconds=self.journal.spent(self.key),
            equal=lambda a, b: self._grader.submit_equal(a, b).result(),
            streams=self.journal.streams(self.key),
        )

    def count_time(self) -> None:
        """Add the time since the last call to the plan's; a run that asks for nothing takes none."""
        now = monotonic()
        if self.asking and self._ended is None:
            self.journal.spend(self.key, now - self._counted)
        self._counted = now

    def progress(self) -> Progress:
        """How far this benchmark is, with a provisional score."""
        total, done = len(self.requests), self._answered + self._refused
        score, ci95 = self._tally.provisional() or (None, None)
        return Progress(
            phase=self._phase(done, total),
            done=done,
            total=total,
            graded=len(self.scores),
            in_flight=self._all_in_flight if done < total else 0,
            kv_usage=self._kv_usage if done < total else None,
            score=score,
            ci95=ci95,
            tokens_per_s=self._tokens_per_s(),
            eta_s=None if done == total else self._eta_s,
            message="" if done == total else self._message,
        )

    def _phase(self, done: int, total: int) -> str:
        if self._ended:
            return "done"
        if done == total:
            return "grading"
        return "generating" if self._arrivals or self.in_flight else "waiting"

    def _tokens_per_s(self) -> float | None:
        """Over the last seconds; None before anything arrived."""
        now = monotonic()
        while self._arrivals and now - self._arrivals[0][0] > RATE_WINDOW_S:
            self._arrivals.popleft()
        if not self._arrivals:
            return None
        span_s = max(now - max(self._started, self._arrivals[0][0]), 1.0)
        return sum(tokens for _, tokens in self._arrivals) / span_s

    def _scored(self, score: Score) -> None:
        self.scores.append(score)
        self._tally.add(score)

    def _read_back(self, key: Key) -> Completion:
        found = self.journal.completion(self.key, *key)
        assert found is not None, f"the journal has lost {key}"
        return found

    def _grade_input(self, completion: Completion) -> GradeInput:
        return GradeInput(
            problem_id=completion.problem_id,
            attempt=completion.attempt,
            text=completion.text,
            reasoning=completion.reasoning,
            target=self._samples[completion.problem_id, completion.attempt].target,
            extraction=self.evaluation.bench.extraction,
            finish_reason=completion.finish_reason,
            prompt_opens_thought=self.evaluation.plan.prompt_opens_thought,
        )
