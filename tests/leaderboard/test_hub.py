"""Checkpoints through the real Hub client from a server that speaks the Hub's protocol."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluator.errors import Cancelled, CheckpointRejected
from leaderboard.hub import Download, download_checkpoint, read_download, resolve_commit
from tests.fakes.hub_server import FakeHub
from tests.fakes.streaming import refused_port

pytestmark = pytest.mark.skipif(
    os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"),
    reason="HF_HUB_OFFLINE keeps the Hub's client from asking even a server on loopback",
)
CONFIG = {"architectures": ["Qwen2ForCausalLM"], "auto_map": {"AutoModel": "modeling.Evil"}, "vocab_size": 100}
GOOD = {
    "config.json": json.dumps(CONFIG).encode(),
    "generation_config.json": b"{}",
    "model-00001-of-00002.safetensors": b"\1" * (2 << 20),
    "model-00002-of-00002.safetensors": b"\2" * 1000,
    "model.safetensors.index.json": b"{}",
    "tokenizer.json": b'{"model": {}}',
    "tokenizer_config.json": b'{"auto_map": {"AutoTokenizer": ["tok.Evil", null]}, "eos_token": "</s>"}',
    "merges.txt": b"a b\n",
    "chat_template.jinja": b"{{ messages }}",
}
BAD = {
    "modeling.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
    "training_args.bin": b"pickle",
    "README.md": b"# hi",
    "onnx/model.safetensors": b"elsewhere",
    ".hidden.safetensors": b"x",
    "odd name;.safetensors": b"x",
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        yield fake


def test_a_branch_becomes_the_commit_it_points_at_and_every_file_is_listed(hub: FakeHub) -> None:
    first = hub.add("org/model", GOOD)
    second = hub.add("org/model", {**GOOD, **BAD})
    hub.add("org/model", GOOD, ref="v1")
    found = resolve_commit("org/model", endpoint=hub.root)
    assert found.commit == second != first
    assert {file.name: file.size for file in found.files} == {name: len(data) for name, data in (GOOD | BAD).items()}
    assert {file.name for file in found.allowed} == set(GOOD)
    assert set(found.ignored) == set(BAD)
    assert resolve_commit("org/model", first, endpoint=hub.root).commit == first
    assert resolve_commit("org/model", "v1", endpoint=hub.root).commit not in (first, second)


def test_only_allow_listed_files_are_ever_downloaded(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", {**GOOD, **BAD})
    folder = download_checkpoint("org/model", commit, tmp_path / "m", endpoint=hub.root)
    assert {name for _, _, name in hub.downloads} == set(GOOD)
    assert {path.name for path in folder.iterdir() if path.is_file()} == {*GOOD, "download.json"}
    for name in set(GOOD) - {"config.json", "tokenizer_config.json"}:
        assert (folder / name).read_bytes() == GOOD[name]


def test_auto_map_is_removed_from_our_copy_and_recorded_with_what_was_ignored(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", {**GOOD, **BAD})
    folder = download_checkpoint("org/model", commit, tmp_path / "m", endpoint=hub.root)
    assert json.loads((folder / "config.json").read_text()) == {k: v for k, v in CONFIG.items() if k != "auto_map"}
    assert json.loads((folder / "tokenizer_config.json").read_text()) == {"eos_token": "</s>"}
    assert read_download(folder) == Download(
        model="org/model",
        commit=commit,
        files=tuple(sorted(GOOD)),
        ignored=tuple(sorted(BAD)),
        auto_map={
            "config.json": {"AutoModel": "modeling.Evil"},
            "tokenizer_config.json": {"AutoTokenizer": ["tok.Evil", None]},
        },
    )


def test_a_whole_download_needs_no_network_a_second_time(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", GOOD)
    download_checkpoint("org/model", commit, tmp_path / "m", endpoint=hub.root)
    (tmp_path / "m" / "config.json").write_bytes(GOOD["config.json"])  # as if killed between record and removal
    hub.stop()
    folder = download_checkpoint("org/model", commit, tmp_path / "m", endpoint=hub.root)
    assert "auto_map" not in json.loads((folder / "config.json").read_text())


def test_a_download_that_was_stopped_goes_on_where_it_stopped(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", GOOD)

    def stop_late(done: int, total: int) -> None:
        if done > 1 << 20:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        download_checkpoint("org/model", commit, tmp_path / "m", progress=stop_late, endpoint=hub.root)
    assert read_download(tmp_path / "m") is None
    download_checkpoint("org/model", commit, tmp_path / "m", endpoint=hub.root)
    assert sorted(name for _, _, name in hub.downloads) == sorted(GOOD), "no file was sent twice"


def test_a_connection_that_breaks_inside_a_file_is_continued(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", GOOD)
    hub.short_by["model-00001-of-00002.safetensors"] = 1000
    folder = download_checkpoint("org/model", commit, tmp_path / "m", endpoint=hub.root)
    for name in ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"):
        assert (folder / name).read_bytes() == GOOD[name]


def test_progress_counts_bytes_up_to_the_whole(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", {**GOOD, **BAD})
    seen: list[tuple[int, int]] = []
    download_checkpoint(
        "org/model", commit, tmp_path / "m", progress=lambda done, total: seen.append((done, total)), endpoint=hub.root
    )
    total = sum(map(len, GOOD.values()))
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("missing", "said"), [("safetensors", r"no \*\.safetensors weights"), ("config.json", "no config.json")]
)
def test_a_repository_without_what_an_engine_needs_is_refused_before_any_download(
    hub: FakeHub, tmp_path: Path, missing: str, said: str
) -> None:
    commit = hub.add("org/model", {name: data for name, data in (GOOD | BAD).items() if not name.endswith(missing)})
    hub.repositories["org/model"].commits[commit].pop("onnx/model.safetensors", None)
    with pytest.raises(CheckpointRejected, match=said):
        download_checkpoint("org/model", commit, tmp_path / "m", endpoint=hub.root)
    assert hub.downloads == []


def test_a_config_that_is_not_json_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.add("org/model", {**GOOD, "config.json": b"{not json"})
    with pytest.raises(CheckpointRejected, match=r"config\.json is not valid JSON"):
        download_checkpoint("org/model", commit, tmp_path / "m", endpoint=hub.root)


@pytest.mark.parametrize("token", [None, "hf_other"])
def test_a_gated_model_says_where_to_ask_for_access(hub: FakeHub, tmp_path: Path, token: str | None) -> None:
    commit = hub.add("org/model", GOOD, gated=True)
    with pytest.raises(CheckpointRejected, match=r"gated: accept its terms at https://huggingface\.co/org/model"):
        download_checkpoint("org/model", commit, tmp_path / "m", token=token, endpoint=hub.root)
    assert download_checkpoint("org/model", commit, tmp_path / "m", token="hf_reader", endpoint=hub.root).is_dir()


def test_an_unknown_or_private_model_and_an_unknown_revision_are_told_apart(hub: FakeHub) -> None:
    hub.add("org/model", GOOD)
    hub.add("org/secret", GOOD, private=True)
    for model in ("org/nothing", "org/secret"):
        with pytest.raises(CheckpointRejected, match=rf"{model} is not on the Hub, or is private"):
            resolve_commit(model, endpoint=hub.root)
    assert resolve_commit("org/secret", token="hf_reader", endpoint=hub.root).commit
    with pytest.raises(CheckpointRejected, match="no revision 'v9'"):
        resolve_commit("org/model", "v9", endpoint=hub.root)


@pytest.mark.parametrize("model", ["../../etc/passwd", "a/b/c", "org/na me", "-x/y", ""])
def test_what_is_no_model_id_is_refused_without_asking_the_hub(model: str) -> None:
    with pytest.raises(CheckpointRejected, match="expected owner/name"):
        resolve_commit(model, endpoint="http://127.0.0.1:9")


@pytest.mark.parametrize(("status", "said"), [(500, "HTTP 500.*try again"), (403, "HTTP 403.*HF_TOKEN")])
def test_a_hub_in_trouble_is_named_with_what_to_do(hub: FakeHub, status: int, said: str) -> None:
    hub.add("org/model", GOOD)
    hub.status = status
    with pytest.raises(CheckpointRejected, match=said):
        resolve_commit("org/model", endpoint=hub.root)


def test_without_a_network_the_error_says_so() -> None:
    with (
        refused_port() as port,
        pytest.raises(CheckpointRejected, match=r"cannot be reached for org/model.*local folder"),
    ):
        resolve_commit("org/model", endpoint=f"http://127.0.0.1:{port}")
