"""deploy-space against a server that speaks the Hub's protocol: what it says, what it does, and that twice is once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi

from backend_jobs.deploy import DeployRefused, program_files, read_wish
from leaderboard.hub_space import SpaceWish, steps
from settings import ROOT
from tests.fakes.hub_server import FakeHub

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
on_the_hub = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
SPACE, DATASET = "open-r1/board", "open-r1/results"
SECRETS = {"HF_TOKEN": "hf_alice", "WORKER_TOKEN": "w" * 20, "WEBHOOK_SECRET": "hook-value"}
FILE = {
    "space": SPACE,
    "dataset": DATASET,
    "hardware": "cpu-upgrade",
    "variables": {"WATCHED_BENCHMARKS": "math_500"},
    "secrets": ["HF_TOKEN", "WORKER_TOKEN", "WEBHOOK_SECRET"],
    "watch": ["open-r1/*"],
}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.account("alice", token="hf_alice", orgs=("open-r1",))
        yield fake


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(FILE))
    return path


def deploy(hub: FakeHub, file: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "HF_ENDPOINT": hub.root,
        "HF_HUB_DISABLE_XET": "1",
        **SECRETS,
    }
    command = [sys.executable, "-m", "backend_jobs", "deploy-space", str(file), *flags]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if line[:1].isdigit() and ". " in line[:4]]


@on_the_hub
def test_a_dry_run_says_every_step_and_does_none(hub: FakeHub, file: Path) -> None:
    done = deploy(hub, file, "--dry-run")
    assert done.returncode == 0, done.stderr
    text = "\n".join(said(done))
    for words in (
        f"create the public dataset {DATASET}",
        f"create the public Space {SPACE} on cpu-upgrade",
        f"set the variable OPEN_R1_STORE to hf://datasets/{DATASET}",
        "set the secret WORKER_TOKEN (20 characters)",
        "files, ",
        "of pushes to open-r1",
    ):
        assert words in text
    assert "hook-value" not in done.stderr + done.stdout
    assert hub.repositories == {}
    assert not any(line.startswith(("POST", "PUT", "DELETE")) for line in hub.requests)


def carry_out(hub: FakeHub, wish: SpaceWish) -> list[str]:
    planned = steps(wish, token="hf_alice", endpoint=hub.root)
    for step in planned:
        step.do()
    return [step.says for step in planned]


@on_the_hub
def test_a_deployment_makes_space_dataset_settings_and_webhook_and_again_changes_only_secrets(
    hub: FakeHub, file: Path
) -> None:
    wish = read_wish(file, secrets=SECRETS)
    carry_out(hub, wish)
    space = hub.repositories[f"spaces/{SPACE}"]
    assert space.variables["OPEN_R1_STORE"] == f"hf://datasets/{DATASET}"
    assert space.variables["WATCHED_MODELS"] == "open-r1/*"
    assert space.secrets == SECRETS
    files = space.commits[space.refs["main"]]
    assert files["app.py"] == (ROOT / "app.py").read_bytes()
    assert not any("__pycache__" in name or name.startswith("tests/") for name in files)
    (hook,) = HfApi(endpoint=hub.root, token="hf_alice").list_webhooks()
    assert hook.url == "https://open-r1-board.hf.space/api/v1/webhooks/hub"

    before = space.refs["main"]
    assert [said.split()[:2] for said in carry_out(hub, wish)] == [["set", "the"]] * 3 + [
        ["send", str(len(wish.files))]
    ]
    assert space.refs["main"] == before, "nothing changed, so nothing was committed"


@on_the_hub
def test_a_file_that_left_the_program_leaves_the_space(hub: FakeHub, file: Path, tmp_path: Path) -> None:
    root = tmp_path / "program"
    (root / "evaluator").mkdir(parents=True)
    for name in ("app.py", "evaluator/gone.py"):
        (root / name).write_text("pass\n")
    carry_out(hub, read_wish(file, root, SECRETS))
    (root / "evaluator" / "gone.py").unlink()
    carry_out(hub, read_wish(file, root, SECRETS))
    space = hub.repositories[f"spaces/{SPACE}"]
    assert set(space.commits[space.refs["main"]]) == {".gitattributes", "app.py"}


def test_a_secret_that_is_not_set_is_named(file: Path) -> None:
    file.write_text(yaml.safe_dump({**FILE, "secrets": ["NO_SUCH_SECRET_HERE"]}))
    with pytest.raises(DeployRefused, match="NO_SUCH_SECRET_HERE, which the environment lacks"):
        read_wish(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("space: nobody\ndataset: a/b", "space"),
        ("space: a/b\ndataset: a/b\nsecrets: {X: y}", "secrets"),
        ("space: a/b\ndataset: a/b\nspeed: 9", "speed"),
        ("{", "cannot be read"),
    ],
)
def test_a_file_that_says_something_else_is_refused_by_field(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "s.yaml").write_text(content)
    with pytest.raises(DeployRefused, match=words):
        read_wish(tmp_path / "s.yaml")


def test_the_example_file_is_valid_and_the_program_is_whole(tmp_path: Path) -> None:
    example = yaml.safe_load((ROOT / "deploy" / "space.yaml").read_text())
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({**example, "secrets": []}))
    assert read_wish(tmp_path / "s.yaml").url == "https://open-r1-leaderboard.hf.space"
    names = program_files(ROOT)
    assert {"app.py", "requirements.txt", "leaderboard/assets/page.css", "backend_jobs/queue.py"} <= set(names)
