"""The exact command and environment of a vLLM server, with only such flags as the installed vLLM knows."""

from __future__ import annotations

import os
import re
import shutil
from functools import lru_cache
from pathlib import Path

from evaluator.devices import GIB
from evaluator.engine_plan import EnginePlan
from evaluator.kv_memory import GPU_MEMORY_UTILIZATION

WATERMARK = "0.05"
"""Share of the KV cache that vLLM keeps free of new requests, so that those it runs preempt one another less."""
LOOPBACK = "127.0.0.1"
WHERE_KNOWN = {"--watermark": WATERMARK}
FLAG = re.compile(r'"(--[a-z][a-z0-9-]*)"')
DEFINITIONS = "lib*/python3*/*-packages/vllm/engine/arg_utils.py"


@lru_cache(maxsize=8)
def known_flags(python: str) -> frozenset[str]:
    """The flags that the vLLM of an environment defines; empty where there is none.

    Read from the file that defines its command line: importing vLLM takes half a minute.
    """
    found = shutil.which(python)
    prefix = Path(found).absolute().parent.parent if found else None
    definitions = sorted(prefix.glob(DEFINITIONS)) if prefix else []
    return frozenset(FLAG.findall(definitions[0].read_text(encoding="utf-8"))) if definitions else frozenset()


def server_command(
    plan: EnginePlan, *, python: str, folder: Path, served_name: str, port: int, host: str = LOOPBACK
) -> list[str]:
    """The exact command line of one server.

    The checkpoint's own sampling defaults are switched off (`--generation-config vllm`): they would decide scores in
    silence. On the CPU prefill is not chunked, because vLLM's CPU generator refuses a seed for a chunked one. A server
    that is dealt out over several nodes reaches them through a Ray cluster (RAY_ADDRESS).
    """
    command = [python, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(folder), "--served-model-name", served_name]
    command += ["--host", host, "--port", str(port)]
    command += ["--max-model-len", str(plan.max_model_len), "--max-num-seqs", str(plan.max_num_seqs)]
    command += ["--max-num-batched-tokens", str(plan.max_num_batched_tokens)]
    command += ["--tensor-parallel-size", str(plan.tensor_parallel_size), "--dtype", "bfloat16"]
    if plan.pipeline_parallel_size > 1:
        command += ["--pipeline-parallel-size", str(plan.pipeline_parallel_size)]
        command += ["--distributed-executor-backend", "ray"]
    command += ["--load-format", "safetensors", "--generation-config", "vllm", "--disable-uvicorn-access-log"]
    known = known_flags(python)
    for flag, value in WHERE_KNOWN.items():
        command += [flag, value] if flag in known else []
    if plan.device == "cpu":
        return [*command, "--enforce-eager", "--no-enable-chunked-prefill"]
    return [*command, "--gpu-memory-utilization", str(GPU_MEMORY_UTILIZATION)]


def server_environment(plan: EnginePlan, *, replica: int = 0, visible: str | None = None) -> dict[str, str]:
    """What one server needs in its environment beside the clean base.

    `visible` is our own CUDA_VISIBLE_DEVICES where it is set: each replica gets its share of those GPUs.
    """
    common = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if plan.device != "cpu":
        return common if plan.replicas == 1 else {**common, "CUDA_VISIBLE_DEVICES": _gpus(plan, replica, visible)}
    kv_cache = {"VLLM_CPU_KVCACHE_SPACE": str(plan.kv_cache_bytes // GIB)}
    if plan.tensor_parallel_size * plan.replicas == 1:
        return {**common, **kv_cache}
    return {**common, **kv_cache, "VLLM_CPU_OMP_THREADS_BIND": _cores(plan, replica)}


def _gpus(plan: EnginePlan, replica: int, visible: str | None) -> str:
    every = visible.split(",") if visible else [str(number) for number in range(plan.gpus_each * plan.replicas)]
    return ",".join(every[replica * plan.gpus_each : (replica + 1) * plan.gpus_each])


def _cores(plan: EnginePlan, replica: int) -> str:
    """One replica's cores, dealt out to its ranks as vLLM writes it: `0,1|2,3` for two ranks on four cores."""
    ranks = plan.tensor_parallel_size
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // (ranks * plan.replicas))
    first = replica * ranks
    groups = [cores[(first + rank) * share : (first + rank + 1) * share] for rank in range(ranks)]
    return "|".join(",".join(map(str, group or cores)) for group in groups)
