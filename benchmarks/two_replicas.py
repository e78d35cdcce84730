"""Two replicas behind one queue: one three times slower than the other, which dies half way.

    python -m benchmarks.two_replicas

Everything must finish on the one that is left. The bound is what perfect scheduling needs: until the kill all slots are
full, what the dead one had not finished is lost, and the slow one alone does the rest. Prints one line per run.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import ExitStack

from benchmarks.peers.common import prompts
from benchmarks.streams import answering_process
from benchmarks.workloads import SHAPES, length_of
from evaluator.client import Endpoint, StreamSummary, run_async, stream
from evaluator.types import Completion, Refusal, Request, Sampling

SLOTS = 32
FAST_S, SLOW_S = 0.00006, 0.00018
"""Seconds per token of the two."""
KILL_AT = 0.5


def main() -> None:
    """Print one line per seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--attempts", type=int, default=12)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    print(
        f"{'answers':<9}{'on the fast one':>17}{'on the slow one':>17}{'asked':>7}"
        f"{'wall s':>8}{'bound s':>9}{'ratio':>7}"
    )
    for number in range(given.runs):
        asked = requests(given.problems, given.attempts, number)
        summary, killed_after_s = run_async(run(asked))
        fast, slow = (replica.answered for replica in summary.replicas)
        least_s = bound_s(asked, killed_after_s, summary.replicas[0].completion_tokens)
        print(
            f"{summary.answered:<9}{fast:>17}{slow:>17}{summary.requests_sent:>7}{summary.wall_s:>8.1f}{least_s:>9.1f}"
            f"{summary.wall_s / least_s:>7.2f}",
            flush=True,
        )


def requests(problems: int, attempts: int, run_number: int) -> list[Request]:
    """Attempts whose lengths differ from run to run."""
    return [
        Request(
            generation_key="replicas",
            problem_id=str(problem),
            attempt=attempt,
            prompt=f"{prompt} (run {run_number})",
            system_prompt=None,
            seed=attempt,
            max_tokens=32_768,
            sampling=Sampling(),
        )
        for problem, prompt in enumerate(prompts(problems))
        for attempt in range(attempts)
    ]


async def run(asked: list[Request]) -> tuple[StreamSummary, float]:
    """Stream to both; kill the fast one when half of the answers are there."""
    answers: list[Completion | Refusal] = []
    started, killed_after_s = time.monotonic(), 0.0
    with ExitStack() as open_servers:
        fast, slow = ServerProcess(open_servers, FAST_S), ServerProcess(open_servers, SLOW_S)

        def keep(_: Request, answer: Completion | Refusal) -> None:
            nonlocal killed_after_s
            answers.append(answer)
            if len(answers) == int(KILL_AT * len(asked)):
                fast.kill()
                killed_after_s = time.monotonic() - started

        started = time.monotonic()
        summary = await stream(
            asked,
            [Endpoint(base_url=server.url, model="fake") for server in (fast, slow)],
            concurrency=2 * SLOTS,
            on_answer=keep,
            cancel=asyncio.Event(),
        )
    if len(answers) != len(asked) or any(isinstance(answer, Refusal) for answer in answers):
        raise RuntimeError(f"{len(answers)} outcomes of {len(asked)} requests, or a refusal among them")
    return summary, killed_after_s


class ServerProcess:
    """One deterministic server that can be killed."""

    def __init__(self, owner: ExitStack, token_s: float) -> None:
        flags = ["--slots", str(SLOTS), "--token-s", str(token_s), "--shape", "aime"]
        self._process, port = owner.enter_context(answering_process(flags))
        self.url = f"http://127.0.0.1:{port}/v1"

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()


def bound_s(asked: list[Request], killed_after_s: float, finished_on_fast: int) -> float:
    """The slow one works all the time; of the fast one's work only the tokens of its finished answers count."""
    lengths = [length_of(SHAPES["aime"], request.prompt, request.attempt) for request in asked]
    slow_tokens_per_s = SLOTS / SLOW_S
    left = sum(lengths) - finished_on_fast - killed_after_s * slow_tokens_per_s
    return max(killed_after_s + left / slow_tokens_per_s, max(lengths) * SLOW_S)


if __name__ == "__main__":
    main()
