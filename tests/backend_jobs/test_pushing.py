"""Checkpoints as revisions on the Hub: the real client against a local server that speaks the Hub's protocol."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from backend_jobs.checkpoints_out import to_the_board
from backend_jobs.pushing import NotPushed
from backend_jobs.queue import StoreQueue
from backend_jobs.recipes import Recipe, RecipeRejected, load_recipe, recipe_hash
from backend_jobs.train import run_folders
from backend_jobs.training.checkpoints import hand_on
from backend_jobs.training.events import CheckpointReady
from evaluator.checkpoint import read_lineage
from evaluator.types import Lineage
from leaderboard.hub import resolve_commit
from leaderboard.hub_models import PushRefused
from leaderboard.hub_store import Waits
from leaderboard.sqlite_store import SqliteStore
from settings import ROOT, Settings
from tests.fakes.hub_faults import RATE_LIMITED, Fault
from tests.fakes.hub_server import FakeHub
from tests.waiting import until

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
REPO = "alice/arithmetic"
FIRST, SECOND = "sums-step-000000020", "sums-step-000000040"
QUICK = Waits(first_s=0.01, longest_s=0.05, patience_s=60.0)
ONCE = Waits(first_s=0.01, longest_s=0.05, patience_s=0.0)
COMMITS = rf"POST /api/models/{REPO}/commit/sums-newest"
BRANCHES = rf"POST /api/models/{REPO}/branch/sums-step"
PROGRAM = """
import sys
from pathlib import Path
from backend_jobs.checkpoints_out import to_the_board
from backend_jobs.queue import StoreQueue
from backend_jobs.recipes import load_recipe
from backend_jobs.training.events import CheckpointReady
from leaderboard.sqlite_store import SqliteStore
from settings import Settings
folder = Path(sys.argv[1])
queue = StoreQueue(SqliteStore(folder / "store.db"))
settings = Settings(data_dir=folder, hub_token="hf_alice")
with to_the_board(load_recipe(folder / "recipe.yaml"), settings, queue, say=print) as hand_out:
    for step in (20, 40):
        hand_out(CheckpointReady(step=step, tokens=0, path=folder / f"models/sums/step-{step:09d}"))
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.account("alice", token="hf_alice")
        fake.account("bob", token="hf_bob")
        fake.account("carol", token="hf_carol", may_write=False)
        yield fake


@pytest.fixture
def trained(tmp_path: Path) -> list[CheckpointReady]:
    """Two checkpoints of the run `sums`, as a training leaves them."""
    recipe, folders = sums(tmp_path), run_folders(Settings(data_dir=tmp_path), "sums")
    ready = []
    for step in (20, 40):
        made = tmp_path / f"checkpoint-{step}"
        made.mkdir()
        (made / "trainer_state.json").write_text(json.dumps({"global_step": step, "num_input_tokens_seen": 10 * step}))
        (made / "config.json").write_text(json.dumps({"hidden_size": 128}))
        (made / "model.safetensors").write_bytes(bytes([step]) * 5000)
        (made / "optimizer.pt").write_bytes(b"pickle")
        lineage = origin(recipe)
        ready.append(
            CheckpointReady(step=step, tokens=10 * step, path=hand_on(made, folders.models, origin=lineage)[1])
        )
    return ready


def origin(recipe: Recipe) -> Lineage:
    return Lineage(
        run="sums",
        step=0,
        recipe_hash=recipe_hash(recipe),
        parent="Qwen/Qwen2-0.5B@" + "a" * 40,
        data="arithmetic, seed 1, 640 problems",
        code="0.1.0, trl 1.16.0",
        method="sft",
    )


def sums(folder: Path, **hub: object) -> Recipe:
    recipe = yaml.safe_load((ROOT / "recipes" / "sft" / "arithmetic.yaml").read_text(encoding="utf-8"))
    recipe |= {"run": "sums", "hub": {"repo": REPO, "private": True} | hub}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return load_recipe(path)


class Board:
    """One start of a training as far as its checkpoints go."""

    def __init__(self, folder: Path, hub: FakeHub, *, token: str | None = "hf_alice", waits: Waits = QUICK) -> None:
        self.queue = StoreQueue(SqliteStore(folder / "store.db"))
        self.said: list[str] = []
        self._settings = Settings(data_dir=folder, hub_token=token)
        self._hub, self._waits = hub, waits

    def start(self, recipe: Recipe, ready: list[CheckpointReady]) -> None:
        with to_the_board(
            recipe,
            self._settings,
            self.queue,
            say=self.said.append,
            waits=self._waits,
            endpoint=self._hub.root,
        ) as hand_out:
            for event in ready:
                hand_out(event)


def submitted(queue: StoreQueue) -> list[tuple[str, str | None, str | None]]:
    jobs = [job.submission for job in reversed(queue.jobs())]
    return [(each.source, each.revision, each.commit) for each in jobs]


def whole(hub: FakeHub, revision: str, ready: CheckpointReady) -> str:
    """The commit behind a revision, which must hold the whole checkpoint and nothing else."""
    repository = hub.repositories[REPO]
    commit = repository.refs[revision]
    files = repository.commits[commit]
    assert set(files) == {
        ".gitattributes",
        "README.md",
        "config.json",
        "lineage.json",
        "model.safetensors",
        "recipe.json",
    }
    assert files["model.safetensors"] == (ready.path / "model.safetensors").read_bytes()
    assert json.loads(files["lineage.json"])["step"] == ready.step
    return commit


def test_each_checkpoint_becomes_a_revision_that_is_submitted_as_its_commit(
    hub: FakeHub, tmp_path: Path, trained: list[CheckpointReady]
) -> None:
    board = Board(tmp_path, hub)
    board.start(sums(tmp_path), trained)
    commits = [whole(hub, name, ready) for name, ready in zip((FIRST, SECOND), trained, strict=True)]
    assert submitted(board.queue) == [(REPO, FIRST, commits[0]), (REPO, SECOND, commits[1])]
    assert resolve_commit(REPO, FIRST, token="hf_alice", endpoint=hub.root).commit == commits[0]
    repository = hub.repositories[REPO]
    assert repository.private
    assert repository.refs["sums-newest"] == commits[1]
    assert set(repository.commits[repository.refs["main"]]) == {".gitattributes", "README.md"}
    assert REPO in repository.commits[repository.refs["main"]]["README.md"].decode()


def test_card_and_job_hold_the_whole_lineage(hub: FakeHub, tmp_path: Path, trained: list[CheckpointReady]) -> None:
    board, recipe = Board(tmp_path, hub), sums(tmp_path)
    board.start(recipe, trained)
    lineage = board.queue.jobs()[-1].submission.lineage
    assert lineage is not None
    assert (lineage.run, lineage.step, lineage.tokens) == ("sums", 20, 200)
    assert (lineage.recipe_hash, lineage.parent) == (recipe_hash(recipe), "Qwen/Qwen2-0.5B@" + "a" * 40)
    repository = hub.repositories[REPO]
    files = repository.commits[repository.refs[FIRST]]
    _, front, text = files["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(front)["base_model"] == "Qwen/Qwen2-0.5B"
    for told in (lineage.recipe_hash, lineage.parent, lineage.data, lineage.code, f'revision="{FIRST}"'):
        assert told is not None
        assert told in text
    assert json.loads(files["recipe.json"])["recipe"]["training"]["steps"] == recipe.training.steps


@pytest.mark.parametrize(
    "fault",
    [
        Fault(where=COMMITS, status=429, headers=RATE_LIMITED, times=2),
        Fault(where=COMMITS, status=503),
        Fault(where=COMMITS, status=412),
        Fault(where=COMMITS, status=504, after_success=True),
        Fault(where=COMMITS, after_success=True),
        Fault(where=BRANCHES, status=503),
        Fault(where=BRANCHES, after_success=True),
        Fault(where="PUT /lfs", status=400),
    ],
    ids=lambda fault: f"{fault.status}-{'after' if fault.after_success else 'before'}-{fault.where[-16:]}",
)
def test_what_a_retry_can_mend_costs_no_checkpoint_and_makes_none_twice(
    fault: Fault, hub: FakeHub, tmp_path: Path, trained: list[CheckpointReady]
) -> None:
    hub.faults.planned = [fault]
    board = Board(tmp_path, hub)
    board.start(sums(tmp_path), trained)
    commits = [whole(hub, name, ready) for name, ready in zip((FIRST, SECOND), trained, strict=True)]
    assert [commit for _, _, commit in submitted(board.queue)] == commits
    made = [log.title for log in hub.repositories[REPO].log.values() if log.title in (FIRST, SECOND)]
    assert made == [FIRST, SECOND]


@pytest.mark.parametrize("moment", ["committed", "uploading"])
def test_a_killed_push_leaves_no_half_revision_and_the_next_start_goes_on(
    moment: str, hub: FakeHub, tmp_path: Path, trained: list[CheckpointReady]
) -> None:
    sums(tmp_path)
    reached, held = threading.Event(), threading.Event()

    def stop_here(_repository: str, branch: str, _commit: str) -> None:
        if branch == "sums-newest":
            reached.set()
            held.wait(60)

    if moment == "committed":
        hub.on_commit.append(stop_here)
    else:
        hub.faults.planned = [Fault(where="PUT /lfs", hang_s=0.0, times=1_000)]
    environment = {**os.environ, "HF_ENDPOINT": hub.root, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=ROOT, env=environment)
    try:
        if moment == "committed":
            assert reached.wait(60)
        else:
            while not any(line.startswith("PUT /lfs") for line in hub.requests):
                assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        held.set()
    hub.on_commit.clear()
    hub.faults.planned = []
    assert not {FIRST, SECOND} & set(hub.repositories[REPO].refs)

    board = Board(tmp_path, hub)
    board.start(sums(tmp_path), trained)
    commits = [whole(hub, name, ready) for name, ready in zip((FIRST, SECOND), trained, strict=True)]
    assert [commit for _, _, commit in submitted(board.queue)] == commits
    titles = [log.title for log in hub.repositories[REPO].log.values()]
    assert titles.count(FIRST) == 1


def test_a_start_that_finds_everything_pushed_sends_nothing_and_submits_nothing_twice(
    hub: FakeHub, tmp_path: Path, trained: list[CheckpointReady]
) -> None:
    board = Board(tmp_path, hub)
    board.start(sums(tmp_path), trained)
    before = submitted(board.queue), len(hub.repositories[REPO].commits)
    hub.requests.clear()
    board.start(sums(tmp_path), trained)
    assert (submitted(board.queue), len(hub.repositories[REPO].commits)) == before
    assert not [line for line in hub.requests if line.startswith(("POST", "PUT"))]
    assert board.said[-1] == f"{SECOND} is known to the board"


def test_the_training_goes_on_while_the_hub_is_down_and_its_end_says_what_is_missing(
    hub: FakeHub, tmp_path: Path, trained: list[CheckpointReady]
) -> None:
    hub.faults.planned = [Fault(where=COMMITS, status=503, times=100)]
    board = Board(tmp_path, hub, waits=ONCE)
    with pytest.raises(NotPushed, match=r"not on the Hub are step-000000020, step-000000040: .*HTTP 503"):
        board.start(sums(tmp_path), trained)
    assert submitted(board.queue) == []
    hub.faults.planned = []
    board.start(sums(tmp_path), trained)
    assert [revision for _, revision, _ in submitted(board.queue)] == [FIRST, SECOND]


def test_a_failed_training_does_not_wait_for_the_hub(
    hub: FakeHub, tmp_path: Path, trained: list[CheckpointReady]
) -> None:
    hub.faults.planned = [Fault(where=COMMITS, status=503, times=100)]
    patient = Waits(first_s=600.0, longest_s=600.0, patience_s=10_000.0)
    settings = Settings(data_dir=tmp_path, hub_token="hf_alice")
    out = to_the_board(sums(tmp_path), settings, None, say=lambda _: None, waits=patient, endpoint=hub.root)
    with pytest.raises(ZeroDivisionError), out as hand_out:
        raise ZeroDivisionError(hand_out(trained[0]))


@pytest.mark.parametrize(
    ("token", "wanted", "said"),
    [
        (None, {}, "set HF_TOKEN to one that may write there, or leave `hub` out"),
        ("hf_bob", {}, "HF_TOKEN must be a token that may write to it"),
        ("hf_carol", {}, "HF_TOKEN must be a token that may write to it"),
        ("hf_nobody", {}, "HF_TOKEN must be a token that may write to it"),
        ("hf_alice", {"private": False}, "is private on the Hub, and hub.private says false; write hub.private: true"),
        ("hf_alice", {"repo": "bob/other"}, "name a repository of your own in hub.repo"),
    ],
)
def test_a_repository_that_cannot_be_used_is_refused_before_training(
    token: str | None, wanted: dict[str, object], said: str, hub: FakeHub, tmp_path: Path
) -> None:
    hub.add(REPO, {"README.md": b""}, private=True)
    with pytest.raises(PushRefused) as caught:
        Board(tmp_path, hub, token=token).start(sums(tmp_path, **wanted), [])
    assert said in str(caught.value)


def test_a_repository_with_another_training_of_that_name_is_refused(
    hub: FakeHub, tmp_path: Path, trained: list[CheckpointReady]
) -> None:
    hub.add(REPO, {"lineage.json": b"{}"}, ref="main", private=True)
    hub.add(REPO, {"lineage.json": b"{}"}, ref=SECOND, private=True)
    with pytest.raises(RecipeRejected, match=f"has a checkpoint {SECOND} of another training"):
        Board(tmp_path, hub).start(sums(tmp_path), trained)


@pytest.mark.training
def test_a_real_training_that_is_killed_ends_with_every_checkpoint_on_the_hub_and_on_the_queue(
    engine_python: str, hub: FakeHub, tmp_path: Path
) -> None:
    """The command line, TRL in its own process, kill -9 after the first revision, and the same command again."""
    recipe = yaml.safe_load((ROOT / "recipes" / "sft" / "arithmetic.yaml").read_text(encoding="utf-8"))
    recipe |= {"run": "sums", "hub": {"repo": REPO, "private": True}}
    recipe["data"] |= {"size": 640}
    recipe["training"] |= {"steps": 40, "batch_size": 16, "save_every": 20, "warmup_steps": 4}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    store = tmp_path / "store.db"
    command = [sys.executable, "-m", "backend_jobs", "train", str(tmp_path / "recipe.yaml"), "--store", str(store)]
    environment = {
        **os.environ,
        "ENGINE_PYTHON": engine_python,
        "HF_ENDPOINT": hub.root,
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": "hf_alice",
        "OPEN_R1_DATA": str(tmp_path),
    }
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        until(lambda: REPO in hub.repositories and FIRST in hub.repositories[REPO].refs, within_s=300)
    finally:
        process.kill()
        process.wait()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]

    repository, folders = hub.repositories[REPO], run_folders(Settings(data_dir=tmp_path), "sums")
    jobs = [job.submission for job in reversed(StoreQueue(SqliteStore(store)).jobs())]
    assert [job.revision for job in jobs] == [FIRST, SECOND]
    for job in jobs:
        assert (job.source, job.commit) == (REPO, repository.refs[str(job.revision)])
        files = repository.commits[str(job.commit)]
        kept = folders.models / f"step-{str(job.revision)[-9:]}"
        assert files["model.safetensors"] == (kept / "model.safetensors").read_bytes()
        assert job.lineage == read_lineage(kept)


def test_where_checkpoints_go_is_not_part_of_what_a_recipe_decides(tmp_path: Path) -> None:
    pushed = sums(tmp_path)
    assert recipe_hash(pushed) == recipe_hash(pushed.model_copy(update={"hub": None}))


@pytest.mark.parametrize(
    ("hub", "said"),
    [
        ({"repo": "no-owner", "private": True}, "hub.repo"),
        ({"repo": REPO}, "hub.private is missing"),
        ({"repo": REPO, "privat": True}, "did you mean 'private'?"),
    ],
)
def test_a_hub_that_says_too_little_is_refused(hub: dict[str, object], said: str, tmp_path: Path) -> None:
    recipe = yaml.safe_load((ROOT / "recipes" / "sft" / "arithmetic.yaml").read_text(encoding="utf-8"))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"hub": hub}), encoding="utf-8")
    with pytest.raises(RecipeRejected) as caught:
        load_recipe(tmp_path / "recipe.yaml")
    assert said in str(caught.value)
