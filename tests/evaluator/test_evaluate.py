"""The run loop against a server on a real socket: what is asked, what is kept, what is never asked again."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.benchmarks import AIME_2024, MATH_500
from evaluator.client import Endpoint, run_async
from evaluator.engine import RunningEngine
from evaluator.errors import Cancelled, EngineRefused, IncompleteMeasurement, JournalUnusable
from evaluator.evaluate import evaluate
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.plan import generation_key, problems_hash, seed
from evaluator.prepare import Evaluation, with_grader
from evaluator.types import Benchmark, EngineFacts, EvalPlan, Measurement, Progress, Sample
from leaderboard.journal_parts import StoreParts
from leaderboard.sqlite_store import SqliteStore
from tests.fakes.openai_server import FakeOpenAI, Status

FACTS = EngineFacts(engine="vLLM", version="0.31.0", tensor_parallel_size=1, device="cpu")


def right_three_times_in_four(prompt: str, sampling_seed: int) -> str:
    number = prompt.split()[-1]
    return f"\\boxed{{{number if sampling_seed % 4 else 'unknown'}}}"


def evaluation(problems: int, attempts: int, bench: Benchmark = MATH_500) -> Evaluation:
    samples = tuple(
        Sample(problem_id=f"{bench.name}-{n}", prompt=f"{bench.title}: say {n}", target=str(n)) for n in range(problems)
    )
    plan = EvalPlan(
        benchmark=bench.name,
        benchmark_version=1,
        model="owner/model",
        commit="a" * 40,
        problems_hash=problems_hash(samples),
        chat_template_hash=None,
        prompt_opens_thought=False,
        max_tokens=100,
        attempts=attempts,
        grader_version="1",
    )
    return Evaluation(bench=bench, plan=plan, samples=samples)


@pytest.fixture(scope="module")
def grader() -> Iterator[GraderPool]:
    with GraderPool(workers=1) as pool:
        yield pool


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with FakeOpenAI(right_three_times_in_four, model="m") as fake:
        yield fake


class Run:
    """One run of some evaluations against one server, with one journal file."""

    def __init__(self, server: FakeOpenAI, journal: Path, grader: GraderPool) -> None:
        self.server, self.journal, self.grader = server, journal, grader
        self.engines_opened = 0
        self.seen: list[dict[str, Progress]] = []
        self.cancel_after: int | None = None

    def __call__(self, *evaluations: Evaluation) -> list[Measurement]:
        return run_async(self._run(evaluations))

    retry: str | None = None
    patient = False
    parts: StoreParts | None = None

    async def _run(self, evaluations: tuple[Evaluation, ...]) -> list[Measurement]:
        cancel = asyncio.Event()
        loop = asyncio.get_running_loop()
        if self.cancel_after is not None:
            threading.Thread(target=self._cancel, args=(loop, cancel), daemon=True).start()
        with Journal(self.journal) as journal:
            return await evaluate(
                evaluations,
                open_engine=self._open,
                journal=journal,
                grader=self.grader,
                concurrency=8,
                on_progress=lambda state: self.seen.append(dict(state)),
                cancel=cancel,
                retry=self.retry,
                patient=self.patient,
                parts=self.parts,
            )

    def _open(self) -> AbstractAsyncContextManager[RunningEngine]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[RunningEngine]:
            self.engines_opened += 1
            yield RunningEngine(endpoint=Endpoint(base_url=self.server.base_url, model="m"), facts=FACTS)

        return opened()

    def _cancel(self, loop: asyncio.AbstractEventLoop, cancel: asyncio.Event) -> None:
        while len(self.server.requests) < (self.cancel_after or 0):
            threading.Event().wait(0.01)
        loop.call_soon_threadsafe(cancel.set)


@pytest.fixture
def run(server: FakeOpenAI, tmp_path: Path, grader: GraderPool) -> Run:
    return Run(server, tmp_path / "journal.db", grader)


def test_every_attempt_is_asked_once_with_its_own_seed_and_every_sampling_parameter(run: Run) -> None:
    (measured,) = run(evaluation(6, 4))
    assert Counter(run.server.asked.values()) == {1: 24}
    expected = {seed(0, f"math_500-{n}", attempt) for n in range(6) for attempt in range(4)}
    assert {asked.seed for asked in run.server.requests} == expected
    body = run.server.requests[0].body
    named = {"temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty"}
    assert named <= body.keys()
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.6, 0.95, 100)
    assert sum(measured.verdicts.values()) == 24
    assert measured.statistics.stderr_decoding is not None


def test_the_score_is_what_the_answers_deserve(run: Run) -> None:
    (measured,) = run(evaluation(6, 4))
    right = sum(bool(asked.seed % 4) for asked in run.server.requests)
    assert measured.verdicts["correct"] == right
    assert measured.statistics.score == pytest.approx(100 * right / 24)
    assert measured.engine == FACTS


def test_more_attempts_ask_only_for_what_is_missing(run: Run) -> None:
    run(evaluation(5, 1))
    assert len(run.server.requests) == 5
    (measured,) = run(evaluation(5, 2))
    assert len(run.server.requests) == 10
    assert set(run.server.asked.values()) == {1}
    assert measured.plan.attempts == 2


def test_fewer_attempts_than_the_journal_holds_use_only_the_first(run: Run) -> None:
    run(evaluation(5, 4))
    (measured,) = run(evaluation(5, 1))
    assert len(run.server.requests) == 20
    assert {completion.attempt for completion in measured.completions} == {0}


def test_another_grader_version_asks_for_nothing_and_starts_no_engine(run: Run) -> None:
    first = evaluation(5, 2)
    (before,) = run(first)
    (after,) = run(with_grader(first, "2"))
    assert (len(run.server.requests), run.engines_opened) == (10, 1)
    assert after.plan.grader_version == "2"
    assert after.verdicts == before.verdicts
    assert after.engine == FACTS


def test_all_benchmarks_share_one_queue(run: Run) -> None:
    math, aime = run(evaluation(6, 2), evaluation(6, 2, AIME_2024))
    assert (math.plan.benchmark, aime.plan.benchmark) == ("math_500", "aime_2024")
    assert run.engines_opened == 1
    first_half = {asked.prompt.split(":")[0] for asked in run.server.requests[:12]}
    assert first_half == {"MATH-500", "AIME 2024"}


def test_a_row_that_the_engine_refuses_blocks_the_score_and_keeps_the_rest(run: Run) -> None:
    run.server.faults = lambda asked: Status(400, "prompt too long") if asked.prompt.endswith(" 3") else None
    with pytest.raises(IncompleteMeasurement, match="2 of 10"):
        run(evaluation(5, 2))
    asked_before = len(run.server.requests)
    with pytest.raises(IncompleteMeasurement):
        run(evaluation(5, 2))
    assert len(run.server.requests) == asked_before


def test_cancel_aborts_what_is_in_flight_and_the_next_run_continues(run: Run) -> None:
    run.server.latency_s = 0.05
    run.cancel_after = 30
    with pytest.raises(Cancelled):
        run(evaluation(20, 4))
    answered = sum(asked.ended == "answered" for asked in run.server.requests)
    assert answered < 80
    run.cancel_after = None
    run.server.latency_s = 0.0
    (measured,) = run(evaluation(20, 4))
    assert sum(measured.verdicts.values()) == 80
    assert len(run.server.requests) <= 80 + 8


def test_progress_ends_with_everything_done_and_a_score(run: Run) -> None:
    (measured,) = run(evaluation(5, 2))
    last = run.seen[-1]["math_500"]
    assert (last.phase, last.done, last.total, last.graded) == ("done", 10, 10, 10)
    assert last.score == pytest.approx(measured.statistics.score)


def test_two_runs_under_one_key_cannot_write_one_journal_together(run: Run, tmp_path: Path) -> None:
    asked = evaluation(2, 1)
    with (
        Journal(tmp_path / "journal.db") as other,
        other.claim(generation_key(asked.plan)),
        pytest.raises(JournalUnusable, match="another run"),
    ):
        run(asked)
    assert not run.server.requests


def test_a_system_prompt_is_part_of_the_plan_and_reaches_the_server(run: Run) -> None:
    plain = evaluation(1, 1)
    run(replace(plain, plan=replace(plain.plan, system_prompt="Be brief.")))
    assert run.server.requests[0].body["messages"][0] == {"role": "system", "content": "Be brief."}


def test_an_engine_that_never_answered_is_not_among_what_served(run: Run) -> None:
    asked = evaluation(2, 1)
    run.server.faults = lambda _: Status(400, "no")
    with pytest.raises(IncompleteMeasurement):
        run(asked)
    with Journal(run.journal) as journal:
        assert journal.engine(generation_key(asked.plan)) == EngineFacts()


def test_what_was_refused_is_asked_again_once_for_each_time_a_person_says_so(run: Run) -> None:
    run.server.faults = lambda asked: Status(400, "prompt too long") if asked.prompt.endswith(" 3") else None
    with pytest.raises(IncompleteMeasurement):
        run(evaluation(5, 2))
    run.retry = "first retry"
    with pytest.raises(IncompleteMeasurement):
        run(evaluation(5, 2))
    asked = len(run.server.requests)
    assert asked == 12
    with pytest.raises(IncompleteMeasurement):
        run(evaluation(5, 2))
    assert len(run.server.requests) == asked, "a run that was taken over must not roll again"
    run.retry, run.server.faults = "second retry", lambda _: None
    (measured,) = run(evaluation(5, 2))
    assert sum(measured.verdicts.values()) == 10


def test_the_time_of_a_resumed_run_is_that_of_all_its_parts(run: Run) -> None:
    run.server.latency_s = 0.3
    (first,) = run(evaluation(4, 1))
    (again,) = run(evaluation(4, 1))
    assert first.wall_seconds > 0.3
    assert again.wall_seconds == first.wall_seconds
    (more,) = run(evaluation(4, 2))
    assert more.wall_seconds > first.wall_seconds + 0.3


def test_a_worker_waits_for_the_run_that_it_took_over_from(run: Run, tmp_path: Path) -> None:
    asked = evaluation(2, 1)
    run.patient = True
    other = Journal(tmp_path / "journal.db")
    claim = other.claim(generation_key(asked.plan))
    claim.__enter__()
    release = threading.Timer(1.0, lambda: claim.__exit__(None, None, None))
    release.start()
    (measured,) = run(asked)
    release.join()
    other.close()
    assert sum(measured.verdicts.values()) == 2


def test_a_run_on_another_machine_continues_from_what_the_first_one_sent(run: Run, tmp_path: Path) -> None:
    run.parts = StoreParts(SqliteStore(tmp_path / "store.db"))
    asked = evaluation(10, 2)
    run.server.faults = lambda each: Status(401) if each.number > 12 else None
    with pytest.raises(EngineRefused):
        run(asked)
    answered = sum(each.ended == "answered" for each in run.server.requests)
    assert answered == 12
    run.server.faults = lambda _: None
    run.journal = tmp_path / "another machine.db"
    (measured,) = run(asked)
    assert sum(measured.verdicts.values()) == 20
    assert sum(each.ended == "answered" for each in run.server.requests) == 20, "nothing answered was asked again"


def test_answers_to_a_private_benchmark_are_not_shared(run: Run, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    run.parts = StoreParts(store)
    private = evaluation(4, 2, replace(MATH_500, name="secret", private=True))
    run.server.faults = lambda each: Status(401) if each.number > 4 else None
    with pytest.raises(EngineRefused):
        run(private)
    assert list(store.snapshot().names) == []


def test_what_the_stream_did_is_kept_with_the_measurement(run: Run) -> None:
    (first,) = run(evaluation(5, 2))
    (again,) = run(evaluation(5, 2))
    (more,) = run(evaluation(5, 3))
    assert again.streams == first.streams, "a run that asks for nothing adds nothing"
    assert [sum(r.answered for r in record.replicas) for record in more.streams] == [10, 5]
    assert more.streams[0].replicas[0].history[0].why == "start"
