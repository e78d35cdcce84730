"""Asking a fake model through the real client: what most tests of a stream need."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from evaluator.client import Endpoint, StreamSummary, run_async, stream
from evaluator.retry import RetryPolicy
from evaluator.types import Completion, Refusal, Request, Sampling
from tests.fakes.openai_server import FakeOpenAI, some_answer

QUICK = RetryPolicy(first_delay_s=0.005, longest_delay_s=0.02, outage_s=1.0, answer_timeout_s=20.0)
Answers = dict[tuple[str, int], Completion | Refusal]


def make_requests(
    count: int, *, max_tokens: int = 100, orders: Callable[[int], float] = lambda _: 0.0
) -> list[Request]:
    return [
        Request(
            generation_key="k",
            problem_id=f"p{number}",
            attempt=0,
            prompt=f"question {number}",
            system_prompt=None,
            seed=number,
            max_tokens=max_tokens,
            sampling=Sampling(),
            order=orders(number),
        )
        for number in range(count)
    ]


def run_stream(
    server: FakeOpenAI | str, requests: list[Request], *, concurrency: int = 4, **options: Any
) -> tuple[StreamSummary, Answers]:
    """Stream to the end; the answers by (problem, attempt), each of which must have come exactly once."""
    answers: Answers = {}

    def take(request: Request, answer: Completion | Refusal) -> None:
        assert (request.problem_id, request.attempt) == (answer.problem_id, answer.attempt)
        assert (answer.problem_id, answer.attempt) not in answers
        answers[answer.problem_id, answer.attempt] = answer

    async def main() -> StreamSummary:
        base_url, model = (server, "m") if isinstance(server, str) else (server.base_url, server.model)
        endpoint = Endpoint(base_url=base_url, model=model, api_key=options.pop("api_key", None))
        given = {"policy": QUICK, "cancel": asyncio.Event(), "on_answer": take} | options
        return await stream(requests, endpoint, concurrency=concurrency, **given)

    return run_async(main()), answers


def assert_right(answers: Answers, requests: list[Request]) -> None:
    assert len(answers) == len(requests)
    for request in requests:
        answer = answers[request.problem_id, request.attempt]
        assert isinstance(answer, Completion), answer
        assert answer.text == some_answer(request.prompt, request.seed)


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A bare TCP server; `serve` gets one connection at a time. Yields its base URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                serve(listener.accept()[0])
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@contextmanager
def refused_port() -> Iterator[int]:
    """A loopback port that refuses every connection, and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
