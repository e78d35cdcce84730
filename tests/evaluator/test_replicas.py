"""Several servers behind one queue: who gets what, and what happens when one is slow, full, broken or gone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

import pytest

from evaluator.client import Endpoint, Served, StreamState, StreamSummary, run_async, stream
from evaluator.errors import EngineFailed, EngineRefused
from evaluator.types import Completion, Refusal, Request
from tests.fakes.openai_server import Asked, FakeOpenAI, Fault, Hang, Status, always, some_answer
from tests.fakes.streaming import QUICK, Answers, assert_right, make_requests


def ask(servers: list[FakeOpenAI] | list[Served], requests: object, **options: object) -> tuple[StreamSummary, Answers]:
    """Stream to the end over several servers; each answer must have come exactly once."""
    answers: Answers = {}

    def take(request: Request, answer: Completion | Refusal) -> None:
        assert (answer.problem_id, answer.attempt) not in answers
        answers[answer.problem_id, answer.attempt] = answer

    async def main() -> StreamSummary:
        asked = [
            Endpoint(base_url=each.base_url, model=each.model) if isinstance(each, FakeOpenAI) else each
            for each in servers
        ]
        given = {"policy": QUICK, "cancel": asyncio.Event(), "on_answer": take} | options
        return await stream(requests, asked, **given)  # type: ignore[arg-type]

    return run_async(main()), answers


def when(condition: Callable[[], bool], then: Callable[[], None]) -> threading.Thread:
    """Do something from another thread as soon as a condition holds."""

    def wait() -> None:
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.002)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_one_queue_feeds_every_server_as_fast_as_it_answers() -> None:
    requests = make_requests(400)
    with FakeOpenAI(latency_s=0.005) as fast, FakeOpenAI(latency_s=0.1) as slow:
        summary, answers = ask([fast, slow], requests, concurrency=8)
    assert_right(answers, requests)
    quick, lame = (each.answered for each in summary.replicas)
    assert quick > 5 * lame > 0
    assert summary.answered == quick + lame == 400


def test_one_slow_and_one_dying_replica_finish_everything_and_nothing_twice() -> None:
    requests = make_requests(300)
    with FakeOpenAI(latency_s=0.05) as slow, FakeOpenAI(latency_s=0.01) as dying:
        other = when(lambda: len(dying.requests) > 60, dying.stop)
        summary, answers = ask([slow, dying], requests, concurrency=16, policy=replace(QUICK, outage_s=30.0))
        other.join()
        answered = sum(asked.ended == "answered" for fake in (slow, dying) for asked in fake.requests)
    assert_right(answers, requests)
    assert answered == 300, "only what was in flight when it died was asked again"
    assert summary.replicas[1].transient_faults > 0


def test_a_replica_that_fails_everything_leaves_its_work_to_the_others() -> None:
    requests = make_requests(120)
    with FakeOpenAI(latency_s=0.01) as well, FakeOpenAI(faults=always(Status(500, "dead"))) as broken:
        summary, answers = ask([well, broken], requests, concurrency=8)
        assert len(broken.requests) <= 11 * 4
    assert_right(answers, requests)
    assert [each.answered for each in summary.replicas] == [120, 0]


def test_a_replica_that_comes_back_gets_work_again() -> None:
    requests = make_requests(600)
    with FakeOpenAI(latency_s=0.02) as steady, FakeOpenAI(latency_s=0.02) as returning:

        def restart() -> None:
            returning.stop()
            seen.append(len(returning.requests))
            time.sleep(0.2)
            returning.start()

        seen: list[int] = []
        other = when(lambda: len(returning.requests) > 20, restart)
        _, answers = ask([steady, returning], requests, concurrency=16, policy=replace(QUICK, outage_s=30.0))
        other.join()
        assert len(returning.requests) > seen[0]
    assert_right(answers, requests)


def test_with_no_replica_left_the_run_ends_with_the_reason() -> None:
    with (
        FakeOpenAI(faults=always(Status(500, "first"))) as one,
        FakeOpenAI(faults=always(Status(500, "second"))) as two,
        pytest.raises(EngineFailed, match=r"11 times in a row.*HTTP 500"),
    ):
        ask([one, two], make_requests(50), concurrency=4)


def test_a_full_replica_sends_its_share_to_the_one_with_room() -> None:
    requests = make_requests(200)
    with FakeOpenAI(capacity=1, latency_s=0.02) as full, FakeOpenAI(latency_s=0.02) as roomy:
        summary, answers = ask([full, roomy], requests)
    assert_right(answers, requests)
    assert summary.transient_faults == 0
    assert summary.replicas[1].answered > summary.replicas[0].answered


def test_servers_that_fail_more_than_they_answer_break_the_circuit() -> None:
    def fault(asked: Asked) -> Fault | None:
        return Status(500, "flaky") if asked.number % 4 else None

    with FakeOpenAI(faults=fault) as flaky:
        policy = replace(QUICK, faults_allowed=5)
        with pytest.raises(EngineFailed, match=r"failed \d+ times over \d+ answers"):
            ask([flaky], make_requests(500), concurrency=1, policy=policy)


def test_an_engine_of_ours_is_started_again_as_often_as_the_policy_says() -> None:
    requests = make_requests(60)
    with FakeOpenAI() as fresh, FakeOpenAI(faults=always(Status(500, "EngineCore is dead"))) as dead:

        async def restart() -> Endpoint:
            starts.append(len(dead.requests))
            return Endpoint(base_url=(fresh if len(starts) == 2 else dead).base_url, model="fake")

        starts: list[int] = []
        served = Served(endpoint=Endpoint(base_url=dead.base_url, model="fake"), restart=restart)
        summary, answers = ask([served], requests, concurrency=4)
    assert_right(answers, requests)
    assert summary.replicas[0].restarts == len(starts) == 2


def test_a_source_longer_than_memory_is_read_as_it_is_needed() -> None:
    read = 0

    def source() -> Iterator[Request]:
        nonlocal read
        for request in make_requests(3000):
            read += 1
            yield request

    ahead: list[int] = []
    with FakeOpenAI() as fake:

        def take(_: Request, __: object) -> None:
            taken.append(1)
            ahead.append(read - len(taken))

        taken: list[int] = []
        ask([fake], source(), concurrency=10, look_ahead=50, on_answer=take)
    assert len(taken) == 3000
    assert max(ahead) <= 50 + 10 + 1


def test_an_asynchronous_source_is_held_back_while_the_window_is_full() -> None:
    read = 0

    async def source() -> AsyncIterator[Request]:
        nonlocal read
        for request in make_requests(500):
            await asyncio.sleep(0)
            read += 1
            yield request

    requests = make_requests(500)
    ahead: list[int] = []
    with FakeOpenAI(latency_s=0.002) as fake:
        answers: Answers = {}

        def take(request: Request, answer: Completion | Refusal) -> None:
            answers[answer.problem_id, answer.attempt] = answer
            ahead.append(read - len(answers))

        ask([fake], source(), concurrency=8, look_ahead=20, on_answer=take)
    assert_right(answers, requests)
    assert max(ahead) <= 20 + 8 + 2


def test_a_source_that_fails_ends_the_run_with_its_own_error() -> None:
    def source() -> Iterator[Request]:
        yield from make_requests(5)
        raise OSError("the file is gone")

    with FakeOpenAI() as fake, pytest.raises(OSError, match="the file is gone"):
        ask([fake], source(), concurrency=2, look_ahead=2)


def test_the_cap_follows_the_servers_metrics_and_its_history_is_kept() -> None:
    requests = make_requests(3000)
    with FakeOpenAI(latency_s=0.05) as fake:
        fake.metrics = lambda: {"kv_cache_usage_perc": 0.2, "num_preemptions_total": 0.0}
        summary, answers = ask([fake], requests)
        assert fake.most_in_flight > 16
    assert_right(answers, requests)
    history = summary.replicas[0].history
    assert (history[0].why, history[0].cap) == ("start", 16)
    assert any(point.why == "slow start" for point in history)
    assert max(point.cap for point in history) >= fake.most_in_flight


def test_a_preemption_brings_the_cap_down() -> None:
    with FakeOpenAI(latency_s=0.05) as fake:
        fake.metrics = lambda: {"kv_cache_usage_perc": 0.95, "num_preemptions_total": float(len(fake.requests) // 20)}
        summary, _ = ask([fake], make_requests(1000))
    history = summary.replicas[0].history
    assert any(point.why == "preempted" for point in history)
    assert history[-1].cap < 16


def test_a_whole_conversation_is_sent_as_it_is() -> None:
    (plain,) = make_requests(1)
    messages = (("system", "Be brief."), ("user", "1 + 1?"), ("assistant", "2"), ("user", "And 2 + 2?"))
    with FakeOpenAI() as fake:
        ask([fake], [replace(plain, messages=messages)])
        assert [(m["role"], m["content"]) for m in fake.requests[0].body["messages"]] == list(messages)


def test_who_watches_sees_what_is_in_flight_and_how_the_servers_stand() -> None:
    states: list[StreamState] = []
    with FakeOpenAI(latency_s=1.5) as fake:
        ask([fake], make_requests(12), concurrency=4, on_state=states.append)
    busy = [state for state in states if state.in_flight]
    assert busy
    assert max(sum(state.in_flight.values()) for state in busy) == 4  # fewer for a moment, while answers are kept
    assert all(0 <= state.age_s <= 4 * 1.6 for state in busy)
    assert [each.standing.value for each in busy[0].replicas] == ["open"]


def test_what_a_stream_did_is_told_also_where_it_fails() -> None:
    told: list[StreamSummary] = []
    with (
        FakeOpenAI(faults=lambda asked: Status(401) if asked.number > 20 else None) as fake,
        pytest.raises(EngineRefused, match="401"),
    ):
        ask([fake], make_requests(50), concurrency=2, on_summary=told.append)
    assert told[0].answered >= 15


def test_a_hanging_replica_does_not_hold_up_the_end_of_the_others() -> None:
    def fault(asked: Asked) -> Fault | None:
        return Hang() if asked.number == 3 else None

    requests = make_requests(100)
    with FakeOpenAI(faults=fault) as one, FakeOpenAI() as two:
        summary, answers = ask([one, two], requests, concurrency=4, policy=replace(QUICK, answer_timeout_s=2.0))
    assert (summary.answered, summary.refused) == (99, 1)
    late = [answer for answer in answers.values() if isinstance(answer, Refusal)]
    assert [answer.code for answer in late] == ["timed_out"]
    assert all(isinstance(a, Refusal) or a.text == some_answer(f"question {a.seed}", a.seed) for a in answers.values())


def test_a_server_that_joins_later_takes_its_share_while_the_others_work_already() -> None:
    requests = make_requests(400)
    with FakeOpenAI(latency_s=0.05) as first, FakeOpenAI(latency_s=0.02) as later:

        async def bring() -> Endpoint:
            while len(first.requests) < 20:
                await asyncio.sleep(0.005)
            return Endpoint(base_url=later.base_url, model="fake")

        placed = Served(endpoint=Endpoint(base_url="http://placed.invalid/v1", model="fake"), restart=bring, joins=True)
        summary, answers = ask([Served(endpoint=Endpoint(base_url=first.base_url, model="fake")), placed], requests)
    assert_right(answers, requests)
    assert all(each.answered > 0 and each.restarts == 0 for each in summary.replicas)


def test_a_server_that_cannot_join_leaves_the_work_to_the_others() -> None:
    async def fail() -> Endpoint:
        raise EngineFailed("no node has room")

    placed = Served(endpoint=Endpoint(base_url="http://placed.invalid/v1", model="fake"), restart=fail, joins=True)
    requests = make_requests(100)
    with FakeOpenAI(latency_s=0.01) as first:
        _, answers = ask([Served(endpoint=Endpoint(base_url=first.base_url, model="fake")), placed], requests)
    assert_right(answers, requests)
    with pytest.raises(EngineFailed, match="no node has room"):
        ask([placed], requests)


def test_what_is_in_flight_at_an_engine_of_ours_that_ended_goes_to_the_others_at_once() -> None:
    requests, gone = make_requests(60), threading.Event()

    def alive() -> None:
        if gone.is_set():
            raise EngineFailed("its node is lost")

    with FakeOpenAI(faults=always(Hang())) as lost, FakeOpenAI(latency_s=0.01) as well:
        other = when(lambda: len(lost.requests) >= 4, gone.set)
        served = [
            Served(endpoint=Endpoint(base_url=lost.base_url, model="fake"), alive=alive),
            Served(endpoint=Endpoint(base_url=well.base_url, model="fake")),
        ]
        policy = replace(QUICK, answer_timeout_s=600.0)  # nothing here notices by a time limit
        summary, answers = ask(served, requests, concurrency=8, policy=policy)
        other.join()
    assert_right(answers, requests)
    assert summary.requests_sent == 60 + len(lost.requests)


def test_a_slow_server_does_not_begin_what_a_fast_one_would_end_sooner() -> None:
    requests = make_requests(2000)
    with FakeOpenAI(latency_s=0.02) as fast, FakeOpenAI(latency_s=lambda asked: 0.8 + asked.number % 16 / 40) as slow:
        _, answers = ask([fast, slow], requests, concurrency=32)
        last_begun = max(asked.at for asked in slow.requests)
        later = sum(asked.at > last_begun for asked in fast.requests)
    assert_right(answers, requests)
    assert len(slow.requests) > 16, "the slow one works while there is enough for all"
    assert later > 80, "16 places of one answer in 1 s: it would have begun another one all the time"
