"""Small checkpoints for tests, made of bytes: sound by default, so that a test says only what is wrong with its own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 8,
    "max_position_embeddings": 4096,
}
TENSORS: dict[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (8, 16),
    "model.layers.0.self_attn.q_proj.weight": (16, 16),
    "model.layers.1.self_attn.q_proj.weight": (16, 16),
}
TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"


def safetensors(tensors: Mapping[str, tuple[int, ...]], *, dtype: str = "BF16", width: int = 2) -> bytes:
    """A safetensors file of zeros. `width` is the bytes of one number."""
    header, end = {}, 0
    for name, shape in tensors.items():
        begin, end = end, end + math.prod(shape) * width
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    return raw_safetensors(header, b"\0" * end)


def raw_safetensors(header: Any, data: bytes = b"") -> bytes:
    """A file with any header at all, also one that lies."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def sound_checkpoint(**changed: bytes | None) -> dict[str, bytes]:
    """File names and contents. `changed` replaces one by its name with `_` for `.` (None removes it)."""
    files = {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": safetensors(TENSORS),
        "tokenizer.json": TOKENIZER,
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": TEMPLATE.encode(),
    }
    by_key = {name.replace(".", "_"): name for name in files}
    for key, content in changed.items():
        name = by_key[key]
        if content is None:
            del files[name]
        else:
            files[name] = content
    return files


def config(**changed: Any) -> bytes:
    """The sound config with some keys changed; None removes one."""
    return json.dumps({key: value for key, value in (CONFIG | changed).items() if value is not None}).encode()


TOKENIZER = json.dumps(
    {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "truncation": None,
        "padding": None,
        "model": {"type": "BPE", "dropout": None, "unk_token": "a", "vocab": {"a": 0, "b": 1}, "merges": []},
    }
).encode()
