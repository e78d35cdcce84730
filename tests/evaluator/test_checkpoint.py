"""A checkpoint is data, never code: what is read, what is served, how it is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluator.checkpoint import local_checkpoint, prepare_serving_folder, read_quantization, read_shape
from evaluator.errors import CheckpointRejected

CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "num_hidden_layers": 3,
    "hidden_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 64,
    "max_position_embeddings": 4096,
    "auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "my model"
    made.mkdir()
    (made / "config.json").write_text(json.dumps(CONFIG))
    (made / "model.safetensors").write_bytes(b"weights")
    (made / "tokenizer.json").write_text("{}")
    (made / "modeling_evil.py").write_text("raise SystemExit")
    (made / "training_args.bin").write_bytes(b"pickle")
    return made


def test_a_folder_is_named_by_its_content_and_keeps_a_name_for_the_board(folder: Path) -> None:
    checkpoint = local_checkpoint(folder)
    assert checkpoint.model == "local/my-model"
    assert checkpoint.commit is not None
    assert checkpoint.commit.startswith("sha256:")
    assert local_checkpoint(folder).commit == checkpoint.commit


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_changed_weights_config_or_tokenizer_are_another_commit(folder: Path, name: str) -> None:
    before = local_checkpoint(folder).commit
    (folder / name).write_text(json.dumps({**CONFIG, "changed": True}))
    assert local_checkpoint(folder).commit != before


def test_files_that_no_engine_sees_do_not_move_the_commit(folder: Path) -> None:
    before = local_checkpoint(folder).commit
    (folder / "training_args.bin").write_bytes(b"other")
    (folder / "README.md").write_text("hello")
    assert local_checkpoint(folder).commit == before


def test_the_served_copy_holds_no_code_and_cannot_ask_for_any(folder: Path, tmp_path: Path) -> None:
    served = prepare_serving_folder(folder, tmp_path / "served")
    assert sorted(path.name for path in served.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert "auto_map" not in json.loads((served / "config.json").read_text())
    assert "auto_map" in json.loads((folder / "config.json").read_text())


def test_a_trained_checkpoint_appears_under_its_run_and_step(folder: Path) -> None:
    (folder / "lineage.json").write_text(json.dumps({"run": "sft", "step": 300, "recipe_hash": "abc"}))
    checkpoint = local_checkpoint(folder)
    assert (checkpoint.model, checkpoint.revision) == ("local/sft", "sft-step-000000300")
    assert checkpoint.lineage is not None
    assert checkpoint.lineage.step == 300


def test_a_folder_without_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointRejected, match=r"no \*\.safetensors"):
        local_checkpoint(folder)


def test_a_path_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointRejected, match="not a folder"):
        local_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointRejected, match=r"no config\.json"):
        local_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["[1]", "{", '{"a":' * 100_000, "\ufeff\x00"])
def test_a_config_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointRejected, match=r"config\.json"):
        local_checkpoint(folder)


@pytest.mark.parametrize("value", [None, 0, -1, "2", True, 1.5])
def test_a_config_with_impossible_sizes_is_refused(folder: Path, value: object) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, "num_attention_heads": value}))
    with pytest.raises(CheckpointRejected, match="num_attention_heads"):
        read_shape(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("num_key_value_heads", "two"), ("head_dim", [64]), ("head_dim", 0), ("hidden_size", 1)]
)
def test_an_optional_size_that_is_no_size_is_refused_by_its_name(folder: Path, name: str, value: object) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, name: value}))
    with pytest.raises(CheckpointRejected, match=rf"config\.json: {'head_dim' if name == 'hidden_size' else name}"):
        read_shape(folder)


def test_an_optional_size_may_be_null(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, "num_key_value_heads": None, "head_dim": None}))
    assert (read_shape(folder).kv_heads, read_shape(folder).head_dim) == (2, 64)


@pytest.mark.parametrize(
    ("more", "method"),
    [
        ({}, None),
        ({"quantization_config": None}, None),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"bits": 4}}, "unknown"),
        ({"text_config": {"quantization_config": {"quant_method": "awq"}}}, "awq"),
    ],
)
def test_quantized_weights_are_known_by_the_config(folder: Path, more: dict[str, object], method: str | None) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **more}))
    assert read_quantization(folder) == method


def test_quantized_weights_are_known_by_the_file_beside_the_config(folder: Path) -> None:
    (folder / "hf_quant_config.json").write_text("{}")
    assert read_quantization(folder) == "modelopt"


def test_sizes_of_a_nested_text_config_are_found(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"architectures": ["Qwen2VL"], "text_config": CONFIG}))
    shape = read_shape(folder)
    assert (shape.heads, shape.kv_heads, shape.head_dim, shape.weight_bytes) == (2, 1, 64, len(b"weights"))
