"""When a run will end, and how its answers are graded behind it without being held in memory."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest

from evaluator.estimate import EndEstimate
from evaluator.grading_pool import GraderPool
from evaluator.grading_queue import AT_ONCE, GradingQueue, Key
from evaluator.types import Completion, Extraction, GradeInput, Score, Verdict


def test_before_the_first_answer_nothing_is_said() -> None:
    assert EndEstimate().seconds_left(waiting=10, in_flight=2, age_s=5.0) is None


def test_an_estimate_is_the_queue_and_then_the_last_long_answer() -> None:
    ends = EndEstimate()
    for _ in range(100):
        ends.answered(10.0)
    assert ends.seconds_left(waiting=50, in_flight=10, age_s=0.0) == pytest.approx(5 * 10 + 10)
    assert ends.seconds_left(waiting=0, in_flight=0, age_s=0.0) is None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spread", [0.3, 0.8])
def test_estimates_of_a_simulated_run_allow_for_its_tail(spread: float, seed: int) -> None:
    rng = random.Random(seed)
    slots, total = 64, 1024
    lengths = [min(3000.0, 100 * rng.lognormvariate(0, spread)) for _ in range(total)]
    waiting = list(lengths)
    running = [(waiting.pop(), 0.0) for _ in range(slots)]
    running = [(sent + length, sent) for length, sent in running]
    ends, told = EndEstimate(), dict[float, float]()
    while running:
        running.sort()
        now, sent = running.pop(0)
        ends.answered(now - sent)
        if waiting:
            running.append((now + waiting.pop(), now))
        left = ends.seconds_left(
            waiting=len(waiting), in_flight=len(running), age_s=sum(now - start for _, start in running)
        )
        if left is not None:
            told[now] = now + left
        end = now
    halfway = next(guess for at, guess in told.items() if at > end / 2)
    near = [guess for at, guess in told.items() if at <= 0.8 * end][-1]
    assert halfway == pytest.approx(end, rel=0.2 if spread < 0.5 else 0.3)
    assert near == pytest.approx(end, rel=0.2 if spread < 0.5 else 0.3)


def completion(number: int, text: str) -> Completion:
    return Completion(problem_id=f"p{number}", attempt=0, seed=number, text=text, finish_reason="stop")


def as_input(answer: Completion) -> GradeInput:
    return GradeInput(
        problem_id=answer.problem_id, attempt=0, text=answer.text, target="x^2 + 1", extraction=Extraction.MATH
    )


@pytest.fixture(scope="module")
def grader() -> Iterator[GraderPool]:
    with GraderPool(workers=1) as pool:
        yield pool


def graded(
    grader: GraderPool, feed: Callable[[GradingQueue], None], read_back: Callable[[Key], Completion]
) -> list[Score]:
    """Everything that was fed, graded."""
    scores: list[Score] = []

    async def main() -> None:
        queue = GradingQueue(grader, as_input=as_input, read_back=read_back, on_score=scores.append)
        running = asyncio.create_task(queue.run())
        feed(queue)
        await queue.all_graded()
        running.cancel()

    asyncio.run(main())
    return scores


def test_answers_beyond_what_is_graded_at_once_are_read_back_and_none_is_lost(grader: GraderPool) -> None:
    texts = {(f"p{n}", 0): completion(n, f"\\boxed{{1 + x^2 + {n % 2}}}") for n in range(AT_ONCE + 150)}
    read: list[Key] = []

    def read_back(key: Key) -> Completion:
        read.append(key)
        return texts[key]

    def feed(queue: GradingQueue) -> None:
        for answer in texts.values():
            queue.add(answer)

    scores = graded(grader, feed, read_back)
    assert sorted(score.problem_id for score in scores) == sorted(problem for problem, _ in texts)
    assert {s.problem_id for s in scores if s.verdict is Verdict.CORRECT} == {
        f"p{n}" for n in range(AT_ONCE + 150) if n % 2 == 0
    }
    assert len(read) == 150, "the first ones were graded from memory, only the others were read back"


def test_stored_answers_are_graded_without_being_read_all_at_once(grader: GraderPool) -> None:
    reading = most = 0

    def read_back(key: Key) -> Completion:
        nonlocal reading, most
        reading += 1
        most = max(most, reading - len(seen))
        return completion(int(key[0][1:]), "\\boxed{x^2 + 1}")

    seen: list[Score] = []

    async def main() -> None:
        queue = GradingQueue(grader, as_input=as_input, read_back=read_back, on_score=seen.append)
        running = asyncio.create_task(queue.run())
        queue.add_stored((f"p{n}", 0) for n in range(3 * AT_ONCE))
        await queue.all_graded()
        running.cancel()

    asyncio.run(main())
    assert len(seen) == 3 * AT_ONCE
    assert most <= AT_ONCE + 1
