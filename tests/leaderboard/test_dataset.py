"""The dataset people load: with the datasets library, pandas and DuckDB, from a server with the Hub's protocol."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
import yaml
from huggingface_hub import HfApi, HfFileSystem, snapshot_download

from backend_jobs.compaction import compact
from backend_jobs.queue import StoreQueue
from leaderboard.board import Board
from leaderboard.dataset.card import FILES
from leaderboard.dataset.columns import TABLES
from leaderboard.dataset.corrections import read_corrections
from leaderboard.dataset.validate import validate
from leaderboard.history import regraded
from leaderboard.hub_repository import HubRepository
from leaderboard.hub_store import HubStore
from leaderboard.moderation import hide
from leaderboard.results import result_file
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import Store, update
from leaderboard.types import JobKind, Submission
from tests.fakes.hub_server import FakeHub
from tests.leaderboard.measurements import measurement
from tests.leaderboard.page_content import measured, publish

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
on_the_hub = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
REPO = "alice/board"
JOB = Submission(
    id="j1",
    kind=JobKind.EVALUATE,
    model="o/m",
    submitted_at="2026-01-01T00:00:00+00:00",
    benchmarks=("math_500", "aime_2024"),
)
LOAD = """
import json, sys
from datasets import load_dataset, get_dataset_config_names
found = {}
for name in get_dataset_config_names(sys.argv[1]):
    rows = load_dataset(sys.argv[1], name, split="train")
    found[name] = {"columns": rows.column_names, "rows": len(rows)}
    if name == "leaderboard":
        found["scores"] = {f"{r['benchmark']} {r['model']}": r["score"] for r in rows}
print(json.dumps(found, default=str))
"""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A board on the local Hub with three results and a submission, compacted."""

    hub: FakeHub
    store: HubStore
    keys: tuple[str, ...]


def fill(store: Store) -> tuple[str, ...]:
    StoreQueue(store).submit(JOB)
    return (
        publish(store, measured()),
        publish(store, measured(model="open-r1/other", correct_problems=2)),
        publish(store, measurement([1, 2, 3], bench="gpqa_diamond", attempts=8, model="open-r1/gpqa")),
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    with FakeHub() as hub:
        hub.account("alice", token="hf_alice")
        HfApi(endpoint=hub.root, token="hf_alice").create_repo(REPO, repo_type="dataset")
        repository = HubRepository(REPO, token="hf_alice", endpoint=hub.root)
        store = HubStore(repository, tmp_path_factory.mktemp("cache"), refresh_s=0)
        keys = fill(store)
        compact(store)
        yield Published(hub=hub, store=store, keys=keys)


@on_the_hub
def test_every_config_loads_with_the_types_of_its_card(published: Published, tmp_path: Path) -> None:
    environment = {
        "HF_ENDPOINT": published.hub.root,
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-c", LOAD, REPO], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    scores = found.pop("scores")
    assert list(found) == list(FILES)[:-1], "corrections has no row, and could not be loaded"
    for table in TABLES[:-1]:
        assert found[table.name]["columns"][: len(table.schema)] == table.schema.names
    assert {name: each["rows"] for name, each in found.items()} == {
        "leaderboard": 3,
        "results": 3,
        "attempts": 6 * 3 + 6 * 3 + 3 * 8,
        "problems": 15,
        "requests": 1,
    }
    rows = Board(published.store).rows()
    assert scores == {f"{row.benchmark} {row.model}": row.statistics.score for row in rows}


@on_the_hub
def test_pandas_reads_it_through_hf_addresses(published: Published) -> None:
    files = HfFileSystem(endpoint=published.hub.root, token=False, skip_instance_cache=True)
    with files.open(f"datasets/{REPO}/results.parquet") as file:
        results = pd.read_parquet(file)
    assert set(results["plan_key"]) == set(published.keys)


@on_the_hub
def test_duckdb_reads_a_download_of_it(published: Published, tmp_path: Path) -> None:
    folder = snapshot_download(
        REPO, repo_type="dataset", endpoint=published.hub.root, token=False, local_dir=tmp_path / "d"
    )
    best = duckdb.sql(
        f"SELECT model FROM '{folder}/leaderboard.parquet' WHERE benchmark = 'math_500' ORDER BY score DESC LIMIT 1"
    ).fetchall()
    assert best == [("open-r1/OpenR1-Distill-7B",)]
    attempts = duckdb.sql(f"SELECT count(*), count(text) FROM '{folder}/attempts/*.parquet'").fetchall()
    assert attempts == [(60, 36)], "of GPQA's 24 attempts no text is there"


@on_the_hub
def test_a_board_that_starts_elsewhere_reads_two_files_for_all_results(published: Published, tmp_path: Path) -> None:
    repository = HubRepository(REPO, token="hf_alice", endpoint=published.hub.root)
    published.hub.downloads.clear()
    fresh = HubStore(repository, tmp_path / "cache", refresh_s=0)
    assert {row.plan_key for row in Board(fresh).rows()} == set(published.keys)
    assert [name for _, _, name in published.hub.downloads if name.startswith("results")] == ["results.parquet"]


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


def test_compacting_twice_changes_nothing_and_a_new_result_changes_what_it_must(store: SqliteStore) -> None:
    fill(store)
    first = compact(store)
    tables = [name for name in FILES.values() if "*" not in name]
    assert first == sorted([*tables, "README.md", "corrections.jsonl"])
    assert compact(store) == []
    publish(store, measured(model="open-r1/third"))
    assert compact(store) == ["README.md", "leaderboard.parquet", "problems.parquet", "results.parquet"]


def test_the_tables_hold_the_whole_files_unchanged(store: SqliteStore) -> None:
    fill(store)
    compact(store)
    snapshot = store.snapshot()
    table = pd.read_parquet(io.BytesIO(snapshot.read("results.parquet")))
    assert all(snapshot.read(name) == content for name, content in zip(table["file"], table["content"], strict=True))


def test_an_empty_board_can_be_compacted_and_is_valid(store: SqliteStore) -> None:
    compact(store)
    assert validate(store.snapshot()).faults == ()
    assert len(pd.read_parquet(io.BytesIO(store.snapshot().read("leaderboard.parquet")))) == 0
    assert yaml.safe_load(store.snapshot().read("README.md").split(b"---")[1])["configs"] == []


def test_corrections_only_grow_and_name_who_and_why(store: SqliteStore) -> None:
    first, second, _ = fill(store)
    board = Board(store)
    newer = measured(correct_problems=4)
    newer = replace(newer, plan=replace(newer.plan, grader_version="2+test"))

    def edit(snapshot: Any) -> Any:
        return regraded(
            board.row(first), newer, attempts=board.attempts(first), at="2026-05-01T00:00:00+00:00", stored=snapshot
        )[1]

    update(store, edit, message="regrade")
    compact(store)
    before = store.snapshot().read("corrections.jsonl")
    hide(store, second, "its weights are another model's", by="maintainer")
    compact(store)
    after = store.snapshot().read("corrections.jsonl")
    assert after.startswith(before)
    listed = read_corrections(store.snapshot())
    assert [(each.kind, each.plan_key) for each in listed] == [("regraded", first), ("hidden", second)]
    assert (listed[1].by, listed[1].reason) == ("maintainer", "its weights are another model's")
    assert listed[0].replaced_by in {row.plan_key for row in board.rows()}


def test_a_sound_store_is_valid_with_every_attempt_looked_at(store: SqliteStore) -> None:
    fill(store)
    compact(store)
    found = validate(store.snapshot())
    assert found.faults == ()
    assert (found.results, found.attempts) == (3, 60)


def test_the_validator_names_each_kind_of_damage(store: SqliteStore) -> None:
    key, other, _ = fill(store)
    row = Board(store).row(key)
    name = result_file(row.model, key)
    content = json.loads(store.snapshot().read(name))
    score = {**content["statistics"], "score": content["statistics"]["score"] - 1}
    damage: dict[str, tuple[dict[str, bytes | None], str]] = {
        "score": ({name: json.dumps({**content, "statistics": score}).encode()}, "the result says"),
        "place": ({"results/a/b/c.json": json.dumps(content).encode()}, "its content belongs at"),
        "plan": (
            {name: json.dumps({**content, "plan": {**content["plan"], "max_tokens": 1}}).encode()},
            "its plan gives",
        ),
        "torn": ({name: b"{"}, "is not JSON"),
        "counts": ({f"problems/{other}.parquet": None}, "missing, although result"),
        "corrections": ({"corrections.jsonl": b"{}\n"}, "is damaged"),
    }
    for what, (changes, said) in damage.items():
        snapshot = store.snapshot()
        kept = {each: snapshot.read(each) if each in snapshot.names else None for each in changes}
        store.commit(changes, parent=snapshot.version, message=what)
        assert any(said in fault for fault in validate(store.snapshot()).faults), what
        store.commit(kept, parent=store.version(), message="repair")
    assert validate(store.snapshot()).faults == ()
