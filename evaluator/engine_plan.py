"""How a checkpoint will be served: parallel sizes, replicas, context and KV cache, with the reasons in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluator.checkpoint import ModelShape
from evaluator.devices import GIB, Devices
from evaluator.errors import PlanRejected
from evaluator.kv_memory import kv_bytes_per_token, kv_tokens

USEFUL_CONCURRENCY = 8  # full-length answers that should fit at once
FEWEST_SEQS, MOST_SEQS, CPU_SEQS = 64, 1024, 256
BATCHED_TOKENS, BATCHED_TOKENS_SMALL_GPU, SMALL_GPU_BYTES = 8192, 4096, 30 * GIB
CPU_KV_SHARE = 0.25  # of the machine's memory


@dataclass(frozen=True, kw_only=True, slots=True)
class EnginePlan:
    """`replicas` equal vLLM servers behind one queue. `reasons` says in words why each number is what it is.

    `kv_cache_bytes` and `kv_cache_tokens` are one server's.
    """

    device: str
    tensor_parallel_size: int
    max_model_len: int
    max_num_seqs: int
    kv_cache_bytes: int
    reasons: tuple[str, ...]
    max_num_batched_tokens: int = BATCHED_TOKENS
    kv_cache_tokens: int = 0
    pipeline_parallel_size: int = 1
    replicas: int = 1

    @property
    def gpus_each(self) -> int:
        """GPUs (or ranks) of one server."""
        return self.tensor_parallel_size * self.pipeline_parallel_size


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What a person may ask for instead of what would be planned."""

    tensor_parallel_size: int | None = None
    replicas: int | None = None


def plan_engine(
    shape: ModelShape,
    *,
    devices: Devices,
    prompt_tokens: int,
    max_tokens: int,
    tensor_parallel_size: int | None = None,
    replicas: int | None = None,
    mean_tokens: float | None = None,
) -> EnginePlan:
    """The smallest tensor parallel size that divides the heads and leaves room for useful concurrency, and as many such
    servers as there are GPUs for.

    `prompt_tokens` is the longest rendered prompt. The context is prompt plus budget, never the budget alone.
    `mean_tokens` is what an answer is expected to take (the whole budget unless given): it decides how many requests a
    server may run at once. A model too large for one node is split over several by layers (pipeline parallel).

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
    sizes = [size for size in divisors(shape, devices.count) if tensor_parallel_size in (None, size)]
    if not sizes:
        raise PlanRejected(_no_size(shape, devices, tensor_parallel_size))
    if devices.kind == "cpu":
        return _cpu_plan(shape, devices, context, sizes[0], replicas or devices.nodes)
    typical = prompt_tokens + (mean_tokens or max_tokens) / 2
    return _gpu_plan(
        shape, devices, context, typical, sizes, Wishes(tensor_parallel_size=tensor_parallel_size, replicas=replicas)
    )


def divisors(shape: ModelShape, most: int) -> list[int]:
    """Sizes that divide the query heads and split (or evenly repeat) the KV heads, which latent attention lacks."""
    return [
        size
        for size in range(1, most + 1)
        if shape.heads % size == 0 and (shape.latent_dim or shape.kv_heads % size == 0 or size % shape.kv_heads == 0)
    ]


def _no_size(shape: ModelShape, devices: Devices, asked: int | None) -> str:
    usable = ", ".join(map(str, divisors(shape, devices.count))) or "none"
    return (
        f"tensor parallel size {asked or 'any'} does not work: the model has {shape.heads} attention heads and "
        f"{shape.kv_heads} KV heads, this machine {devices}; use one of: {usable}"
    )


def _cpu_plan(shape: ModelShape, devices: Devices, context: int, size: int, replicas: int) -> EnginePlan:
    each = -(-replicas // devices.nodes)  # servers of one node
    available = int(devices.memory_bytes * CPU_KV_SHARE) // each
    per_token = kv_bytes_per_token(shape)
    kv_cache = max(GIB, min(available, per_token * context * CPU_SEQS) // GIB * GIB)
    if each * (shape.weight_bytes + kv_cache) > devices.memory_bytes:
        raise PlanRejected(
            f"{each * shape.weight_bytes / GIB:.1f} GiB of weights do not fit this machine's "
            f"{devices.memory_bytes / GIB:.0f} GiB of memory; evaluate on a larger machine or a GPU"
        )
    return EnginePlan(
        device="cpu",
        tensor_parallel_size=size,
        max_model_len=context,
        max_num_seqs=CPU_SEQS,
        max_num_batched_tokens=max(context, 2048),
        kv_cache_bytes=kv_cache,
        kv_cache_tokens=kv_cache // per_token,
        replicas=replicas,
        reasons=(
            f"device: no GPU found, so vLLM's CPU build on {devices}",
            f"tensor parallel {size}: {shape.heads} heads, {devices.count} cores",
            f"replicas {replicas}: {'one on each node' if replicas == devices.nodes else 'as asked'}, with every core",
            f"context {context}: longest prompt plus answer budget",
            f"KV cache {kv_cache / GIB:.0f} GiB: {kv_cache // per_token:,} tokens",
            "prefill in one piece: vLLM's CPU generator refuses a seed for a chunked one",
        ),
    )


def _shapes(devices: Devices, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(tensor, pipeline) parallel sizes, smallest first: within one node, then whole nodes one after another."""
    yield from ((size, 1) for size in sizes)
    yield from ((sizes[-1], nodes) for nodes in range(2, devices.nodes + 1))


def _gpu_plan(
    shape: ModelShape, devices: Devices, context: int, typical: float, sizes: Sequence[int], wishes: Wishes
) -> EnginePlan:
    chosen = wishes.tensor_parallel_size is not None
    shapes = list(_shapes(devices, sizes))
    fits = {pair: kv_tokens(shape, devices, *pair) for pair in shapes}
    useful = next((pair for pair in shapes if fits[pair] >= USEFUL_CONCURRENCY * context), None)
    at_all = [pair for pair in shapes if fits[pair] >= context]
    if useful is None and not at_all:
        raise PlanRejected(_does_not_fit(shape, devices, context))
    pair = at_all[0] if chosen and at_all else useful or at_all[-1]
    tensor, pipeline = pair
    tokens = fits[pair]
    possible = devices.count // tensor * devices.nodes if pipeline == 1 else devices.nodes // pipeline
    if wishes.replicas is not None and wishes.replicas > possible:
        raise PlanRejected(
            f"{wishes.replicas} replicas of {tensor * pipeline} GPUs each do not fit {devices}; at most {possible} do"
        )
    replicas = wishes.replicas or possible
    seqs = _seqs(tokens, typical)
    small = devices.memory_bytes < SMALL_GPU_BYTES
    return EnginePlan(
        device="cuda",
        tensor_parallel_size=tensor,
        pipeline_parallel_size=pipeline,
        replicas=replicas,
        max_model_len=context,
        max_num_seqs=seqs,
        max_num_batched_tokens=BATCHED_TOKENS_SMALL_GPU if small else BATCHED_TOKENS,
        kv_cache_bytes=tokens * kv_bytes_per_token(shape),
        kv_cache_tokens=tokens,
        reasons=_reasons(shape, devices, pair, sizes, replicas, context, tokens, seqs, chosen=chosen),
    )


def _seqs(tokens: int, typical: float) -> int:
    """Enough that the cache, not this number, is the limit: what fits half way through answers of typical length."""
    wanted = int(tokens / max(typical, 1.0) * 1.25) + 1
    return min(MOST_SEQS, max(FEWEST_SEQS, -(-wanted // 64) * 64))


def _reasons(
    shape: ModelShape,
    devices: Devices,
    pair: tuple[int, int],
    sizes: Sequence[int],
    replicas: int,
    context: int,
    tokens: int,
    seqs: int,
    *,
    chosen: bool,
) -> tuple[str, ...]:
    tensor, pipeline = pair
    answers = tokens // context
    room = (
        f"room for {USEFUL_CONCURRENCY} full-length answers beside {shape.weight_bytes / GIB:.1f} GiB of weights"
        if answers >= USEFUL_CONCURRENCY
        else f"room for {answers} full-length answers only"
    )
    why = "as asked; " if chosen else f"the smallest of {list(sizes)} that leaves " if pipeline == 1 else ""
    attention = (
        f"latent attention: {shape.latent_dim} numbers per token and layer, whole on every GPU"
        if shape.latent_dim
        else f"{shape.kv_heads} KV heads of {shape.head_dim} in {shape.layers} layers"
    )
    experts = (
        (f"{shape.experts} experts, {shape.experts_per_token} per token: all of them are held in memory",)
        if shape.experts
        else ()
    )
    nodes = (
        (f"pipeline parallel {pipeline}: one node does not hold it, the layers are dealt out",) if pipeline > 1 else ()
    )
    return (
        f"device: {devices}",
        f"tensor parallel {tensor}: {why}{room}",
        *nodes,
        f"replicas {replicas}: {devices.count * devices.nodes} GPUs, {tensor * pipeline} each{_elsewhere(devices)}",
        *experts,
        f"context {context}: longest prompt plus answer budget",
        f"KV cache {tokens * kv_bytes_per_token(shape) / GIB:.0f} GiB, {tokens:,} tokens in each server ({attention}): "
        f"{answers} answers of {context} tokens at once",
        f"at most {seqs} requests in one server: what the cache holds half way through answers of expected length",
    )


def _elsewhere(devices: Devices) -> str:
    """Servers of other nodes are started by Ray."""
    return "; a Ray cluster starts those of other nodes (OPEN_R1_RAY)" if devices.nodes > 1 else ""


def _does_not_fit(shape: ModelShape, devices: Devices, context: int) -> str:
    return (
        f"{shape.weight_bytes / GIB:.1f} GiB of weights and one answer of {context} tokens "
        f"({kv_bytes_per_token(shape) * context / GIB:.1f} GiB of KV cache) do not fit {devices}; use more or larger "
        "GPUs, or fewer --max-tokens"
    )
