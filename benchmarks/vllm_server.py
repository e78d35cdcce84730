"""A real vLLM that serves a freshly made checkpoint of the demonstration's architecture, for measurements."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from evaluator.client import Endpoint, EngineUnreachable, fetch
from evaluator.engine import free_port
from evaluator.process import SupervisedProcess, clean_environment
from settings import ROOT, read_settings

SERVED_NAME = "demonstration"
START_TIMEOUT_S = 300.0
COUNTERS = {
    "steps": "vllm:iteration_tokens_total_count",
    "generated": "vllm:generation_tokens_total",
    "preemptions": "vllm:num_preemptions_total",
}


def make_checkpoint(folder: Path) -> Path:
    """Untrained weights of the demonstration's architecture: as fast as trained ones, and there in seconds."""
    command = [read_settings().engine_python, "-m", "backend_jobs.training.tiny_model", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@asynccontextmanager
async def vllm_server(checkpoint: Path, work: Path, *, flags: Sequence[str]) -> AsyncIterator[Endpoint]:
    """Serve `checkpoint` on a free port with these flags, until the block ends."""
    settings, port = read_settings(), free_port()
    command = [settings.engine_python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint)]
    command += ["--served-model-name", SERVED_NAME, "--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16"]
    command += ["--enforce-eager", "--generation-config", "vllm", "--disable-uvicorn-access-log", *flags]
    extra = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    environment = clean_environment(dict(settings.child_environment), work / "home", extra)
    process = SupervisedProcess(command, log=work / "engine.log", environment=environment, folder=work)
    try:
        endpoint = Endpoint(base_url=f"http://127.0.0.1:{port}/v1", model=SERVED_NAME)
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await _healthy(endpoint):
                if process.exit_status() is not None:
                    raise RuntimeError(f"vLLM ended while starting:\n{process.log_tail()}")
                await asyncio.sleep(0.5)
        yield endpoint
    finally:
        await asyncio.to_thread(process.stop)


async def _healthy(endpoint: Endpoint) -> bool:
    try:
        return (await fetch(f"{endpoint.root}/health"))[0] == 200
    except EngineUnreachable:
        return False


async def counters(endpoint: Endpoint) -> dict[str, float]:
    """What the server has counted since it started: engine steps, generated tokens, preemptions."""
    _, body = await fetch(f"{endpoint.root}/metrics")
    text = body.decode()
    return {name: _sum(text, metric) for name, metric in COUNTERS.items()}


def _sum(text: str, metric: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{metric}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))
