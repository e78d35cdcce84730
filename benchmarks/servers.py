"""Server shapes for the simulations: sizes from the models' own configurations, speeds from one GPU's data sheet.

Decoding reads the weights once a step and every token of context; prefill computes. The shares of the peak that a
server reaches are stated here; the conclusions are drawn over ranges of them (three prefill speeds, two links).
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.simulator import ServerShape

GIB = 1 << 30
LONGEST_ANSWER = 32_768
BLOCK_TOKENS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU: memory in bytes, bytes/s of it, FLOP/s in bfloat16 that a prefill reaches, bytes/s to the host."""

    memory: float
    bandwidth: float
    prefill_flops: float
    link: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A dense decoder: parameters, layers, KV heads, head dimension, query heads."""

    parameters: float
    layers: int
    kv_heads: int
    heads: int
    head_dim: int = 128

    @property
    def kv_bytes(self) -> int:
        """Bytes of KV cache per token in bfloat16."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


H100 = Gpu(memory=80e9, bandwidth=0.75 * 3.35e12, prefill_flops=0.45 * 989e12, link=50e9)
QWEN_7B = Model(parameters=7.6e9, layers=28, kv_heads=4, heads=28)
QWEN_32B = Model(parameters=32.8e9, layers=64, kv_heads=8, heads=40)
STEP_OVERHEAD_S = 2e-3
SEQUENCE_S = 2e-5
"""Scheduling, sampling and detokenizing per sequence and step."""


def shape_of(model: Model, gpu: Gpu, *, gpus: int = 1, utilization: float = 0.9, watermark: float = 0.0) -> ServerShape:
    """A server of `gpus` GPUs, all of whose memory and speed it uses together."""
    weights = 2 * model.parameters
    kv_bytes = gpus * gpu.memory * utilization - weights - gpus * 3 * GIB
    return ServerShape(
        kv_blocks=int(kv_bytes / model.kv_bytes / BLOCK_TOKENS),
        block_tokens=BLOCK_TOKENS,
        watermark=watermark,
        step_s=STEP_OVERHEAD_S + weights / (gpus * gpu.bandwidth),
        sequence_s=SEQUENCE_S,
        context_s=model.kv_bytes / (gpus * gpu.bandwidth),
        prefill_s=2 * model.parameters / (gpus * gpu.prefill_flops),
        attend_s=4 * model.layers * model.heads * model.head_dim / (gpus * gpu.prefill_flops),
    )


SEVEN_B = shape_of(QWEN_7B, H100)
THIRTY_TWO_B = shape_of(QWEN_32B, H100, gpus=2)
