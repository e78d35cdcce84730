"""The simulated server beside a real vLLM whose KV cache is small enough to preempt: tokens/s and preemptions.

    python -m benchmarks.calibrate

All requests are sent at once and the server itself bounds how many run (`--max-num-seqs`): nothing depends on how fast
a client comes back. The step times of the simulation are fitted on runs that never preempt (other lengths, other
concurrencies); then both serve the same requests at four concurrencies that preempt. Prints one table; `--json` writes
what was measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic

import aiohttp
import numpy as np
import orjson
from scipy.optimize import nnls

from benchmarks.simulator import Server, ServerShape
from benchmarks.vllm_server import counters, make_checkpoint, vllm_server
from benchmarks.workloads import Attempt, LengthShape, draw
from evaluator.client import Endpoint, run_async

BLOCK_TOKENS = 32
KV_BLOCKS = 300
CONTEXT = 2048
BATCHED_TOKENS = 2048
CONCURRENCIES = (36, 48, 64, 96)
FIT_CONCURRENCIES = (4, 12, 28)
TEMPLATE_TOKENS = 41
"""What the chat template of the demonstration adds to a prompt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """One workload at one concurrency. `prefilled` counts the tokens of prompts; `context` is summed over steps."""

    concurrency: int
    wall_s: float
    steps: float
    generated: float
    preemptions: float
    prefilled: int
    context: float


def main() -> None:
    """Serve, fit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    fitted, real = run_async(measure(given.requests, given.seed))
    shape, attempts = fit(fitted), workload(given.requests, given.seed)
    table(shape, [(ran, simulate(replace(shape, max_num_seqs=ran.concurrency), attempts)) for ran in real])
    if given.json:
        given.json.write_text(
            json.dumps(
                {
                    "shape": asdict(shape),
                    "fitted": [asdict(ran) for ran in fitted],
                    "real": [asdict(ran) for ran in real],
                },
                indent=1,
            )
        )


def workload(requests: int, seed: int) -> list[Attempt]:
    """Long-tailed answers, a tenth of what the cache holds at most."""
    shape = LengthShape(median=130, sigma=0.8, cap=900)
    return draw("calibration", shape, problems=requests, attempts=1, seed=seed)


async def measure(requests: int, seed: int) -> tuple[list[Ran], list[Ran]]:
    """The runs to fit on, and those to compare with."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = make_checkpoint(Path(folder) / "checkpoint")
        fitted = [
            await serve(checkpoint, c, [workload(12 * c, seed + 2 + c), prompts_only(80)]) for c in FIT_CONCURRENCIES
        ]
        real = [await serve(checkpoint, c, [workload(requests, seed)]) for c in CONCURRENCIES]
    return [ran for runs in fitted for ran in runs], [ran for runs in real for ran in runs]


async def serve(checkpoint: Path, concurrency: int, workloads: Sequence[Sequence[Attempt]]) -> list[Ran]:
    """One server that runs so many sequences at most; one run of it per workload, after a warm-up."""
    flags = ["--max-model-len", str(CONTEXT), "--max-num-seqs", str(concurrency), "--block-size", str(BLOCK_TOKENS)]
    flags += ["--num-gpu-blocks-override", str(KV_BLOCKS), "--max-num-batched-tokens", str(BATCHED_TOKENS)]
    with tempfile.TemporaryDirectory() as folder:
        async with vllm_server(checkpoint, Path(folder), flags=flags) as endpoint:
            await run(endpoint, workload(40, seed=999), concurrency)
            return [await run(endpoint, attempts, concurrency) for attempts in workloads]


def prompts_only(count: int) -> list[Attempt]:
    """Long prompts with one token of answer."""
    return [Attempt(benchmark="prompts", problem=i, attempt=0, prompt=1500, output=1) for i in range(count)]


async def run(endpoint: Endpoint, attempts: Sequence[Attempt], concurrency: int) -> Ran:
    """Ask for exactly these lengths, all at once."""
    before, started = await counters(endpoint), monotonic()
    timeout, connector = aiohttp.ClientTimeout(total=600), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        await asyncio.gather(*(_ask(session, endpoint, attempt) for attempt in attempts))
    wall_s, after = monotonic() - started, await counters(endpoint)
    return Ran(
        concurrency=concurrency,
        wall_s=wall_s,
        prefilled=sum(attempt.prompt for attempt in attempts),
        context=sum(a.output * (a.prompt + a.output / 2) for a in attempts),
        **{name: after[name] - before[name] for name in before},
    )


async def _ask(session: aiohttp.ClientSession, endpoint: Endpoint, attempt: Attempt) -> None:
    text = f"{attempt.problem} {attempt.attempt} ".ljust(attempt.prompt - TEMPLATE_TOKENS, "x")
    body = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": attempt.output,
        "temperature": 0.6,
        "ignore_eos": True,
    }
    async with session.post(f"{endpoint.base_url}/chat/completions", json=body) as response:
        content = await response.read()
        if response.status != 200:
            raise RuntimeError(f"vLLM answers {response.status}: {content[:400]!r}")
        generated = orjson.loads(content)["usage"]["completion_tokens"]
        if generated != attempt.output:
            raise RuntimeError(f"vLLM generated {generated} tokens where {attempt.output} were asked for")


def fit(runs: Sequence[Ran]) -> ServerShape:
    """Seconds per step, per decoding sequence, per token of context and per prompt token that explain these runs."""
    rows = np.array([[r.steps, r.generated, r.context, r.prefilled] for r in runs])
    wall = np.array([r.wall_s for r in runs])
    solution, _ = nnls(rows / wall[:, None], np.ones(len(runs)))
    step_s, sequence_s, context_s, prefill_s = (float(value) for value in solution)
    return ServerShape(
        kv_blocks=KV_BLOCKS - 1,  # vLLM keeps one block as a null block
        block_tokens=BLOCK_TOKENS,
        max_num_seqs=256,
        max_batched_tokens=BATCHED_TOKENS,
        step_s=step_s,
        sequence_s=sequence_s,
        context_s=context_s,
        prefill_s=prefill_s,
    )


def simulate(shape: ServerShape, attempts: Sequence[Attempt]) -> Server:
    """The same requests, all there at once, in virtual time."""
    server = Server(shape)
    for number, attempt in enumerate(attempts):
        server.submit(number, prompt=attempt.prompt, output=attempt.output)
    while not server.idle:
        server.advance(float("inf"))
    return server


def table(shape: ServerShape, rows: Sequence[tuple[Ran, Server]]) -> None:
    """One line per concurrency."""
    print(
        f"fitted: {1e3 * shape.step_s:.2f} ms a step, {1e6 * shape.sequence_s:.0f} us a sequence, "
        f"{1e6 * shape.prefill_s:.0f} us a prompt token, {1e9 * shape.context_s:.1f} ns a token of context"
    )
    print(f"{'':14}{'tokens/s':^28}{'preemptions':^28}{'steps':^20}")
    print(f"{'in flight':<14}" + 2 * f"{'vLLM':>9}{'simulated':>11}{'diff':>8}" + f"{'vLLM':>9}{'simulated':>11}")
    for ran, server in rows:
        speeds = ran.generated / ran.wall_s, server.generated / server.now
        counts = ran.preemptions, float(server.preemptions)
        print(f"{ran.concurrency:<14}{_pair(*speeds)}{_pair(*counts)}{ran.steps:9.0f}{server.steps:11.0f}")


def _pair(real: float, simulated: float) -> str:
    difference = f"{(simulated / real - 1):+8.1%}" if real else f"{'-':>8}"
    return f"{real:9.0f}{simulated:11.0f}{difference}"


if __name__ == "__main__":
    main()
