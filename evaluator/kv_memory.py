"""How much memory answers need: the KV cache of one token, and how many answers fit beside the weights.

* Plain and grouped attention keep a key and a value per KV head and layer. Tensor parallel deals the KV heads out, and
  repeats them where there are more GPUs than heads.
* Latent attention (MLA, DeepSeek) keeps one compressed vector per layer, which every GPU of a tensor parallel group
  holds whole: more GPUs leave more room only because each holds less of the weights.
* Pipeline parallel deals out the layers. Experts are weights like any others.
"""

from __future__ import annotations

from evaluator.checkpoint import ModelShape
from evaluator.devices import GIB, Devices

BYTES_PER_ELEMENT = 2  # bfloat16, weights and KV cache
GPU_MEMORY_UTILIZATION = 0.9
ACTIVATION_BYTES = 3 * GIB  # per GPU: activations, CUDA graphs, NCCL buffers


def kv_bytes_per_token(shape: ModelShape) -> int:
    """Bytes of KV cache that one token needs, over all layers, before anything is split."""
    per_layer = shape.latent_dim or 2 * shape.kv_heads * shape.head_dim
    return shape.layers * per_layer * BYTES_PER_ELEMENT


def kv_bytes_per_gpu(shape: ModelShape, tensor_parallel: int, pipeline_parallel: int = 1) -> float:
    """Bytes of KV cache that one token needs on each GPU that holds a part of it."""
    whole = kv_bytes_per_token(shape) / pipeline_parallel
    return whole if shape.latent_dim else whole / min(tensor_parallel, shape.kv_heads)


def kv_tokens(
    shape: ModelShape,
    devices: Devices,
    tensor_parallel: int,
    pipeline_parallel: int = 1,
    *,
    utilization: float = GPU_MEMORY_UTILIZATION,
) -> int:
    """Tokens that fit in the KV cache of one server on `tensor_parallel` x `pipeline_parallel` GPUs; at least 0."""
    weights = shape.weight_bytes / (tensor_parallel * pipeline_parallel)
    free = devices.memory_bytes * utilization - ACTIVATION_BYTES - weights
    return max(0, int(free / kv_bytes_per_gpu(shape, tensor_parallel, pipeline_parallel)))
