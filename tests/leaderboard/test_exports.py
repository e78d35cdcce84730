"""Results in other people's forms: the Hub's model pages, Every Eval Ever, lighteval's details, model-index, badges."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from leaderboard.api.badge import shown_score, svg
from leaderboard.board import Board
from leaderboard.exports.every_eval_ever import record_path, write_records
from leaderboard.exports.lighteval_details import write_details
from leaderboard.exports.model_pages import model_index, proposals, propose
from leaderboard.sqlite_store import SqliteStore
from tests.fakes.hub_server import FakeHub
from tests.leaderboard.measurements import measurement
from tests.leaderboard.page_content import HOSTILE, measured, publish

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
on_the_hub = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")
MODEL, URL = "open-r1/OpenR1-Distill-7B", "https://board.example"
REQUIRED = {
    "schema_version",
    "evaluation_id",
    "retrieved_timestamp",
    "source_metadata",
    "model_info",
    "eval_library",
    "evaluation_results",
}
"""What the schema, version 0.3.0, asks of a record."""


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.account("board", token="hf_board")
        fake.add(MODEL, {"README.md": b"# model"})
        yield fake


def ranked(store: SqliteStore) -> str:
    """A result that follows the whole protocol of MATH-500."""
    return publish(store, measured(problems=500, attempts=4, correct_problems=300))


@on_the_hub
def test_a_result_is_proposed_once_to_its_models_page_and_reads_back(store: SqliteStore, hub: FakeHub) -> None:
    key = ranked(store)
    board = Board(store)
    (proposal,) = proposals(board, store.snapshot(), board_url=URL)
    made = propose(proposal, store, token="hf_board", endpoint=hub.root)
    assert made is not None
    assert made.url == f"{hub.root}/{MODEL}/discussions/1"
    files = hub.repositories[MODEL].commits[hub.repositories[MODEL].refs["refs/pr/1"]]
    (entry,) = parse_eval_result_entries(yaml.safe_load(files[".eval_results/open-r1-math_500.yaml"]))
    row = board.row(key)
    assert (entry.dataset_id, entry.task_id) == ("HuggingFaceH4/MATH-500", "math_500")
    assert entry.value == round(row.statistics.score, 2)
    assert entry.source_url == f"{URL}/result?plan={key}"
    assert proposals(board, store.snapshot(), board_url=URL) == []


@on_the_hub
def test_a_proposal_that_is_on_the_hub_already_is_not_made_again(
    store: SqliteStore, hub: FakeHub, tmp_path: Path
) -> None:
    ranked(store)
    (proposal,) = proposals(Board(store), store.snapshot(), board_url=URL)
    forgetful = SqliteStore(tmp_path / "forgetful.db")
    propose(proposal, forgetful, token="hf_board", endpoint=hub.root)
    assert propose(proposal, store, token="hf_board", endpoint=hub.root) is None
    assert len(hub.repositories[MODEL].discussions) == 1
    assert proposals(Board(store), store.snapshot(), board_url=URL) == [], "and it is remembered from now on"


def test_what_is_not_ranked_is_never_proposed(store: SqliteStore) -> None:
    publish(store, measured())
    publish(store, measurement([4] * 400, model="local/demo"))
    assert proposals(Board(store), store.snapshot(), board_url=URL) == []


def test_records_have_what_the_schema_asks_for_and_the_boards_numbers(store: SqliteStore, tmp_path: Path) -> None:
    key = publish(store, measured())
    row = Board(store).row(key)
    write_records(Board(store), tmp_path, organization="open-r1")
    record = json.loads((tmp_path / record_path(row)).read_text())
    assert record.keys() >= REQUIRED
    assert record["schema_version"] == "0.3.0"
    assert record["source_metadata"]["evaluator_relationship"] == "first_party"
    (result,) = record["evaluation_results"]
    assert result["score_details"]["score"] == pytest.approx(row.statistics.score / 100)
    assert result["score_details"]["uncertainty"]["confidence_interval"]["upper"] == row.statistics.ci95[1] / 100
    assert all(isinstance(value, str) for value in result["score_details"]["details"].values())
    beside = record["detailed_evaluation_results"]
    samples = (tmp_path / beside["file_path"]).read_bytes()
    assert hashlib.sha256(samples).hexdigest() == beside["checksum"]
    lines = [json.loads(line) for line in samples.splitlines()]
    assert len(lines) == beside["total_rows"] == 18
    assert {line["evaluation_id"] for line in lines} == {record["evaluation_id"]}
    assert sum(line["evaluation"]["is_correct"] for line in lines) == row.verdicts["correct"]


def test_the_record_of_a_result_is_always_the_same_file(store: SqliteStore, tmp_path: Path) -> None:
    publish(store, measured())
    first = write_records(Board(store), tmp_path, organization="o")
    contents = [path.read_bytes() for path in first]
    assert write_records(Board(store), tmp_path, organization="o") == first
    assert [path.read_bytes() for path in first] == contents
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first[-1].stem)


def test_no_text_of_gpqa_is_exported(store: SqliteStore, tmp_path: Path) -> None:
    publish(store, measurement([1, 2], bench="gpqa_diamond", attempts=8))
    write_records(Board(store), tmp_path / "records", organization="o")
    write_details(Board(store), tmp_path / "details")
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".db"]
    assert len([path for path in files if path.suffix == ".json"]) == 1
    assert not any(b"secret question" in path.read_bytes() for path in files if "records" in str(path))
    assert not (tmp_path / "details").exists()


def test_lightevals_details_hold_one_row_per_document_with_its_own_fields(store: SqliteStore, tmp_path: Path) -> None:
    publish(store, measured())
    (file,) = write_details(Board(store), tmp_path)
    assert re.search(rf"details/{MODEL}/[^/]+/details_open_r1:math_500\|0_[^/]+\.parquet$", str(file))
    table = pd.read_parquet(io.BytesIO(file.read_bytes()))
    assert list(table.columns) == ["doc", "metric", "model_response"]
    first: dict[str, Any] = table.iloc[0].to_dict()
    assert first["doc"]["id"] == "p0"
    assert len(first["model_response"]["text"]) == first["doc"]["num_samples"] == 3
    assert first["metric"]["pass@1"] == 1.0


def test_model_index_metadata_reads_back_with_the_hubs_own_reader(store: SqliteStore) -> None:
    key = publish(store, measured())
    row = Board(store).row(key)
    block = yaml.safe_load(model_index(Board(store).rows(), MODEL, URL))
    name, (result,) = model_index_to_eval_results(block["model-index"])
    assert (name, result.metric_value) == (MODEL, round(row.statistics.score, 2))
    assert model_index(Board(store).rows(), "nobody/none", URL) == ""


def test_a_badge_is_well_formed_whatever_it_says(store: SqliteStore) -> None:
    publish(store, measured())
    assert shown_score(Board(store), "nobody/none", "math_500") is None
    value = shown_score(Board(store), MODEL, "math_500")
    assert value is not None
    assert value.endswith("not ranked")
    for text in (value, HOSTILE):
        root = ElementTree.fromstring(svg("MATH-500", text, known=True))
        assert root.tag.endswith("svg")
        assert not root.findall(".//{http://www.w3.org/2000/svg}script")
