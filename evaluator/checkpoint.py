"""A local checkpoint folder: which weights it holds, what its config declares, and the copy that is served."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.errors import CheckpointRejected
from evaluator.types import Checkpoint, Lineage

# What may reach an engine. Everything else in a folder (pickles, Python files) is ignored.
SERVED_PATTERNS = (
    r".*\.safetensors",
    r"(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json",
    r"model\.safetensors\.index\.json|hf_quant_config\.json|quantize_config\.json",
    r"(preprocessor_config|processor_config)\.json",
    r"merges\.txt|vocab\.txt|tokenizer\.model|.*\.tiktoken",
    r".*\.jinja",
)
# A file beside the config that says what the weights are quantized with, where the config itself does not.
QUANTIZATION_FILES = (("hf_quant_config.json", "modelopt"), ("quantize_config.json", "gptq"))
EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts")
LINEAGE_FILE = "lineage.json"
LARGEST_JSON_BYTES = 64 * 1024 * 1024
READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """What a config declares, as far as planning needs it. Sizes in elements, `weight_bytes` on disk.

    `latent_dim` is what latent attention (MLA) keeps of one token in one layer; None for attention with KV heads.
    `experts` is 0 for a dense model.
    """

    architecture: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    weight_bytes: int
    latent_dim: int | None = None
    experts: int = 0
    experts_per_token: int = 0


def is_served(name: str) -> bool:
    """Whether a file of this name may reach an engine."""
    return "/" not in name and any(re.fullmatch(pattern, name) for pattern in SERVED_PATTERNS)


def served_files(folder: Path) -> list[Path]:
    """The files of a checkpoint that an engine may see, sorted by name. Never descends into folders."""
    return sorted(path for path in folder.iterdir() if path.is_file() and is_served(path.name))


def local_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a local folder, named by its content.

    A folder that was trained here holds `lineage.json`: it appears as `local/<run>` at revision `<run>-step-<step>`;
    any other as `local/<folder name>`.

    Raises:
        CheckpointRejected: no folder, no config.json, or no safetensors weights.
    """
    if not folder.is_dir():
        raise CheckpointRejected(f"{folder} is not a folder; give a Hub id (owner/name) or a folder with a checkpoint")
    read_config(folder)
    files = served_files(folder)
    if not any(path.suffix == ".safetensors" for path in files):
        raise CheckpointRejected(f"{folder} holds no *.safetensors weights; save the model with safe_serialization")
    lineage = read_lineage(folder)
    name = lineage.run if lineage else folder.resolve().name
    return Checkpoint(
        model=f"local/{board_name(name)}",
        revision=checkpoint_revision(lineage) if lineage else None,
        commit=f"sha256:{_content_hash(files)}",
        path=folder.resolve(),
        lineage=lineage,
    )


def checkpoint_revision(lineage: Lineage) -> str:
    """What a checkpoint of a run is called beside its model's name: `<run>-step-<9 digits>`."""
    return f"{lineage.run}-step-{lineage.step:09d}"


def board_name(name: str) -> str:
    """A folder or run name as it may stand in a model id: letters, digits, dot, dash, underscore."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
    return cleaned[:90] or "checkpoint"


def read_lineage(folder: Path) -> Lineage | None:
    """Where a checkpoint trained here comes from, or None."""
    path = folder / LINEAGE_FILE
    if not path.is_file():
        return None
    data = read_json(path)
    try:
        return Lineage(
            run=str(data["run"]),
            step=int(data["step"]),
            recipe_hash=str(data["recipe_hash"]),
            parent=data.get("parent"),
            tokens=data.get("tokens"),
            data=data.get("data"),
            code=data.get("code"),
            device=data.get("device"),
            hours=data.get("hours"),
            method=data.get("method"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointRejected(f"{path} is not a lineage record: {error!r}; delete it or train again") from error


def read_config(folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json, size-limited. Raises CheckpointRejected where missing or malformed."""
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointRejected(f"{folder} has no config.json; it is not a Hugging Face checkpoint")
    return read_json(path)


def read_shape(folder: Path) -> ModelShape:
    """Heads, layers and sizes as the config declares them (the text model's, where a config nests one).

    Raises:
        CheckpointRejected: a number that planning needs is missing or not a positive integer.
    """
    config = read_config(folder)
    nested = config.get("text_config")
    text: dict[str, Any] = nested if isinstance(nested, dict) else config
    heads = _positive(text, "num_attention_heads", folder)
    hidden = _positive(text, "hidden_size", folder)
    architectures = config.get("architectures")
    return ModelShape(
        architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else "unknown",
        layers=_positive(text, "num_hidden_layers", folder),
        hidden=hidden,
        heads=heads,
        kv_heads=_positive({"num_key_value_heads": heads} | _given(text), "num_key_value_heads", folder),
        head_dim=_positive({"head_dim": hidden // heads} | _given(text), "head_dim", folder),
        vocab=_positive(text, "vocab_size", folder),
        context=_positive(text, "max_position_embeddings", folder),
        weight_bytes=sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        latent_dim=_latent_dim(text, folder),
        experts=next((_positive(text, name, folder) for name in EXPERTS if text.get(name)), 0),
        experts_per_token=_positive(text, "num_experts_per_tok", folder) if text.get("num_experts_per_tok") else 0,
    )


def _latent_dim(config: dict[str, Any], folder: Path) -> int | None:
    """Numbers that latent attention keeps per token and layer: the compressed vector, the rotated part of the key."""
    if not config.get("kv_lora_rank"):
        return None
    return _positive(config, "kv_lora_rank", folder) + _positive(config, "qk_rope_head_dim", folder)


def read_quantization(folder: Path) -> str | None:
    """How the weights are quantized, as the checkpoint declares it: `fp8`, `gptq`, `awq`; None where they are not.

    An engine loads such weights as they are, whatever dtype it is asked for.
    """
    config = read_config(folder)
    nested = config.get("text_config")
    for holder in (config, nested if isinstance(nested, dict) else {}):
        for key in ("quantization_config", "compression_config"):
            declared = holder.get(key)
            if declared:
                method = declared.get("quant_method") if isinstance(declared, dict) else None
                return str(method or "unknown")
    return next((method for name, method in QUANTIZATION_FILES if (folder / name).is_file()), None)


def prepare_serving_folder(checkpoint: Path, into: Path) -> Path:
    """A folder that holds links to the served files only, with a config that cannot ask for code. Returns it.

    `auto_map` (the key that names Python files of the repository) is removed from our copy of each config.
    """
    if into.exists():
        shutil.rmtree(into)
    into.mkdir(parents=True)
    for path in served_files(checkpoint):
        if path.name in ("config.json", "tokenizer_config.json"):
            config = {key: value for key, value in read_json(path).items() if key != "auto_map"}
            (into / path.name).write_text(json.dumps(config, indent=2), encoding="utf-8")
        else:
            (into / path.name).symlink_to(path.resolve())
    return into


def _content_hash(files: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        content = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(READ_BYTES):
                content.update(chunk)
        whole.update(f"{path.name}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint, size-limited. Raises CheckpointRejected where it is anything else."""
    check_size(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointRejected(f"{path} is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointRejected(f"{path} holds a {type(data).__name__}, expected an object")
    return data


def check_size(path: Path) -> None:
    """That a file which is read whole is of a size that can be. Raises CheckpointRejected."""
    size = path.stat().st_size
    if size > LARGEST_JSON_BYTES:
        raise CheckpointRejected(f"{path.name} has {size:,} bytes, at most {LARGEST_JSON_BYTES:,} are read")


def _given(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}


def _positive(config: dict[str, Any], name: str, folder: Path) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointRejected(f"{folder}/config.json: {name} is {value!r}, expected a positive integer")
    return value
