"""How a checkpoint will be served: tensor parallel size, context, KV cache, and the exact vLLM command."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator.checkpoint import ModelShape
from evaluator.devices import GIB, Devices
from evaluator.errors import PlanRejected

BYTES_PER_ELEMENT = 2  # bfloat16, weights and KV cache
GPU_MEMORY_UTILIZATION = 0.9
ACTIVATION_BYTES = 3 * GIB  # per GPU: activations, CUDA graphs, NCCL buffers
USEFUL_CONCURRENCY = 8  # full-length answers that should fit at once
LARGEST_NUM_SEQS = 256
CPU_KV_SHARE = 0.25  # of the machine's memory


@dataclass(frozen=True, kw_only=True, slots=True)
class EnginePlan:
    """One vLLM server. `reasons` says in words why each number is what it is."""

    device: str
    tensor_parallel_size: int
    max_model_len: int
    max_num_seqs: int
    kv_cache_bytes: int
    reasons: tuple[str, ...]


def plan_engine(
    shape: ModelShape,
    *,
    devices: Devices,
    prompt_tokens: int,
    max_tokens: int,
    tensor_parallel_size: int | None = None,
) -> EnginePlan:
    """The smallest tensor parallel size that divides the heads and leaves room for useful concurrency.

    `prompt_tokens` is the longest rendered prompt. The context is prompt plus budget, never the budget alone.

    Raises:
        PlanRejected: the model's context is too short, no size divides its heads, or it does not fit.
    """
    context = prompt_tokens + max_tokens
    if context > shape.context:
        raise PlanRejected(
            f"prompt ({prompt_tokens}) plus answer budget ({max_tokens}) is {context} tokens, but the model's context "
            f"is {shape.context}; use --max-tokens {max(1, shape.context - prompt_tokens)} or fewer (such a row is "
            "shown, not ranked)"
        )
    sizes = [size for size in _divisors(shape, devices.count) if tensor_parallel_size in (None, size)]
    if not sizes:
        raise PlanRejected(_no_size(shape, devices, tensor_parallel_size))
    if devices.kind == "cpu":
        return _cpu_plan(shape, devices, context, sizes[0])
    return _gpu_plan(shape, devices, context, sizes, chosen=tensor_parallel_size is not None)


def kv_bytes_per_token(shape: ModelShape) -> int:
    """Bytes of KV cache that one token needs, over all layers, before tensor parallel splits it."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * BYTES_PER_ELEMENT


def _divisors(shape: ModelShape, most: int) -> list[int]:
    """Sizes that divide the query heads and split (or evenly repeat) the KV heads."""
    return [
        size
        for size in range(1, most + 1)
        if shape.heads % size == 0 and (shape.kv_heads % size == 0 or size % shape.kv_heads == 0)
    ]


def _no_size(shape: ModelShape, devices: Devices, asked: int | None) -> str:
    usable = ", ".join(map(str, _divisors(shape, devices.count))) or "none"
    return (
        f"tensor parallel size {asked or 'any'} does not work: the model has {shape.heads} attention heads and "
        f"{shape.kv_heads} KV heads, this machine {devices}; use one of: {usable}"
    )


def _cpu_plan(shape: ModelShape, devices: Devices, context: int, size: int) -> EnginePlan:
    available = int(devices.memory_bytes * CPU_KV_SHARE)
    wanted = kv_bytes_per_token(shape) * context * LARGEST_NUM_SEQS
    kv_cache = max(GIB, min(available, wanted) // GIB * GIB)
    if shape.weight_bytes + kv_cache > devices.memory_bytes:
        raise PlanRejected(
            f"{shape.weight_bytes / GIB:.1f} GiB of weights do not fit this machine's "
            f"{devices.memory_bytes / GIB:.0f} GiB of memory; evaluate on a larger machine or a GPU"
        )
    return EnginePlan(
        device="cpu",
        tensor_parallel_size=size,
        max_model_len=context,
        max_num_seqs=LARGEST_NUM_SEQS,
        kv_cache_bytes=kv_cache,
        reasons=(
            f"device: no GPU found, so vLLM's CPU build on {devices}",
            f"tensor parallel {size}: {shape.heads} heads, {devices.count} cores",
            f"context {context}: longest prompt plus answer budget",
            f"KV cache {kv_cache / GIB:.0f} GiB: {kv_cache // kv_bytes_per_token(shape):,} tokens",
        ),
    )


def _gpu_plan(shape: ModelShape, devices: Devices, context: int, sizes: Sequence[int], *, chosen: bool) -> EnginePlan:
    per_answer = kv_bytes_per_token(shape) * context
    for size in sizes:
        usable = size * (int(devices.memory_bytes * GPU_MEMORY_UTILIZATION) - ACTIVATION_BYTES)
        kv_cache = usable - shape.weight_bytes
        answers = kv_cache // per_answer
        if answers >= USEFUL_CONCURRENCY or (answers >= 1 and (chosen or size == sizes[-1])):
            return EnginePlan(
                device="cuda",
                tensor_parallel_size=size,
                max_model_len=context,
                max_num_seqs=LARGEST_NUM_SEQS,
                kv_cache_bytes=kv_cache,
                reasons=(
                    f"device: {devices}",
                    f"tensor parallel {size}: the smallest of {list(sizes)} that leaves room for {USEFUL_CONCURRENCY} "
                    f"full-length answers beside {shape.weight_bytes / GIB:.1f} GiB of weights"
                    if answers >= USEFUL_CONCURRENCY
                    else f"tensor parallel {size}: room for {answers} full-length answers only",
                    f"context {context}: longest prompt plus answer budget",
                    f"KV cache {kv_cache / GIB:.0f} GiB: {answers} answers of {context} tokens at once",
                ),
            )
    raise PlanRejected(
        f"{shape.weight_bytes / GIB:.1f} GiB of weights and one answer of {context} tokens "
        f"({per_answer / GIB:.1f} GiB of KV cache) do not fit {devices}; use more or larger GPUs, or fewer --max-tokens"
    )


def server_command(plan: EnginePlan, *, python: str, folder: Path, served_name: str, port: int) -> list[str]:
    """The exact command line of the server.

    The checkpoint's own sampling defaults are switched off (`--generation-config vllm`): they would decide scores in
    silence. On the CPU prefill is not chunked, because vLLM's CPU generator refuses a seed for a chunked one.
    """
    command = [python, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(folder), "--served-model-name", served_name]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--max-model-len", str(plan.max_model_len), "--max-num-seqs", str(plan.max_num_seqs)]
    command += ["--tensor-parallel-size", str(plan.tensor_parallel_size), "--dtype", "bfloat16"]
    command += ["--load-format", "safetensors", "--generation-config", "vllm", "--disable-uvicorn-access-log"]
    if plan.device == "cpu":
        batched = str(max(plan.max_model_len, 2048))
        return [*command, "--enforce-eager", "--no-enable-chunked-prefill", "--max-num-batched-tokens", batched]
    return [*command, "--gpu-memory-utilization", str(GPU_MEMORY_UTILIZATION)]


def server_environment(plan: EnginePlan) -> dict[str, str]:
    """What the server needs in its environment beside the clean base."""
    common = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if plan.device != "cpu":
        return common
    kv_cache = {"VLLM_CPU_KVCACHE_SPACE": str(plan.kv_cache_bytes // GIB)}
    if plan.tensor_parallel_size == 1:
        return {**common, **kv_cache}
    return {**common, **kv_cache, "VLLM_CPU_OMP_THREADS_BIND": _core_groups(plan.tensor_parallel_size)}


def _core_groups(ranks: int) -> str:
    """The cores of this process dealt out evenly, as vLLM writes it: `0,1|2,3` for two ranks on four cores."""
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // ranks)
    return "|".join(",".join(map(str, cores[rank * share : (rank + 1) * share])) for rank in range(ranks))
