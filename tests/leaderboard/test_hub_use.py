"""What is left of the Hub is read from its own answers, shown, and spared before it is used up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from prometheus_client.parser import text_string_to_metric_families

from leaderboard.health import GB, Health
from leaderboard.hub_health import hub_checks
from leaderboard.hub_repository import HubRepository
from leaderboard.hub_store import HubStore
from leaderboard.hub_use import COMMITS_AN_HOUR, HOUR_S, USE, HubUse
from leaderboard.live import FileLive
from leaderboard.metrics import Metrics
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import update
from tests.fakes.hub_server import FakeHub

needs_client = pytest.mark.skipif(
    os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"),
    reason="HF_HUB_OFFLINE keeps the Hub's client from asking even a server on loopback",
)


class Seconds:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_commits_of_the_last_hour_are_counted_and_near_the_limit_things_are_spared() -> None:
    clock = Seconds()
    use = HubUse(clock=clock)
    for _ in range(int(0.85 * COMMITS_AN_HOUR)):
        use.committed()
    assert use.scarce() == ""
    use.committed()
    assert "commits in the last hour" in use.scarce()
    clock.now += HOUR_S + 1
    assert (use.commits(), use.scarce()) == (0, "")


def test_what_the_hub_says_is_left_holds_until_its_reset() -> None:
    clock = Seconds()
    use = HubUse(clock=clock)
    use.answered("api", remaining=400, limit=1000, reset_s=300)
    assert use.scarce() == ""
    use.answered("api", remaining=140, limit=1000, reset_s=300)
    assert use.scarce() == "140 of 1000 api requests left"
    clock.now += 301
    assert (use.scarce(), use.allowances()) == ("", {})


def test_the_checks_say_what_is_left_and_what_to_do(tmp_path: Path) -> None:
    store, use = SqliteStore(tmp_path / "store.db"), HubUse()
    assert all(check.ok for check in hub_checks(store, use, storage_gb=10))
    use.storage_bytes = int(9.5 * GB)
    use.answered("api", remaining=1, limit=1000, reset_s=300)
    found = {check.name: check for check in hub_checks(store, use, storage_gb=10)}
    assert not found["hub quota"].ok
    assert not found["hub storage"].ok
    assert "store copy" in found["hub storage"].detail
    assert not any(check.vital for check in found.values()), "visitors are still served"


def test_the_metrics_name_what_is_left(tmp_path: Path) -> None:
    use = HubUse(storage_bytes=12)
    use.answered("api", remaining=7, limit=10, reset_s=300)
    use.committed()
    use.waited()
    text = Metrics(lambda: Health(checks=()), FileLive(tmp_path), use).exposition().decode()
    found = {sample.name: sample.value for each in text_string_to_metric_families(text) for sample in each.samples}
    assert found["openr1_hub_requests_left"] == 7
    assert found["openr1_hub_commits_last_hour"] == 1
    assert found["openr1_hub_waits_total"] == 1
    assert found["openr1_hub_storage_bytes"] == 12


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.account("alice", token="hf_alice")
        HfApi(endpoint=fake.root, token="hf_alice").create_repo("alice/board", repo_type="dataset")
        yield fake


@needs_client
def test_commits_and_requests_to_wait_are_noted_from_real_answers(hub: FakeHub, tmp_path: Path) -> None:
    before, waits = USE.commits(), USE.waits
    store = HubStore(HubRepository("alice/board", token="hf_alice", endpoint=hub.root), tmp_path, refresh_s=0.0)
    update(store, lambda _: {"notes/one": b"1"}, message="one")
    assert USE.commits() == before + 1
    hub.status = 429
    store.refresh()
    assert not store.reachable()
    assert USE.waits > waits
    hub.status = None
    store.refresh()
    assert store.reachable()
    store.measure()
