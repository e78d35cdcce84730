"""What every store promises, written once; then what the embedded store promises beyond that."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from leaderboard.hub_repository import HubRepository
from leaderboard.hub_store import HubStore, Waits
from leaderboard.sqlite_store import EMPTY_VERSION, SCHEMA_VERSION, SqliteStore
from leaderboard.store import InvalidName, Snapshot, Store, StoreUnusable, VersionConflict, update
from leaderboard.stores import open_store
from tests.fakes.hub_server import FakeHub

SPAWN = multiprocessing.get_context("spawn")
PROCESSES, COMMITS_EACH = 4, 12
OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")

OpenAgain = Callable[[], Store]
"""Opens one and the same store, as another process would."""


def sqlite_store(folder: Path) -> Store:
    return SqliteStore(folder / "store.db")


def hub_store(folder: Path, root: str = "") -> Store:
    """A store in the dataset `alice/board` of the local Hub at `root`; every opening has a cache of its own."""
    repository = HubRepository("alice/board", token="hf_alice", endpoint=root)
    cache = folder / f"cache-{time.monotonic_ns()}"
    return HubStore(repository, cache, refresh_s=0, waits=Waits(first_s=0.02, longest_s=1.0, patience_s=60))


FACTORIES = [
    sqlite_store,
    pytest.param(hub_store, marks=pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the client from loopback")),
]


@pytest.fixture(params=FACTORIES, ids=lambda factory: factory.__name__)
def factory(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], Store]]:
    if request.param is sqlite_store:
        yield sqlite_store
        return
    with FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        HfApi(endpoint=hub.root, token="hf_alice").create_repo("alice/board", repo_type="dataset")
        yield partial(hub_store, root=hub.root)


@pytest.fixture
def open_again(factory: Callable[[Path], Store], tmp_path: Path) -> OpenAgain:
    return lambda: factory(tmp_path)


@pytest.fixture
def store(open_again: OpenAgain) -> Store:
    return open_again()


def put(store: Store, **files: bytes | None) -> str:
    changes = {name.replace("__", "/"): content for name, content in files.items()}
    return update(store, lambda _: changes, message="put")


def test_new_store_is_empty(store: Store) -> None:
    assert store.snapshot().names == ()


def test_what_was_committed_is_read_back_by_whoever_opens_the_store(store: Store, open_again: OpenAgain) -> None:
    content = bytes(range(256)) * 1000
    version = put(store, a=content, b__c=b"")
    snapshot = open_again().snapshot()
    assert snapshot.version == version
    assert snapshot.names == ("a", "b/c")
    assert snapshot.read("a") == content
    assert snapshot.read("b/c") == b""


def test_the_version_alone_is_that_of_the_newest_snapshot(store: Store) -> None:
    assert store.version() == store.snapshot().version
    made = put(store, a=b"1")
    assert store.version() == store.snapshot("a").version == made == store.known_version()


def test_commit_from_an_old_version_is_refused_and_changes_nothing(store: Store) -> None:
    old = store.snapshot().version
    newest = put(store, a=b"1")
    with pytest.raises(VersionConflict):
        store.commit({"a": b"2", "b": b"2"}, parent=old, message="late")
    snapshot = store.snapshot()
    assert (snapshot.version, snapshot.names, snapshot.read("a")) == (newest, ("a",), b"1")


def test_commit_from_an_old_version_is_refused_even_where_it_touches_other_files(store: Store) -> None:
    old = store.snapshot("b").version
    put(store, a=b"1")
    with pytest.raises(VersionConflict):
        store.commit({"b": b"2"}, parent=old, message="late")


def test_snapshot_keeps_reading_its_own_version_after_the_store_moved_on(store: Store) -> None:
    put(store, a=b"old", b=b"kept")
    snapshot = store.snapshot()
    put(store, a=b"new", b=None, c=b"added")
    assert snapshot.names == ("a", "b")
    assert (snapshot.read("a"), snapshot.read("b")) == (b"old", b"kept")
    with pytest.raises(KeyError):
        snapshot.read("c")


def test_snapshot_with_a_prefix_lists_those_names_only_sorted(store: Store) -> None:
    put(store, requests__b=b"", requests__a=b"", request=b"", results__a=b"", requests2=b"")
    assert store.snapshot("requests/").names == ("requests/a", "requests/b")
    assert store.snapshot("requests").names == ("requests/a", "requests/b", "requests2")
    with pytest.raises(KeyError):
        store.snapshot("requests/").read("results/a")


def test_prefix_is_taken_literally(store: Store) -> None:
    update(store, lambda _: {"a%b/x": b"", "aXb/x": b"", "a_b/x": b"", "A%b/x": b""}, message="put")
    assert store.snapshot("a%").names == ("a%b/x",)
    assert store.snapshot("a_").names == ("a_b/x",)


def test_deleted_file_is_gone_and_deleting_it_again_is_no_error(store: Store) -> None:
    put(store, a=b"1", b=b"2")
    put(store, a=None)
    put(store, a=None)
    assert store.snapshot().names == ("b",)


def test_equal_contents_have_equal_fingerprints_and_others_do_not(store: Store) -> None:
    put(store, a=b"same", b=b"same", c=b"other")
    snapshot = store.snapshot()
    assert snapshot.fingerprint("a") == snapshot.fingerprint("b") != snapshot.fingerprint("c")
    put(store, a=b"changed")
    assert store.snapshot().fingerprint("a") != snapshot.fingerprint("a")
    with pytest.raises(KeyError):
        snapshot.fingerprint("d")


def test_every_commit_has_a_version_of_its_own(store: Store) -> None:
    versions = [
        store.snapshot().version,
        put(store, a=b"1"),
        put(store, a=b"2"),
        put(store, a=b"1"),
        put(store, a=None),
    ]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\\b", "a\0b", "a\nb", "\ud800"])
def test_name_that_is_not_a_plain_relative_path_is_refused(store: Store, name: str) -> None:
    parent = store.snapshot().version
    with pytest.raises(InvalidName, match="cannot name a file"):
        store.commit({"good": b"1", name: b"2"}, parent=parent, message="bad name")
    assert store.snapshot().version == parent


def test_names_and_messages_in_every_script_are_kept(store: Store) -> None:
    names = ("models/Ω-λ/模型.json", "models/ελλ/'quoted\".json", "z")
    update(store, lambda _: dict.fromkeys(names, b"x"), message="Ωμέγα '; DROP TABLE files; --")
    assert set(store.snapshot().names) == set(names)


def test_update_that_gives_up_leaves_the_store_alone(store: Store) -> None:
    before = put(store, a=b"1")

    def give_up(_: Snapshot) -> dict[str, bytes]:
        raise LookupError

    with pytest.raises(LookupError):
        update(store, give_up, message="never")
    assert update(store, lambda _: {}, message="nothing to do") == before == store.snapshot().version


def add_one(store: Store, name: str) -> None:
    update(
        store,
        lambda snapshot: {"sum": str(int(snapshot.read("sum")) + 1).encode(), name: b"done"},
        message=f"count {name}",
    )


def count_in_a_process(factory: Callable[[Path], Store], folder: Path, process: int) -> None:
    store = factory(folder)
    for number in range(COMMITS_EACH):
        add_one(store, f"by/{process}/{number:03d}")


def test_processes_that_commit_at_once_lose_nothing(
    factory: Callable[[Path], Store], store: Store, tmp_path: Path
) -> None:
    put(store, sum=b"0")
    processes = [SPAWN.Process(target=count_in_a_process, args=(factory, tmp_path, n)) for n in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    snapshot = store.snapshot()
    assert snapshot.read("sum") == str(PROCESSES * COMMITS_EACH).encode()
    assert len(store.snapshot("by/").names) == PROCESSES * COMMITS_EACH


def test_threads_that_share_a_store_lose_nothing(store: Store) -> None:
    put(store, sum=b"0")
    threads = [
        threading.Thread(target=lambda n=n: [add_one(store, f"by/{n}/{i}") for i in range(COMMITS_EACH)])
        for n in range(PROCESSES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.snapshot().read("sum") == str(PROCESSES * COMMITS_EACH).encode()


def commit_pairs_for_ever(factory: Callable[[Path], Store], folder: Path) -> None:
    store = factory(folder)
    for number in range(1_000_000):
        content = str(number).encode() * 5000
        update(store, lambda _, content=content: {"left": content, "right": content}, message="pair")


def test_commit_is_whole_or_absent_when_its_process_is_killed(
    factory: Callable[[Path], Store], store: Store, tmp_path: Path
) -> None:
    process = SPAWN.Process(target=commit_pairs_for_ever, args=(factory, tmp_path))
    process.start()
    while len(store.snapshot().names) == 0:
        time.sleep(0.01)
    time.sleep(0.1)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    snapshot = factory(tmp_path).snapshot()
    assert snapshot.read("left") == snapshot.read("right")
    put(store, after=b"still writable")


# The embedded store alone.


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


def blobs(path: Path) -> int:
    with sqlite3.connect(path) as db:
        return int(db.execute("SELECT count(*) FROM blobs").fetchone()[0])


def test_replaced_contents_are_removed_after_the_grace_period_and_not_before(tmp_path: Path) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path / "store.db", grace_s=3600, now=clock)
    put(store, beat=b"0", kept=b"kept")
    early = store.snapshot()
    for number in range(1, 100):
        clock.seconds += 60
        put(store, beat=str(number).encode())
    assert blobs(tmp_path / "store.db") <= 3600 / 60 + 4
    assert early.read("kept") == b"kept"
    with pytest.raises(StoreUnusable, match="take a new snapshot"):
        early.read("beat")


def test_content_that_comes_back_is_not_removed(tmp_path: Path) -> None:
    clock = Clock()
    store = SqliteStore(tmp_path / "store.db", grace_s=3600, now=clock)
    put(store, a=b"first", b=b"second")
    put(store, a=b"second")
    put(store, a=b"first", b=b"third")
    clock.seconds += 7200
    put(store, c=b"much later")
    snapshot = store.snapshot()
    assert [snapshot.read(name) for name in snapshot.names] == [b"first", b"third", b"much later"]
    assert blobs(tmp_path / "store.db") == 3


def test_beats_of_a_whole_day_do_not_grow_the_file(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "store.db"
    store = SqliteStore(path, grace_s=60, now=clock)
    sizes = []
    for day_quarter in range(4):
        for number in range(50):
            clock.seconds += 5
            put(store, beat=f"{day_quarter} {number}".encode() * 2000)
        store.close()
        sizes.append(path.stat().st_size)
    assert sizes[-1] < 1.2 * sizes[0]


def test_file_that_is_not_a_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(StoreUnusable, match=r"notes\.txt is not a store of this board"):
        SqliteStore(path)
    assert path.read_text() == "not a database " * 100


def test_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match="not a store of this board"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_store_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    SqliteStore(path)
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(StoreUnusable, match=rf"of schema {SCHEMA_VERSION + 1}, this program knows"):
        SqliteStore(path)


def test_folder_in_place_of_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="cannot be used"):
        SqliteStore(tmp_path)


def open_and_commit(path: Path, number: int) -> None:
    put(SqliteStore(path), **{f"by{number}": b"1"})


def test_processes_that_create_the_store_at_once_share_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.db"
    processes = [SPAWN.Process(target=open_and_commit, args=(path, number)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    assert len(SqliteStore(path).snapshot().names) == PROCESSES


def test_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    assert SqliteStore(tmp_path / "store.db").snapshot().version == EMPTY_VERSION


def test_copies_with_the_same_history_have_the_same_version(tmp_path: Path) -> None:
    versions = []
    for name in ("one.db", "two.db"):
        store = SqliteStore(tmp_path / name)
        put(store, a=b"1")
        versions.append(put(store, a=b"2", b=b"3"))
    assert versions[0] == versions[1]


def test_every_commit_is_in_the_log(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    first, second = put(store, a=b"1"), put(store, a=b"2")
    with sqlite3.connect(tmp_path / "store.db") as db:
        rows = db.execute("SELECT version, parent, message FROM commits ORDER BY sequence").fetchall()
    assert rows == [(first, EMPTY_VERSION, "put"), (second, first, "put")]


def test_path_opens_an_embedded_store_and_a_datasets_name_one_on_the_hub(tmp_path: Path) -> None:
    assert isinstance(open_store(str(tmp_path / "store.db")), SqliteStore)
    assert isinstance(open_store("hf://datasets/open-r1/board"), HubStore)
    with pytest.raises(StoreUnusable, match=r"use a path such as data/store\.db"):
        open_store("s3://bucket/board")
    with pytest.raises(StoreUnusable, match="empty"):
        open_store("")
