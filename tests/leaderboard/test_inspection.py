"""A checkpoint on the Hub is judged by its small files and the headers of its weights, before any weights come."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluator.errors import CheckpointRejected
from leaderboard.hub import FIRST_BYTES, download_checkpoint, resolve_commit
from leaderboard.inspection import inspect_folder, inspect_revision
from tests.checkpoints import TENSORS, config, raw_safetensors, safetensors, sound_checkpoint
from tests.fakes.hub_server import FakeHub

pytestmark = pytest.mark.skipif(
    os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"),
    reason="HF_HUB_OFFLINE keeps the Hub's client from asking even a server on loopback",
)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_commit_is_inspected_without_its_weights_and_a_folder_says_the_same(hub: FakeHub, tmp_path: Path) -> None:
    files = {**sound_checkpoint(config_json=config(auto_map={"AutoModel": "x.Y"})), "modeling.py": b"raise SystemExit"}
    large = safetensors({**TENSORS, "lm_head.weight": (8, 400_000)})
    files["model.safetensors"] = large
    hub.add("org/model", files)
    revision = resolve_commit("org/model", endpoint=hub.root)
    found = inspect_revision(revision, tmp_path / "hub", endpoint=hub.root)
    assert found.shape.weight_bytes == len(large)
    assert found.elements == {"BF16": 640 + 8 * 400_000}
    assert found.parameters == 640 + 8 * 400_000
    assert found.auto_map
    assert found.ignored == ("modeling.py",)
    assert not (tmp_path / "hub" / "model.safetensors").exists()
    assert found == inspect_folder(put(tmp_path / "folder", files))
    assert len(large) > 10 * FIRST_BYTES


def test_a_download_after_the_inspection_fetches_the_weights_alone(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", sound_checkpoint())
    inspect_revision(resolve_commit("org/model", endpoint=hub.root), tmp_path, endpoint=hub.root)
    before = len(hub.downloads)
    download_checkpoint("org/model", commit, tmp_path, endpoint=hub.root)
    assert {name for _, _, name in hub.downloads[before:]} == {"model.safetensors"}


def test_a_header_longer_than_the_first_read_is_read_whole(hub: FakeHub, tmp_path: Path) -> None:
    many = {f"model.layers.{n % 2}.expert.{n}.weight": (1, 2) for n in range(4_000)}
    hub.add("org/model", sound_checkpoint(model_safetensors=safetensors({**TENSORS, **many})))
    found = inspect_revision(resolve_commit("org/model", endpoint=hub.root), tmp_path, endpoint=hub.root)
    assert found.parameters == 640 + 8_000


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (sound_checkpoint(model_safetensors=raw_safetensors({"w": {"dtype": "F32"}})), "no shape and place"),
        (sound_checkpoint(model_safetensors=b"\x80\x04\x95pickle" * 20), "does not begin with the length"),
        (sound_checkpoint(config_json=config(num_hidden_layers=3)), "declares 3 layers, the weight files hold 2"),
        (sound_checkpoint(config_json=config(vocab_size=9)), "not of one model"),
        (sound_checkpoint(config_json=config(hidden_size=8)), "not of one model"),
        (sound_checkpoint(config_json=config(architectures=["EvilForCausalLM"])), "no class of its own"),
        (sound_checkpoint(config_json=config(architectures=None)), "names no architecture"),
        (sound_checkpoint(config_json=config(num_attention_heads=1 << 40, head_dim=8)), "at most 1,024 is believed"),
        (sound_checkpoint(config_json=config(max_position_embeddings=10**12)), "is believed"),
        (sound_checkpoint(chat_template_jinja=None), "has no chat template"),
        (
            {**sound_checkpoint(), "model.safetensors.index.json": b'{"weight_map": {"w": "../../etc/passwd"}}'},
            "not among the weight files",
        ),
        (
            {**sound_checkpoint(), "model.safetensors.index.json": b'{"weight_map": {"w": "model.safetensors"}}'},
            "which does not hold it",
        ),
    ],
)
def test_what_is_not_what_it_says_is_refused_before_the_weights_come(
    hub: FakeHub, tmp_path: Path, files: dict[str, bytes], says: str
) -> None:
    hub.add("org/model", files)
    with pytest.raises(CheckpointRejected, match=says):
        inspect_revision(resolve_commit("org/model", endpoint=hub.root), tmp_path / "hub", endpoint=hub.root)
    assert not (tmp_path / "hub" / "model.safetensors").exists()
    with pytest.raises(CheckpointRejected, match=says):
        inspect_folder(put(tmp_path / "folder", files))


def test_an_index_that_tells_the_truth_is_accepted(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": dict.fromkeys(TENSORS, "model.safetensors")}).encode()
    folder = put(tmp_path, {**sound_checkpoint(), "model.safetensors.index.json": index})
    assert inspect_folder(folder).shape.layers == 2
