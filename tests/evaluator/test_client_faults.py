"""The streaming client against a server that misbehaves in every way that servers do."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from evaluator.client import EngineUnreachable
from evaluator.errors import EngineFailed, EngineRefused
from evaluator.retry import RetryPolicy
from evaluator.types import Completion, Refusal
from tests.fakes.openai_server import (
    ERROR_BODY,
    NO_CHOICES,
    Asked,
    FakeOpenAI,
    Fault,
    Hang,
    Raw,
    Reset,
    Status,
    Trickle,
    Truncated,
    always,
    first,
    first_turns,
)
from tests.fakes.streaming import assert_right, make_requests, raw_server, refused_port, run_stream


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_row_that_the_engine_refuses_is_not_sent_again(status: int) -> None:
    def fault(asked: Asked) -> Fault | None:
        return Status(status, "prompt is " + "too " * 500 + "long") if asked.seed == 1 else None

    with FakeOpenAI(faults=fault) as fake:
        summary, answers = run_stream(fake, make_requests(3))
        assert fake.asked["question 1", 1] == 1
    refused = answers["p1", 0]
    assert isinstance(refused, Refusal)
    assert refused.code == f"refused_{status}"
    assert refused.reason.startswith("prompt is too too")
    assert len(refused.reason) < 500
    assert (summary.answered, summary.refused) == (2, 1)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_ends_the_run_at_once(status: int) -> None:
    with FakeOpenAI(faults=always(Status(status))) as fake:
        with pytest.raises(EngineRefused, match=f"{status}.*ENDPOINT_API_KEY"):
            run_stream(fake, make_requests(50), concurrency=2)
        assert len(fake.requests) <= 4


@pytest.mark.parametrize(
    "fault",
    [
        Status(500),
        Status(502),
        Status(504),
        Status(408),
        ERROR_BODY,
        NO_CHOICES,
        Raw(b""),
        Raw(b"[]"),
        Raw(b'{"choices": [{"index": 0}]}'),
        Raw(b'{"choices": [{"message": {"content": ["parts"]}}]}'),
        Raw(b'{"choices": [{"message": {"content": "half"}, "finish_reason": "abort"}]}'),
        Truncated(),
        Reset(),
        Reset(after_bytes=40),
    ],
    ids=str,
)
def test_a_transient_fault_is_sent_again_with_the_same_seed(fault: Fault) -> None:
    requests = make_requests(12)
    with FakeOpenAI(faults=first(3, fault)) as fake:
        summary, answers = run_stream(fake, requests)
        assert fake.health_probes >= 1
    assert_right(answers, requests)
    assert summary.transient_faults == 3
    assert summary.requests_sent == 15
    assert sum(answer.retries for answer in answers.values() if isinstance(answer, Completion)) == 3


def test_one_unlucky_row_never_fails_a_run() -> None:
    requests = make_requests(200)

    def fault(asked: Asked) -> Fault | None:
        return Status(500) if asked.seed == 0 and asked.turn <= 15 else None

    with FakeOpenAI(faults=fault, latency_s=0.01) as fake:
        _, answers = run_stream(fake, requests)
    assert_right(answers, requests)
    unlucky = answers["p0", 0]
    assert isinstance(unlucky, Completion)
    assert unlucky.retries == 15


def test_losing_all_requests_in_flight_at_once_counts_as_one_fault_in_a_row() -> None:
    requests = make_requests(300)
    with FakeOpenAI(faults=first(100, Reset()), latency_s=0.02) as fake:
        summary, answers = run_stream(fake, requests, concurrency=100)
    assert_right(answers, requests)
    assert summary.transient_faults == 100


def test_a_server_that_answers_500_to_everything_ends_the_run_with_its_words() -> None:
    with FakeOpenAI(faults=always(Status(500, "EngineCore is dead"))) as fake:
        with pytest.raises(EngineFailed, match=r"11 times in a row.*problem p\d+.*HTTP 500: EngineCore is dead"):
            run_stream(fake, make_requests(20))
        assert len(fake.requests) <= 11 * 4


def test_nothing_is_sent_while_the_server_says_it_is_unwell() -> None:
    requests = make_requests(8)
    with FakeOpenAI(faults=first(1, Status(500)), health=503) as fake:

        def recover() -> None:
            while fake.health_probes < 5:
                time.sleep(0.005)
            sent.append(len(fake.requests))
            fake.health = 200

        sent: list[int] = []
        watcher = threading.Thread(target=recover)
        watcher.start()
        _, answers = run_stream(fake, requests, concurrency=2)
        watcher.join()
    assert sent[0] <= 3, "two were in flight, and one more may have started before the first fault arrived"
    assert_right(answers, requests)


def test_a_server_without_a_health_route_gets_a_pause_instead() -> None:
    requests = make_requests(8)
    with FakeOpenAI(faults=first(2, Status(502)), health=404) as fake:
        _, answers = run_stream(fake, requests)
    assert_right(answers, requests)


def test_a_server_that_comes_back_at_its_address_is_used_again() -> None:
    requests = make_requests(200)
    with FakeOpenAI(latency_s=0.01) as fake:

        def restart() -> None:
            while len(fake.requests) < 50:
                time.sleep(0.002)
            fake.stop()
            time.sleep(0.2)
            fake.start()

        other = threading.Thread(target=restart)
        other.start()
        summary, answers = run_stream(fake, requests)
        other.join()
    assert_right(answers, requests)
    assert summary.transient_faults >= 1


def test_a_server_that_is_gone_for_too_long_ends_the_run() -> None:
    policy = RetryPolicy(first_delay_s=0.01, longest_delay_s=0.05, outage_s=0.3)
    message = r"unwell for 0\.3 s.*began with.*continues from the journal"
    with refused_port() as port, pytest.raises(EngineUnreachable, match=message):
        run_stream(f"http://127.0.0.1:{port}/v1", make_requests(5), policy=policy)


def test_an_engine_process_that_died_is_told_by_alive_at_once() -> None:
    def dead() -> None:
        raise EngineFailed("the engine ended with status 1", log_tail="CUDA out of memory")

    with FakeOpenAI() as fake:
        with pytest.raises(EngineFailed, match="status 1") as caught:
            run_stream(fake, make_requests(5), alive=dead)
        assert fake.requests == []
    assert caught.value.log_tail == "CUDA out of memory"


@pytest.mark.parametrize("status", [429, 503])
def test_back_pressure_uses_up_no_attempt(status: int) -> None:
    requests = make_requests(10)
    with FakeOpenAI(faults=first_turns(3, Status(status))) as fake:
        summary, answers = run_stream(fake, requests)
    assert_right(answers, requests)
    assert (summary.back_pressure, summary.transient_faults) == (30, 0)
    assert all(isinstance(answer, Completion) and answer.retries == 0 for answer in answers.values())


def test_a_server_with_less_room_than_slots_is_filled_and_not_more() -> None:
    requests = make_requests(60)
    with FakeOpenAI(capacity=3, latency_s=0.01) as fake:
        summary, answers = run_stream(fake, requests, concurrency=12)
    assert_right(answers, requests)
    assert summary.back_pressure > 0


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_retry_after_holds_every_slot(as_date: bool) -> None:
    def fault(asked: Asked) -> Fault | None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        return Status(429, retry_after=date if as_date else "1") if asked.number == 1 else None

    requests = make_requests(20)
    with FakeOpenAI(faults=fault, latency_s=0.1) as fake:
        _, answers = run_stream(fake, requests, concurrency=3)
        arrivals = [asked.at - fake.requests[0].at for asked in fake.requests]
    assert_right(answers, requests)
    assert sum(at < 0.8 for at in arrivals) == 3, "three were in flight, then silence for as long as asked for"


def test_a_hold_that_a_server_asks_for_is_bounded() -> None:
    policy = RetryPolicy(first_delay_s=0.005, longest_hold_s=0.05)
    with FakeOpenAI(faults=first(1, Status(503, retry_after="86400"))) as fake:
        summary, _ = run_stream(fake, make_requests(3), policy=policy)
    assert summary.wall_s < 2


def test_back_pressure_without_end_ends_the_run() -> None:
    policy = RetryPolicy(first_delay_s=0.005, longest_delay_s=0.02, back_pressure_s=0.2)
    with (
        FakeOpenAI(faults=always(Status(503, "queue is full"))) as fake,
        pytest.raises(EngineFailed, match="queue is full"),
    ):
        run_stream(fake, make_requests(3), policy=policy)


def test_an_answer_that_takes_too_long_is_refused_and_never_rolled_again() -> None:
    def fault(asked: Asked) -> Fault | None:
        return {1: Hang(), 2: Trickle(5.0)}.get(asked.seed)

    with FakeOpenAI(faults=fault) as fake:
        summary, answers = run_stream(fake, make_requests(4), policy=RetryPolicy(answer_timeout_s=0.3))
        assert fake.asked["question 1", 1] == fake.asked["question 2", 2] == 1
    for problem in ("p1", "p2"):
        refused = answers[problem, 0]
        assert isinstance(refused, Refusal)
        assert refused.code == "timed_out"
        assert "0.3 s" in refused.reason
    assert (summary.answered, summary.refused) == (2, 2)


def test_a_slow_trickle_within_the_limit_is_an_answer() -> None:
    requests = make_requests(2)
    with FakeOpenAI(faults=first(1, Trickle(0.3))) as fake:
        _, answers = run_stream(fake, requests)
    assert_right(answers, requests)


def test_a_connection_that_is_closed_without_a_word_is_a_fault() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.close()

    policy = RetryPolicy(first_delay_s=0.01, longest_delay_s=0.02, outage_s=0.1)
    with raw_server(serve) as base_url, pytest.raises(EngineUnreachable, match="Disconnected"):
        run_stream(base_url, make_requests(1), policy=policy)
