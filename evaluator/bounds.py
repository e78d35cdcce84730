"""What a stranger's checkpoint declares of itself, held against sane bounds and against its own weights.

Everything here needs the config and the headers of the weight files only, so it is decided before the weights are
downloaded. Facts about real models: DeepSeek-R1 has 128 heads, 61 layers, hidden 7168; Llama-3.1-405B 126 layers,
hidden 16,384; vocabularies reach 262,144 (Gemma); contexts 10,485,760 (Llama 4 Scout).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from evaluator.checkpoint import ModelShape
from evaluator.errors import CheckpointRejected
from evaluator.weights import Tensor

ARCHITECTURES = Path(__file__).parent / "data" / "architectures.txt"
MOST = {
    "layers": 1_000,
    "hidden": 131_072,
    "heads": 1_024,
    "kv_heads": 1_024,
    "head_dim": 8_192,
    "vocab": 4_194_304,
    "context": 16_777_216,
}
LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")
EMBEDDINGS = re.compile(r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight")
TOWERS = re.compile(r"(?:^|\.)(?:visual|vision\w*|audio\w*|image\w*)\.")
"""Parts of a multimodal model that have layers and embeddings of their own."""


def check_config(config: Mapping[str, Any], shape: ModelShape) -> None:
    """That the engine has a class of its own for the architecture, and that no declared size is absurd.

    Raises:
        CheckpointRejected: names the key, the value and what is accepted.
    """
    _check_architecture(config.get("architectures"))
    for name, most in MOST.items():
        value = getattr(shape, name)
        if value > most:
            raise CheckpointRejected(f"config.json declares {name} {value:,}, at most {most:,} is believed")
    if shape.heads % shape.kv_heads:
        raise CheckpointRejected(
            f"config.json declares {shape.heads} attention heads and {shape.kv_heads} KV heads; the first must be a "
            "multiple of the second"
        )


def check_weights(
    shape: ModelShape, headers: Mapping[str, tuple[Tensor, ...]], index: Mapping[str, Any] | None = None
) -> None:
    """That the weights are those of the model which the config declares.

    `headers` holds the tensors of every weight file, `index` the content of model.safetensors.index.json. Quantized
    weights are packed; of theirs only names are compared.

    Raises:
        CheckpointRejected: layers are missing, the embedding has another size, or the index names what is not there.
    """
    if not headers:
        raise CheckpointRejected("there are no *.safetensors weights; save the model with safe_serialization")
    if index is not None:
        _check_index(index, headers)
    own = [tensor for tensors in headers.values() for tensor in tensors if not TOWERS.search(tensor.name)]
    layers = 1 + max((_layer(tensor.name) for tensor in own), default=-1)
    if 0 < layers < shape.layers:
        raise CheckpointRejected(
            f"config.json declares {shape.layers} layers, the weight files hold {layers}; upload all of them"
        )
    for tensor in own:
        if EMBEDDINGS.search(tensor.name) and len(tensor.shape) == 2 and tensor.dtype in ("BF16", "F16", "F32"):
            _check_embedding(tensor, shape)


def _check_embedding(tensor: Tensor, shape: ModelShape) -> None:
    rows, width = tensor.shape
    # Some families share an embedding that is narrower or padded, so only what cannot be served is refused.
    if rows < shape.vocab or width > max(shape.hidden, 1):
        raise CheckpointRejected(
            f"config.json declares a vocabulary of {shape.vocab:,} and hidden size {shape.hidden:,}, but "
            f"{tensor.name} is {rows:,} x {width:,}; the config and the weights are not of one model"
        )


def _check_architecture(declared: Any) -> None:
    names = [name for name in declared if isinstance(name, str)] if isinstance(declared, list) else []
    if not names:
        raise CheckpointRejected("config.json names no architecture; save the model with save_pretrained")
    if not any(name in native_architectures() for name in names):
        near = get_close_matches(names[0], native_architectures(), n=1)
        hint = f"; the nearest is {near[0]}" if near else ""
        raise CheckpointRejected(
            f"vLLM has no class of its own for {names[0][:80]!r}{hint}; models that bring their own code are not served"
        )


@cache
def native_architectures() -> frozenset[str]:
    """Architectures that the pinned vLLM serves with its own code. Made by `scripts/vllm_architectures.py`."""
    return frozenset(ARCHITECTURES.read_text(encoding="utf-8").split())


def _check_index(index: Mapping[str, Any], headers: Mapping[str, Iterable[Tensor]]) -> None:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointRejected("model.safetensors.index.json has no weight_map; save the model again")
    held = {file: {tensor.name for tensor in tensors} for file, tensors in headers.items()}
    for name, file in weight_map.items():
        if not isinstance(file, str) or file not in held:
            raise CheckpointRejected(
                f"model.safetensors.index.json places {name[:80]!r} in {str(file)[:80]!r}, which is not among the "
                "weight files; upload it, or save the model again"
            )
        if name not in held[file]:
            raise CheckpointRejected(
                f"model.safetensors.index.json places {name[:80]!r} in {file}, which does not hold it; save the model "
                "again"
            )


def _layer(name: str) -> int:
    found = LAYER.search(name)
    return int(found[1]) if found and len(found[1]) <= 6 else -1
