"""Whole boards move between stores and files, and nothing changes on the way."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from backend_jobs.cli import main
from leaderboard.board import Board
from leaderboard.dataset.validate import validate
from leaderboard.hub_repository import HubRepository
from leaderboard.hub_store import HubStore
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import Store
from leaderboard.transfer import TransferRefused, backup, copy, restore
from tests.fakes.hub_server import FakeHub
from tests.leaderboard.page_content import measured, publish

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


@pytest.fixture
def source(tmp_path: Path) -> SqliteStore:
    store = SqliteStore(tmp_path / "source.db")
    for number in range(3):
        publish(store, measured(model=f"open-r1/m{number}"))
    return store


@pytest.fixture
def hub_store(tmp_path: Path) -> Iterator[HubStore]:
    with FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        HfApi(endpoint=hub.root, token="hf_alice").create_repo("alice/board", repo_type="dataset")
        yield HubStore(HubRepository("alice/board", token="hf_alice", endpoint=hub.root), tmp_path / "c", refresh_s=0)


def contents(store: Store) -> dict[str, bytes]:
    snapshot = store.snapshot()
    return {name: snapshot.read(name) for name in snapshot.names}


@pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
def test_a_board_goes_to_the_hub_and_back_unchanged(source: SqliteStore, hub_store: HubStore, tmp_path: Path) -> None:
    there = copy(source.snapshot(), hub_store)
    assert (there.files, there.same) == (9, 0)
    back = SqliteStore(tmp_path / "back.db")
    copy(hub_store.snapshot(), back)
    assert contents(back) == contents(source) == contents(hub_store)
    assert [row.plan_key for row in Board(back).rows()] == [row.plan_key for row in Board(source).rows()]


def test_a_copy_that_was_interrupted_goes_on(source: SqliteStore, tmp_path: Path) -> None:
    target = SqliteStore(tmp_path / "target.db")
    snapshot = source.snapshot()
    some = {name: snapshot.read(name) for name in snapshot.names[:4]}
    target.commit(some, parent=target.version(), message="a part")
    done = copy(snapshot, target)
    assert (done.files, done.same) == (5, 4)
    assert contents(target) == contents(source)


def test_a_store_with_another_board_is_not_written_to(source: SqliteStore, tmp_path: Path) -> None:
    target = SqliteStore(tmp_path / "target.db")
    target.commit({"results/other/x/y.json": b"{}"}, parent=target.version(), message="theirs")
    with pytest.raises(TransferRefused, match="holds 1 files that the source lacks"):
        copy(source.snapshot(), target)
    assert list(contents(target)) == ["results/other/x/y.json"]


def test_a_backup_restores_the_same_board(source: SqliteStore, tmp_path: Path) -> None:
    backup(source.snapshot(), tmp_path / "b.tar.gz")
    target = SqliteStore(tmp_path / "target.db")
    assert restore(tmp_path / "b.tar.gz", target).files == 9
    assert contents(target) == contents(source)
    assert validate(target.snapshot()).faults == ()


@pytest.mark.parametrize("damage", ["cut", "other", "swapped"])
def test_a_damaged_backup_is_refused_and_the_store_stays_sound(
    source: SqliteStore, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "b.tar.gz"
    backup(source.snapshot(), file)
    data = file.read_bytes()
    if damage == "swapped":
        with tarfile.open(file) as archive:
            files = {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]
        first = next(name for name in files if name.startswith("files/attempts/"))
        second = next(name for name in files if name.startswith("files/problems/"))
        files[first], files[second] = files[second], files[first]
        with tarfile.open(file, "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        file.write_bytes(data[: len(data) // 2] if damage == "cut" else b"no backup")
    target = SqliteStore(tmp_path / "target.db")
    with pytest.raises(TransferRefused):
        restore(file, target)
    assert validate(target.snapshot()).faults == ()


def test_the_command_line_moves_and_checks_boards(
    source: SqliteStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = str(tmp_path / "source.db"), str(tmp_path / "second.db")
    assert main(["store", "copy", first, second]) == 0
    assert main(["store", "validate", second]) == 0
    assert main(["store", "backup", second, str(tmp_path / "b.tar.gz")]) == 0
    assert main(["store", "restore", str(tmp_path / "b.tar.gz"), str(tmp_path / "third.db")]) == 0
    assert main(["store", "compact", str(tmp_path / "third.db")]) == 0
    store = SqliteStore(tmp_path / "third.db")
    name = next(name for name in store.snapshot().names if name.startswith("problems/"))
    store.commit({name: None}, parent=store.version(), message="damage")
    capsys.readouterr()
    assert main(["store", "validate", str(tmp_path / "third.db")]) == 1
    said = capsys.readouterr().err
    assert f"{name}: missing" in said
    assert said.splitlines()[-1].startswith("error: ")
