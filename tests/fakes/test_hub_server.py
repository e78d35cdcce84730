"""The local Hub answers the real clients as the Hub does."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    hf_hub_download,
)
from huggingface_hub.errors import HfHubHTTPError

from tests.fakes.hub_faults import Fault
from tests.fakes.hub_server import FakeHub

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
REPO = "alice/board"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.account("alice", token="hf_alice", orgs=("open-r1",))
        yield fake


@pytest.fixture
def api(hub: FakeHub) -> HfApi:
    api = HfApi(endpoint=hub.root, token="hf_alice")
    api.create_repo(REPO, repo_type="dataset", private=True)
    return api


def parquet(**columns: list[object]) -> bytes:
    sink = io.BytesIO()
    pd.DataFrame(columns).to_parquet(sink)
    return sink.getvalue()


def child_environment(hub: FakeHub, home: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": hub.root,
        "HF_TOKEN": "hf_alice",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PATH": os.environ["PATH"],
    }


def run_python(code: str, hub: FakeHub, home: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_environment(hub, home), capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_commit_with_the_right_parent_lands_and_one_with_an_old_parent_gets_412(api: HfApi) -> None:
    first = api.dataset_info(REPO).sha
    made = api.create_commit(
        REPO,
        [CommitOperationAdd("a/b.json", b"{}"), CommitOperationAdd("t.parquet", parquet(x=[1]))],
        commit_message="one",
        commit_description="why",
        repo_type="dataset",
        parent_commit=first,
    )
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_commit(
            REPO,
            [CommitOperationAdd("c", b"late")],
            commit_message="two",
            repo_type="dataset",
            parent_commit=first,
        )
    assert caught.value.response.status_code == 412
    assert api.dataset_info(REPO).sha == made.oid != first
    assert [c.title for c in api.list_repo_commits(REPO, repo_type="dataset")] == ["one", "initial commit"]
    assert api.list_repo_commits(REPO, repo_type="dataset")[0].message == "why"


def test_files_are_deleted_copied_listed_and_read_at_every_revision(api: HfApi, hub: FakeHub, tmp_path: Path) -> None:
    table = parquet(x=[1, 2])
    old = api.create_commit(
        REPO,
        [CommitOperationAdd("t.parquet", table), CommitOperationAdd("d/x", b"x"), CommitOperationAdd("d/e/y", b"y")],
        commit_message="one",
        repo_type="dataset",
    )
    api.create_commit(
        REPO,
        [CommitOperationDelete("d/e/y"), CommitOperationCopy("t.parquet", "copy.parquet")],
        commit_message="two",
        repo_type="dataset",
    )
    assert sorted(api.list_repo_files(REPO, repo_type="dataset")) == [
        ".gitattributes",
        "copy.parquet",
        "d/x",
        "t.parquet",
    ]
    assert "d/e/y" in api.list_repo_files(REPO, repo_type="dataset", revision=old.oid)
    path = hf_hub_download(
        REPO, "copy.parquet", repo_type="dataset", endpoint=hub.root, token="hf_alice", cache_dir=tmp_path
    )
    assert Path(path).read_bytes() == table
    (info,) = api.get_paths_info(REPO, "t.parquet", repo_type="dataset")
    assert (info.size, info.lfs is not None) == (len(table), True)


def test_equal_folders_have_equal_names_whatever_commit_they_are_in(api: HfApi) -> None:
    def folder() -> str:
        entries = api.list_repo_tree(REPO, repo_type="dataset")
        return next(entry.tree_id for entry in entries if entry.path == "d")

    api.upload_file(path_or_fileobj=b"1", path_in_repo="d/x", repo_id=REPO, repo_type="dataset")
    before = folder()
    api.upload_file(path_or_fileobj=b"2", path_in_repo="other", repo_id=REPO, repo_type="dataset")
    assert folder() == before
    api.upload_file(path_or_fileobj=b"3", path_in_repo="d/x", repo_id=REPO, repo_type="dataset")
    assert folder() != before


def test_a_long_tree_comes_in_pages(api: HfApi, hub: FakeHub) -> None:
    hub.add(f"datasets/{REPO}", {f"f/{n:05d}": b"" for n in range(2_345)})
    names = api.list_repo_files(REPO, repo_type="dataset")
    assert len(names) == len(set(names)) == 2_345


def test_strangers_see_nothing_private_and_write_nowhere(api: HfApi, hub: FakeHub) -> None:
    hub.account("mallory", token="hf_mallory")
    stranger = HfApi(endpoint=hub.root, token="hf_mallory")
    with pytest.raises(HfHubHTTPError) as caught:
        stranger.upload_file(path_or_fileobj=b"1", path_in_repo="x", repo_id=REPO, repo_type="dataset")
    assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError):
        HfApi(endpoint=hub.root, token=False).dataset_info(REPO)
    assert stranger.whoami()["name"] == "mallory"


def test_branches_tags_and_pull_requests(api: HfApi, hub: FakeHub) -> None:
    hub.add("open-r1/model", {"README.md": b"# model"})
    made = api.create_commit(
        "open-r1/model", [CommitOperationAdd("n.yaml", b"a: 1")], commit_message="propose", create_pr=True
    )
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    assert "n.yaml" not in api.list_repo_files("open-r1/model")
    assert "n.yaml" in api.list_repo_files("open-r1/model", revision="refs/pr/1")
    (listed,) = api.get_repo_discussions("open-r1/model", discussion_type="pull_request")
    assert (listed.title, listed.status, listed.author) == ("propose", "open", "alice")
    api.merge_pull_request("open-r1/model", 1)
    assert "n.yaml" in api.list_repo_files("open-r1/model")
    api.create_branch(REPO, branch="dev", repo_type="dataset")
    api.create_tag(REPO, tag="v1", repo_type="dataset")
    refs = api.list_repo_refs(REPO, repo_type="dataset")
    assert {ref.name for ref in refs.branches} == {"main", "dev"}
    assert [ref.name for ref in refs.tags] == ["v1"]


def test_faults_come_as_planned(api: HfApi, hub: FakeHub) -> None:
    hub.faults.planned = [Fault(status=504, after_success=True)]
    with pytest.raises(HfHubHTTPError):
        api.create_commit(REPO, [CommitOperationAdd("x", b"1")], commit_message="lost", repo_type="dataset")
    assert "x" in api.list_repo_files(REPO, repo_type="dataset")
    assert hub.faults.happened == {"504 after success": 1}


def test_spaces_jobs_and_webhooks(api: HfApi, hub: FakeHub) -> None:
    api.create_repo("open-r1/space", repo_type="space", space_sdk="gradio", space_secrets=[{"key": "K", "value": "v"}])
    api.add_space_variable("open-r1/space", "STORE", "hf://datasets/alice/board")
    assert api.get_space_variables("open-r1/space")["STORE"].value == "hf://datasets/alice/board"
    assert set(api.get_space_secrets("open-r1/space")) == {"K"}
    job = api.run_job(image="python:3.12", command=["true"], flavor="h200", timeout="2h", secrets={"T": "t"})
    hub.jobs.lines[job.id] += ['said "hello"']
    hub.jobs.jobs[job.id]["status"]["stage"] = "COMPLETED"
    assert list(api.fetch_job_logs(job_id=job.id)) == ['said "hello"']
    assert api.inspect_job(job_id=job.id).status.stage == "COMPLETED"
    hook = api.create_webhook(url="http://127.0.0.1:9/hook", watched=[{"type": "user", "name": "alice"}], secret="s")
    assert [each.id for each in api.list_webhooks()] == [hook.id]


def test_the_file_system_reads_through_hf_addresses(api: HfApi, hub: FakeHub) -> None:
    api.upload_file(path_or_fileobj=parquet(x=[1, 2]), path_in_repo="t.parquet", repo_id=REPO, repo_type="dataset")
    files = HfFileSystem(endpoint=hub.root, token="hf_alice", skip_instance_cache=True)
    assert [Path(name).name for name in files.glob(f"datasets/{REPO}/*.parquet")] == ["t.parquet"]
    with files.open(f"datasets/{REPO}/t.parquet") as file:
        assert list(pd.read_parquet(file)["x"]) == [1, 2]


def test_the_datasets_library_loads_from_it(api: HfApi, hub: FakeHub, tmp_path: Path) -> None:
    card = b"---\nconfigs:\n- config_name: numbers\n  data_files: data/*.parquet\n---\n# card\n"
    api.create_commit(
        REPO,
        [CommitOperationAdd("README.md", card), CommitOperationAdd("data/t.parquet", parquet(x=[1, 2, 3]))],
        commit_message="data",
        repo_type="dataset",
    )
    code = f"from datasets import load_dataset\nprint(sum(load_dataset('{REPO}', 'numbers', split='train')['x']))"
    assert run_python(code, hub, tmp_path).strip() == "6"


def test_the_command_line_uploads_and_downloads(api: HfApi, hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    hf = str(Path(sys.executable).with_name("hf"))
    environment = child_environment(hub, tmp_path / "home")
    for arguments in (
        ["upload", REPO, str(tmp_path / "note.txt"), "note.txt", "--repo-type", "dataset"],
        ["download", REPO, "note.txt", "--repo-type", "dataset", "--local-dir", str(tmp_path / "here")],
    ):
        done = subprocess.run([hf, *arguments], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "here" / "note.txt").read_text() == "hello"
