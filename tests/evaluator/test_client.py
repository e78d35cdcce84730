"""The streaming client with a server that behaves: order, slots, what is sent and what is kept."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluator.client import Answered, Endpoint, EngineUnreachable, fetch, run_async, stream
from evaluator.errors import Cancelled, EngineFailed
from evaluator.types import Completion, Refusal, Request, Sampling
from tests.fakes.openai_server import Asked, FakeOpenAI, Hang, Reply, always
from tests.fakes.streaming import Answers, assert_right, make_requests, refused_port, run_stream


def test_every_request_is_answered_once_and_sent_once() -> None:
    requests = make_requests(100)
    with FakeOpenAI(latency_s=0.002) as fake:
        summary, answers = run_stream(fake, requests, concurrency=16)
        assert set(fake.asked.values()) == {1}
        assert fake.most_in_flight == 16
    assert_right(answers, requests)
    assert (summary.answered, summary.refused, summary.requests_sent) == (100, 0, 100)
    assert (summary.transient_faults, summary.back_pressure) == (0, 0)


def test_a_slot_is_refilled_while_a_slow_answer_is_under_way() -> None:
    def latency(asked: Asked) -> float:
        return 0.8 if asked.prompt == "question 0" else 0.001

    with FakeOpenAI(latency_s=latency) as fake:
        _, answers = run_stream(fake, make_requests(60), concurrency=4)
    assert list(answers)[-1] == ("p0", 0), "all others were asked and answered beside it"


def test_requests_are_sent_lowest_order_first_then_as_they_came() -> None:
    with FakeOpenAI() as fake:
        run_stream(fake, make_requests(6, orders=lambda number: -float(number % 3)), concurrency=1)
        assert [asked.seed for asked in fake.requests] == [2, 5, 1, 4, 0, 3]


def test_a_request_says_everything_that_decides_the_answer() -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, top_k=20, min_p=0.05, presence_penalty=0.1, frequency_penalty=0.2)
    request = Request(
        generation_key="k",
        problem_id="p",
        attempt=3,
        prompt="What is 2 + 2? 𝔸",
        system_prompt="Be brief.",
        seed=2**63 - 1,
        max_tokens=7,
        sampling=sampling,
    )
    with FakeOpenAI(api_key="sesame") as fake:
        run_stream(fake, [request], api_key="sesame")
        body = dict(fake.requests[0].body)
    assert body.pop("messages") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is 2 + 2? 𝔸"},
    ]
    assert body == {
        "model": "fake",
        "n": 1,
        "stream": False,
        "seed": 2**63 - 1,
        "max_tokens": 7,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.05,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "repetition_penalty": 1.0,
    }


def test_no_limit_on_top_k_is_sent_as_what_every_server_takes_for_none() -> None:
    with FakeOpenAI() as fake:
        run_stream(fake, make_requests(1))
        assert fake.requests[0].body["top_k"] == -1


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_what_a_reasoning_parser_took_out_is_kept_apart(field: str) -> None:
    with FakeOpenAI(lambda *_: Reply(text=None, reasoning="hm", reasoning_field=field, finish_reason="length")) as fake:
        _, answers = run_stream(fake, make_requests(1))
    answer = answers["p0", 0]
    assert isinstance(answer, Completion)
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("", "hm", "length")


def test_counts_and_finish_reason_are_kept_as_the_server_said() -> None:
    with FakeOpenAI(lambda *_: "one two three four", latency_s=0.05) as fake:
        _, answers = run_stream(fake, make_requests(1, max_tokens=3))
    answer = answers["p0", 0]
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason, answer.completion_tokens) == ("one two three", "length", 3)
    assert (answer.prompt_tokens, answer.seed, answer.retries) == (2, 0, 0)
    assert 0.05 <= answer.latency_s < 1


def test_what_the_server_did_not_say_is_none() -> None:
    with FakeOpenAI(lambda *_: Reply(text="4", finish_reason=None, usage=False)) as fake:
        _, answers = run_stream(fake, make_requests(1))
    answer = answers["p0", 0]
    assert isinstance(answer, Completion)
    assert (answer.finish_reason, answer.completion_tokens, answer.prompt_tokens) == (None, None, None)


def test_cancelling_aborts_what_is_in_flight_at_the_server_too() -> None:
    taken: list[Request] = []
    with FakeOpenAI(faults=lambda asked: Hang() if asked.number > 5 else None) as fake:

        async def main() -> None:
            cancel = asyncio.Event()
            endpoint = Endpoint(base_url=fake.base_url, model="fake")
            run = asyncio.create_task(
                stream(
                    make_requests(50),
                    endpoint,
                    concurrency=4,
                    on_answer=lambda request, _: taken.append(request),
                    cancel=cancel,
                )
            )
            while fake.in_flight < 4 or len(taken) < 5:
                await asyncio.sleep(0.01)
            cancel.set()
            await run

        with pytest.raises(Cancelled):
            run_async(main())
        deadline = time.monotonic() + 5
        while fake.in_flight and time.monotonic() < deadline:
            time.sleep(0.01)
        assert fake.ended() == {"answered": 5, "disconnected": 4}
    assert len(taken) == 5


def test_an_answer_that_cannot_be_recorded_ends_the_run_with_that_error() -> None:
    def full(request: Request, answer: Completion | Refusal) -> None:
        raise EngineFailed("the disk is full")

    with FakeOpenAI() as fake, pytest.raises(EngineFailed, match="the disk is full"):
        run_stream(fake, make_requests(20), on_answer=full)


def test_answers_that_arrive_together_are_kept_by_one_call_before_any_is_handed_on() -> None:
    told: list[tuple[str, tuple[str, ...]]] = []
    with FakeOpenAI(latency_s=0.3) as fake:
        run_stream(
            fake,
            make_requests(200),
            concurrency=200,
            keep=lambda answers: told.append(("kept", tuple(request.problem_id for request, _ in answers))),
            on_answer=lambda request, _: told.append(("handed on", (request.problem_id,))),
        )
    durable: set[str] = set()
    for what, problems in told:
        if what == "kept":
            assert not durable & set(problems)
            durable |= set(problems)
        else:
            assert set(problems) <= durable
    assert len(durable) == sum(what == "handed on" for what, _ in told) == 200
    assert sum(what == "kept" for what, _ in told) < 200


def test_nothing_is_handed_on_that_could_not_be_kept() -> None:
    taken: list[Request] = []

    def full(answers: Sequence[Answered]) -> None:
        raise EngineFailed("the disk is full")

    with FakeOpenAI() as fake, pytest.raises(EngineFailed, match="the disk is full"):
        run_stream(fake, make_requests(20), keep=full, on_answer=lambda request, _: taken.append(request))
    assert not taken


def test_connections_notice_a_dead_peer_by_keep_alive() -> None:
    with FakeOpenAI(latency_s=0.5) as fake:
        options: list[int] = []

        async def main() -> None:
            task = asyncio.create_task(
                stream(
                    make_requests(1),
                    Endpoint(base_url=fake.base_url, model="fake"),
                    concurrency=1,
                    on_answer=lambda *_: None,
                    cancel=asyncio.Event(),
                )
            )
            while fake.in_flight == 0:
                await asyncio.sleep(0.01)
            while fake.in_flight and not keep_alive_timers(fake.port):  # the last byte is not acknowledged at once
                await asyncio.sleep(0.01)
            options.append(keep_alive_timers(fake.port))
            await task

        run_async(main())
    assert options == [1], "the client's established connection carries a keep-alive timer"


def keep_alive_timers(port: int) -> int:
    """Established connections to `port` whose kernel timer is a keep-alive timer (type 2 in /proc/net/tcp)."""
    remote, established, keep_alive = f"0100007F:{port:04X}", "01", "02"
    count = 0
    with open("/proc/net/tcp") as table:  # noqa: PTH123  (a kernel table, not a file)
        for line in table.readlines()[1:]:
            columns = line.split()
            count += columns[2:4] == [remote, established] and columns[5].startswith(keep_alive)
    return count


def test_an_endpoint_never_shows_its_key() -> None:
    endpoint = Endpoint(base_url="https://host/api/v1", model="m", api_key="secret")
    assert "secret" not in repr(endpoint)
    assert endpoint.root == "https://host/api"


def test_fetch_returns_the_status_and_the_body_whatever_they_are() -> None:
    with FakeOpenAI(api_key="sesame", health=503) as fake:
        assert run_async(fetch(f"{fake.root}/health"))[0] == 503
        assert run_async(fetch(f"{fake.base_url}/models"))[0] == 401
        status, body = run_async(fetch(f"{fake.base_url}/models", api_key="sesame"))
        assert (status, b"fake" in body) == (200, True)
        posted = {"messages": [{"role": "user", "content": "hi"}]}
        status, body = run_async(fetch(f"{fake.root}/tokenize", method="POST", json=posted))
        assert (status, b'"count"' in body) == (200, True)


def test_fetch_from_nowhere_says_what_to_check() -> None:
    with refused_port() as port, pytest.raises(EngineUnreachable, match=rf":{port}/health does not answer.*check the"):
        run_async(fetch(f"http://127.0.0.1:{port}/health"))


def test_fetch_gives_up_after_its_time() -> None:
    with FakeOpenAI(faults=always(Hang())) as fake:
        body = {"messages": [{"role": "user", "content": "hi"}], "seed": 1, "max_tokens": 1}
        with pytest.raises(EngineUnreachable, match=r"no answer within 0\.1 s"):
            run_async(fetch(f"{fake.base_url}/chat/completions", method="POST", json=body, timeout_s=0.1))


def test_a_stream_runs_in_any_thread() -> None:
    requests = make_requests(5)
    results: list[Answers] = []
    with FakeOpenAI() as fake:
        thread = threading.Thread(target=lambda: results.append(run_stream(fake, requests)[1]))
        thread.start()
        thread.join()
    assert_right(results[0], requests)


def test_nothing_to_ask_is_done_at_once() -> None:
    with FakeOpenAI() as fake:
        assert run_stream(fake, [])[0].requests_sent == 0


def test_more_in_flight_than_this_process_may_open_is_refused_before_anything_is_sent() -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))\n"
        "from tests.fakes.streaming import make_requests, run_stream\n"
        "from evaluator.errors import PlanRejected\n"
        "try: run_stream('http://127.0.0.1:9/v1', make_requests(100), concurrency=100)\n"
        "except PlanRejected as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert "lower --concurrency to at most 44" in said.stdout, said.stderr


def test_a_low_soft_limit_on_open_files_is_raised_as_far_as_needed() -> None:
    script = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (128, 1024))\n"
        "from tests.fakes.openai_server import FakeOpenAI\n"
        "from tests.fakes.streaming import assert_right, make_requests, run_stream\n"
        "with FakeOpenAI(latency_s=0.1) as fake:\n"
        "    summary, answers = run_stream(fake, make_requests(150), concurrency=150)\n"
        "assert_right(answers, make_requests(150)); print(summary.transient_faults, fake.most_in_flight)"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert said.stdout == "0 150\n", said.stderr
