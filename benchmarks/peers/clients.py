"""One client of benchmarks/client_cost.py: sends so many requests, so many at a time, and reports what it took."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

WARM_UP = 8
BODY = {"max_tokens": 32_768, "temperature": 0.6, "top_p": 0.95}


def main() -> None:
    """Read five arguments, ask, print one line of JSON."""
    client, url, in_flight, requests, folder = sys.argv[1:]
    raise_limit(int(in_flight))
    ask = {"httpx": with_httpx, "openai": with_openai}.get(client)
    if ask is None:
        ours(url, int(in_flight), int(requests), Path(folder), journal=client == "ours")
    else:
        asyncio.run(ask(url, int(in_flight), int(requests)))


def raise_limit(connections: int) -> None:
    """Open files: one per connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, connections + 1024), hard))


class Meter:
    """CPU, wall time and growth of memory since it was made."""

    def __init__(self) -> None:
        gc.collect()
        self.cpu, self.wall, self.memory = time.process_time(), time.monotonic(), resident_kb()

    def report(self, requests: int) -> None:
        """Print what it took."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu_s, wall_s = time.process_time() - self.cpu, time.monotonic() - self.wall
        found = {"requests": requests, "cpu_s": cpu_s, "wall_s": wall_s, "grown_kb": peak - self.memory}
        print(json.dumps(found), flush=True)


def resident_kb() -> float:
    """Memory in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024


def ours(url: str, in_flight: int, requests: int, folder: Path, *, journal: bool) -> None:
    """The stream, with each answer made durable or dropped."""
    from evaluator.client import Endpoint, run_async, stream
    from evaluator.journal import Journal
    from evaluator.types import Completion, Refusal, Request, Sampling

    sampling, endpoint = Sampling(), Endpoint(base_url=url, model="fake")

    def some(first: int, count: int) -> list[Request]:
        return [
            Request(
                generation_key="cost",
                problem_id=str(number),
                attempt=0,
                prompt=f"question {number}",
                system_prompt=None,
                seed=number,
                max_tokens=32_768,
                sampling=sampling,
            )
            for number in range(first, first + count)
        ]

    with Journal(folder / "journal.db") as kept:

        def keep(answers: Sequence[tuple[Request, Completion | Refusal]]) -> None:
            if journal:
                kept.add_many((request.generation_key, answer) for request, answer in answers)

        def check(_: Request, answer: Completion | Refusal) -> None:
            if isinstance(answer, Refusal):
                raise RuntimeError(answer.reason)

        def send(these: list[Request], concurrency: int) -> None:
            never = asyncio.Event()
            run_async(stream(these, endpoint, concurrency=concurrency, keep=keep, on_answer=check, cancel=never))

        send(some(-WARM_UP, WARM_UP), WARM_UP)
        asked = some(0, requests)
        meter = Meter()
        send(asked, in_flight)
        meter.report(requests)


async def workers(one: Callable[[int], Awaitable[str]], in_flight: int, requests: int) -> None:
    """A fixed set of workers over one queue, as ours has."""

    async def work(feed: object) -> None:
        for number in feed:  # type: ignore[attr-defined]
            await one(number)

    feed = iter(range(WARM_UP))
    await asyncio.gather(*(work(feed) for _ in range(WARM_UP)))
    meter, feed = Meter(), iter(range(requests))
    await asyncio.gather(*(work(feed) for _ in range(in_flight)))
    meter.report(requests)


async def with_httpx(url: str, in_flight: int, requests: int) -> None:
    """httpx.AsyncClient."""
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=None) as client:

        async def one(number: int) -> str:
            messages = [{"role": "user", "content": f"question {number}"}]
            body = {"model": "fake", "messages": messages, "seed": number, **BODY}
            response = await client.post(f"{url}/chat/completions", json=body)
            return str(response.json()["choices"][0]["message"]["content"])

        await workers(one, in_flight, requests)


async def with_openai(url: str, in_flight: int, requests: int) -> None:
    """openai.AsyncOpenAI, with a connection pool that is as large as it needs to be."""
    import httpx
    import openai

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    transport = httpx.AsyncClient(limits=limits, timeout=None)
    async with openai.AsyncOpenAI(base_url=url, api_key="none", http_client=transport, max_retries=0) as client:

        async def one(number: int) -> str:
            answer = await client.chat.completions.create(
                model="fake", messages=[{"role": "user", "content": f"question {number}"}], seed=number, **BODY
            )
            return str(answer.choices[0].message.content)

        await workers(one, in_flight, requests)


if __name__ == "__main__":
    main()
