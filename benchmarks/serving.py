"""Our stream beside vLLM's own serving benchmark on one real vLLM: tokens/s, both with seeds, on the same prompts.

    python -m benchmarks.serving [--requests 2000]

The server runs as the evaluator starts it on a CPU (seeds and chunked prefill do not go together there). vLLM's
benchmark gets the best of several fixed concurrencies; ours finds its own from the server's metrics and makes every
answer durable. Rounds alternate, so that a machine that slows down slows both. Tokens are the server's own count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

from benchmarks.vllm_server import counters, make_checkpoint, vllm_server
from evaluator.client import Answered, Endpoint, run_async, stream
from evaluator.journal import Journal
from evaluator.types import Completion, Refusal, Request, Sampling
from settings import ROOT, read_settings

CONTEXT, LONGEST = 2048, 384
CONCURRENCIES = (64, 128, 256)
FLAGS = ["--max-model-len", str(CONTEXT), "--max-num-seqs", "256"]
FLAGS += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(CONTEXT)]
SAMPLING = Sampling()
WHOLE = 0.95
"""vLLM's benchmark counts an answer that is empty at once as a failure; untrained weights give a few."""
RUN_BENCH = """
import argparse, sys
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args(sys.argv[1:]))
"""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One run against the server."""

    tokens: float
    wall_s: float

    @property
    def tokens_per_s(self) -> float:
        """Generated tokens over wall time."""
        return self.tokens / self.wall_s


def main() -> None:
    """Serve, measure in turns, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    run_async(compare(given.requests, given.rounds))


async def compare(count: int, rounds: int) -> None:
    """Find vLLM's best concurrency on a third of the requests, then run all of them in turns."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        asked = requests(count)
        async with vllm_server(make_checkpoint(work / "checkpoint"), work, flags=FLAGS) as endpoint:
            await theirs(endpoint, asked[: count // 10], 64, work)
            tried = {each: await theirs(endpoint, asked[: count // 3], each, work) for each in CONCURRENCIES}
            best = max(tried, key=lambda each: tried[each].tokens_per_s)
            runs: dict[str, list[Speed]] = {"vLLM's benchmark": [], "ours": []}
            for number in range(rounds):
                runs["vLLM's benchmark"].append(await theirs(endpoint, asked, best, work))
                runs["ours"].append(await ours(endpoint, asked, work / f"journal-{number}.db"))
    for each, speed in tried.items():
        print(f"vLLM's benchmark, {each} in flight, {count // 3} requests: {speed.tokens_per_s:,.0f} tokens/s")
    for name, speeds in runs.items():
        listed = ", ".join(f"{speed.tokens_per_s:,.0f}" for speed in speeds)
        print(f"{name:<18}{count} requests: {listed} tokens/s")
    ratio = median(s.tokens_per_s for s in runs["ours"]) / median(s.tokens_per_s for s in runs["vLLM's benchmark"])
    print(f"ours over vLLM's benchmark at {best} in flight: {ratio:.1%}")


def requests(count: int) -> list[Request]:
    """Prompts of 40 to 200 characters with answer budgets of 16 to LONGEST tokens, long-tailed."""
    chance = random.Random(0)
    return [
        Request(
            generation_key="serving",
            problem_id=str(number),
            attempt=0,
            prompt=f"{number} ".ljust(chance.randint(40, 200), "x"),
            system_prompt=None,
            seed=number,
            max_tokens=min(LONGEST, max(16, int(chance.lognormvariate(4.2, 0.8)))),
            sampling=SAMPLING,
        )
        for number in range(count)
    ]


async def ours(endpoint: Endpoint, asked: list[Request], path: Path) -> Speed:
    """The stream with its own controller, and a journal."""
    before, started = await counters(endpoint), monotonic()
    with Journal(path) as journal:

        def keep(answers: Sequence[Answered]) -> None:
            journal.add_many((request.generation_key, answer) for request, answer in answers)

        def check(_: Request, answer: Completion | Refusal) -> None:
            if isinstance(answer, Refusal):
                raise RuntimeError(answer.reason)

        await stream(asked, endpoint, keep=keep, on_answer=check, cancel=asyncio.Event())
    wall_s, after = monotonic() - started, await counters(endpoint)
    return Speed(tokens=after["generated"] - before["generated"], wall_s=wall_s)


async def theirs(endpoint: Endpoint, asked: list[Request], concurrency: int, work: Path) -> Speed:
    """`vllm bench serve` on the same prompts and budgets; wall time is its own `duration`."""
    rows, result = work / "rows.jsonl", work / "result.json"
    rows.write_text("".join(json.dumps({"prompt": r.prompt, "output_tokens": r.max_tokens}) + "\n" for r in asked))
    command = [read_settings().engine_python, "-c", RUN_BENCH, "--backend", "openai-chat", "--no-stream"]
    command += ["--base-url", endpoint.root, "--endpoint", "/v1/chat/completions", "--model", endpoint.model]
    command += ["--tokenizer", str(work / "checkpoint"), "--dataset-name", "custom", "--dataset-path", str(rows)]
    command += ["--custom-output-len", "-1", "--num-prompts", str(len(asked)), "--skip-chat-template"]
    command += ["--max-concurrency", str(concurrency), "--extra-body", json.dumps({"seed": 1, "temperature": 0.6})]
    command += ["--top-p", "0.95", "--disable-tqdm", "--save-result", "--result-dir", str(work)]
    command += ["--result-filename", result.name]
    before = await counters(endpoint)
    environment = {**dict(read_settings().child_environment), "HF_HUB_OFFLINE": "1", "HOME": str(work)}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode != 0 or not result.exists():
        raise RuntimeError(f"vLLM's benchmark failed:\n{errors.decode()[-2000:]}")
    after, found = await counters(endpoint), json.loads(result.read_text())
    if found["completed"] < WHOLE * len(asked):
        raise RuntimeError(f"vLLM's benchmark completed {found['completed']} of {len(asked)} requests")
    return Speed(tokens=after["generated"] - before["generated"], wall_s=found["duration"])


if __name__ == "__main__":
    main()
