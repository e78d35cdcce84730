"""The store on the Hub, through every trouble that the Hub can make: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from leaderboard.hub_repository import HubRepository, HubUnreachable
from leaderboard.hub_store import MARKER, HubStore, Waits
from leaderboard.store import InvalidName, StoreUnusable, VersionConflict, update
from tests.fakes.hub_faults import COMMIT_CHAOS, COMMITS, EVERYTHING, RATE_LIMITED, Chaos, Fault
from tests.fakes.hub_server import FakeHub

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
REPO = "alice/board"
QUICK = Waits(first_s=0.01, longest_s=0.1, patience_s=30)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.account("alice", token="hf_alice")
        HfApi(endpoint=fake.root, token="hf_alice").create_repo(REPO, repo_type="dataset", private=True)
        yield fake


@pytest.fixture
def opened(hub: FakeHub, tmp_path: Path) -> Callable[..., HubStore]:
    """Opens the store as another machine would: with a cache of its own."""
    count = iter(range(100))

    def open_store(**options: object) -> HubStore:
        repository = HubRepository(REPO, token="hf_alice", endpoint=hub.root)
        given = {"refresh_s": 0, "waits": QUICK} | options
        return HubStore(repository, tmp_path / f"cache{next(count)}", **given)  # type: ignore[arg-type]

    return open_store


def commits(hub: FakeHub) -> int:
    repository = hub.repositories[f"datasets/{REPO}"]
    return len(list(repository.history(repository.refs["main"]))) - 1


def put(store: HubStore, **files: bytes | None) -> str:
    changes = {name.replace("__", "/"): content for name, content in files.items()}
    return update(store, lambda _: changes, message="put")


@pytest.mark.parametrize("fault", COMMIT_CHAOS, ids=lambda fault: f"{fault.status} after={fault.after_success}")
def test_each_trouble_leads_to_exactly_one_commit(hub: FakeHub, opened: Callable[..., HubStore], fault: Fault) -> None:
    store = opened()
    put(store, a=b"1")
    hub.faults.planned = [Fault(status=fault.status, headers=fault.headers, after_success=fault.after_success)]
    version = put(store, b=b"2")
    assert commits(hub) == 2
    assert sum(hub.faults.happened.values()) == 1
    assert version == hub.repositories[f"datasets/{REPO}"].refs["main"] == opened().version()
    assert opened().snapshot().read("b") == b"2"


def test_a_commit_that_landed_is_recognised_although_somebody_committed_after_it(
    hub: FakeHub, opened: Callable[..., HubStore]
) -> None:
    store, other = opened(), opened()
    put(store, a=b"1")
    parent = store.version()
    hub.faults.planned = [Fault(status=504, after_success=True, hang_s=0.3)]
    landed: list[str] = []
    thread = threading.Thread(target=lambda: landed.append(store.commit({"mine": b"1"}, parent=parent, message="m")))
    thread.start()
    while other.version() == parent:
        pass
    put(other, theirs=b"1")
    thread.join()
    assert sorted(other.snapshot().names) == ["a", "mine", "theirs"]
    assert commits(hub) == 3
    (mine,) = landed
    assert "theirs" not in hub.repositories[f"datasets/{REPO}"].commits[mine]


def test_a_client_that_waited_too_long_does_not_commit_twice(hub: FakeHub, opened: Callable[..., HubStore]) -> None:
    store = opened()
    hub.faults.planned = [Fault(after_success=True), Fault(status=500), Fault(after_success=True)]
    for number in range(5):
        put(store, **{f"f{number}": b"x"})
    assert commits(hub) == 5


def test_a_rate_limit_is_waited_out_as_long_as_it_says(hub: FakeHub, opened: Callable[..., HubStore]) -> None:
    waited: list[float] = []
    store = opened(sleep=waited.append, waits=Waits(first_s=0.01, longest_s=0.1, patience_s=600))
    hub.faults.planned = [Fault(status=429, headers={"RateLimit": '"api";r=0;t=55', "Retry-After": "3"})]
    put(store, a=b"1")
    assert waited == [55.0]


def test_a_hub_that_is_down_is_told_after_a_while_and_the_commit_can_be_made_later(
    hub: FakeHub, opened: Callable[..., HubStore]
) -> None:
    store = opened(waits=Waits(first_s=0.01, longest_s=0.05, patience_s=0.2))
    put(store, a=b"1")
    assert store.snapshot().read("a") == b"1"
    hub.stop()
    assert store.snapshot().read("a") == b"1", "what was read before is still there"
    assert not store.reachable()
    with pytest.raises(HubUnreachable, match="cannot be reached"):
        store.commit({"b": b"2"}, parent=store.version(), message="while down")
    hub.start()
    put(store, b=b"2")
    assert store.reachable()
    assert commits(hub) == 2


def test_a_store_that_was_never_read_says_that_the_hub_is_down(hub: FakeHub, opened: Callable[..., HubStore]) -> None:
    store = opened()
    hub.stop()
    with pytest.raises(HubUnreachable):
        store.snapshot()


def test_without_a_token_or_a_dataset_the_error_says_what_to_do(hub: FakeHub, tmp_path: Path) -> None:
    for repo, token in ((REPO, None), ("alice/none", "hf_alice")):
        store = HubStore(HubRepository(repo, token=token, endpoint=hub.root), tmp_path, waits=QUICK)
        with pytest.raises(StoreUnusable, match="create it, or set HF_TOKEN"):
            store.version()
    reader = HubStore(HubRepository(REPO, token=hub.token, endpoint=hub.root), tmp_path, waits=QUICK)
    with pytest.raises(StoreUnusable, match="set HF_TOKEN to a token that may write"):
        put(reader, a=b"1")


def test_a_dataset_that_holds_something_else_is_left_alone(hub: FakeHub, opened: Callable[..., HubStore]) -> None:
    before = hub.add(f"datasets/{REPO}", {"train.csv": b"a,b\n", "README.md": b"# theirs"})
    with pytest.raises(StoreUnusable, match=r"holds train\.csv and is no board's store"):
        put(opened(), a=b"1")
    assert hub.repositories[f"datasets/{REPO}"].refs["main"] == before


def test_a_store_of_a_newer_program_is_left_alone(hub: FakeHub, opened: Callable[..., HubStore]) -> None:
    hub.add(f"datasets/{REPO}", {MARKER: b'{"schema": 99}'})
    with pytest.raises(StoreUnusable, match="schema 99"):
        put(opened(), a=b"1")


@pytest.mark.parametrize("name", [MARKER, ".gitattributes"])
def test_the_stores_own_files_are_neither_shown_nor_written(opened: Callable[..., HubStore], name: str) -> None:
    store = opened()
    put(store, a=b"1")
    assert store.snapshot().names == ("a",)
    with pytest.raises(KeyError):
        store.snapshot().read(name)
    with pytest.raises(InvalidName):
        put(store, **{name: b"1"})


def test_a_commit_of_what_is_there_already_still_checks_its_parent(opened: Callable[..., HubStore]) -> None:
    store = opened()
    old = put(store, a=b"1")
    put(store, b=b"2")
    with pytest.raises(VersionConflict):
        store.commit({"a": b"1"}, parent=old, message="the same again")


def test_only_what_changed_is_listed_and_fetched_again(hub: FakeHub, opened: Callable[..., HubStore]) -> None:
    store, reader = opened(), opened()
    put(store, **{f"results__o__m{n}__r.json": b"%d" % n for n in range(40)}, requests__o__m__a=b"1")
    snapshot = reader.snapshot("results/")
    assert [snapshot.read(name) for name in snapshot.names]
    put(store, requests__o__m__a=b"2", results__o__m7__r__json=b"new")
    hub.requests.clear()
    hub.downloads.clear()
    again = reader.snapshot("results/")
    assert [again.read(name) for name in again.names]
    assert [line for line in hub.requests if "/tree/" in line and "results" in line] != []
    assert len([line for line in hub.requests if "/tree/" in line]) <= 4, "the root, results, its owner, one model"
    assert len(hub.downloads) == 1


def test_a_damaged_content_in_the_cache_is_fetched_again(
    hub: FakeHub, opened: Callable[..., HubStore], tmp_path: Path
) -> None:
    put(opened(), a=b"content")
    reader = opened()
    assert reader.snapshot().read("a") == b"content"
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.read_bytes() == b"content":
            path.write_bytes(b"conten")
    assert reader.snapshot().read("a") == b"content"


def test_a_snapshot_is_not_asked_for_again_within_its_time(hub: FakeHub, opened: Callable[..., HubStore]) -> None:
    store = opened(refresh_s=3600)
    put(store, a=b"1")
    store.snapshot().read("a")
    hub.requests.clear()
    for _ in range(100):
        store.snapshot().read("a")
    assert len([line for line in hub.requests if "/paths-info/" not in line]) == 0


def test_threads_with_random_faults_lose_nothing_and_double_nothing(
    hub: FakeHub, opened: Callable[..., HubStore]
) -> None:
    put(opened(), sum=b"0")
    hub.faults.chaos = Chaos(kinds=COMMIT_CHAOS, rate=0.3, seed=7)

    def work(store: HubStore, name: str) -> None:
        for number in range(6):
            update(
                store,
                lambda now, n=number: {"sum": b"%d" % (int(now.read("sum")) + 1), f"by/{name}/{n}": b"1"},
                message="count",
            )

    threads = [threading.Thread(target=work, args=(opened(), str(n))) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hub.faults.chaos = None
    snapshot = opened().snapshot()
    assert snapshot.read("sum") == b"18"
    assert len([name for name in snapshot.names if name.startswith("by/")]) == 18
    assert commits(hub) == 19
    assert sum(hub.faults.happened.values()) > 0


def test_reads_survive_faults_too(hub: FakeHub, opened: Callable[..., HubStore]) -> None:
    store = opened()
    put(store, a=b"1")
    hub.faults.planned = [Fault(where=r"GET /api/datasets", status=500), Fault(where=r"GET /api/datasets")]
    assert store.snapshot().read("a") == b"1"
    assert COMMITS != EVERYTHING
    assert RATE_LIMITED["Retry-After"] == "0"
