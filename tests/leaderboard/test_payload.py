"""The board's files: what the browser decodes is what the board says, and it travels once per set of results."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from evaluator.benchmarks import BENCHMARKS
from evaluator.statistics import widest_ci95, within_resampling
from evaluator.types import Checkpoint, Lineage, ModelFacts, ModelKind
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.facts import known_models, merged, stated_facts, trained_facts
from leaderboard.page_head import PageHead
from leaderboard.payload import board_json, hundredths, tenths
from leaderboard.references import published_scores
from leaderboard.results import publish_changes
from leaderboard.site_routes import asset_link, site_routes
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import update
from leaderboard.types import ReferenceKind, ReferenceScore, Standing
from tests.leaderboard.page_content import HOSTILE, measured, publish


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


@pytest.fixture
def files(store: SqliteStore) -> BoardFiles:
    return BoardFiles(Board(store, published_scores()))


@pytest.fixture
def client(files: BoardFiles) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=site_routes(files))) as started:
        yield started


def content(client: TestClient, name: str) -> dict[str, Any]:
    return dict(client.get(f"/site/data/{name}").json())


def decoded(values: list[int]) -> list[int]:
    return [sum(values[: place + 1]) for place in range(len(values))]


def row_of(standings: tuple[Standing, ...], model: str) -> Standing:
    (found,) = [s for s in standings if s.model == model]
    return found


def test_every_cell_of_the_file_is_the_boards_own_number(store: SqliteStore) -> None:
    for correct in (5, 3, 1):
        publish(store, measured(model=f"a/right-{correct}", correct_problems=correct))
    standings = Board(store).standings()
    cells = board_json(standings, (), version="")["cells"]["math_500"]
    rows, scores = decoded(cells["row"]), decoded(cells["score"])
    assert scores == sorted(scores, reverse=True)
    for place, row in enumerate(rows):
        score = standings[row].scores["math_500"]
        shown = (scores[place] + 5) // 10
        assert f"{score.score:.1f}" == f"{shown / 10:.1f}"
        bounds = [(shown - cells["low"][place]) / 10, (shown + cells["high"][place]) / 10]
        assert bounds == [float(f"{bound:.1f}") for bound in score.ci95]
        ranks = (decoded(cells["best"])[place], decoded(cells["worst"])[place])
        assert ranks == (score.rank or (0, 0))


@pytest.mark.parametrize("points", [0.0, 80.85, 80.8466, 80.8533, 99.96, 100.0, 80.75, 0.05])
def test_a_score_in_hundredths_rounds_to_what_is_written_elsewhere(points: float) -> None:
    assert (hundredths(points) + 5) // 10 == tenths(points) == round(10 * float(f"{points:.1f}"))


def test_one_model_under_two_protocols_has_two_rows_and_the_words_say_why(store: SqliteStore) -> None:
    publish(store, measured())
    publish(store, measured(attempts=1))
    one, two = Board(store).standings()
    assert one.model == two.model
    assert {s.protocol.words[-1] for s in (one, two)} == {"3 attempts per problem", "1 attempt per problem"}


def test_checkpoints_of_one_name_are_told_apart_and_others_take_no_room(store: SqliteStore) -> None:
    publish(store, measured(model="a/alone"))
    for commit, revision in (("1" * 40, "v1"), ("2" * 40, None)):
        made = measured(model="a/twice")
        made = replace(made, plan=replace(made.plan, commit=commit))
        weights = Checkpoint(model="a/twice", revision=revision, commit=commit)
        _, changes = publish_changes([made], checkpoint=weights, measured_at="2026-03-02T14:05:10+00:00")
        store.commit(changes, parent=store.snapshot().version, message="publish")
    standings = Board(store).standings()
    told = board_json(standings, (), version="")["rows"]["weights"]
    assert {standings[row].model for row in told} == {"a/twice"}
    assert set(told.values()) == {"v1", "22222222"}


def test_a_reader_gets_each_file_once_and_then_304_until_results_change(store: SqliteStore, client: TestClient) -> None:
    publish(store, measured())
    first = client.get("/site/data/board.json")
    assert first.headers["content-encoding"] == "gzip"
    again = client.get("/site/data/board.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    publish(store, measured(model="another/model"))
    renewed = client.get("/site/data/board.json", headers={"If-None-Match": first.headers["etag"]})
    assert renewed.status_code == 200
    assert "another/model" in renewed.json()["rows"]["model"]
    plain = client.get("/site/data/board.json", headers={"Accept-Encoding": "identity"})
    assert plain.json() == renewed.json()
    assert "content-encoding" not in plain.headers


def test_a_heartbeat_changes_no_file(store: SqliteStore, files: BoardFiles) -> None:
    publish(store, measured())
    before = files.get("board.json")
    update(store, lambda _: {"requests/a/b/1.json": b"{}"}, message="beat")
    assert files.get("board.json") is before


def test_the_details_belong_to_the_same_results_and_name_them(store: SqliteStore, client: TestClient) -> None:
    key = publish(store, measured())
    board, details = content(client, "board.json"), content(client, "details.json")
    assert board["version"] == details["version"]
    assert details["cells"]["math_500"]["plan"] == [key]


def test_a_reported_score_says_whether_resampling_explains_the_gap(store: SqliteStore) -> None:
    publish(store, measured(correct_problems=3))
    row = row_of(Board(store).standings(), "open-r1/OpenR1-Distill-7B")
    near, far = row.scores["math_500"].score + 0.1, 1.0
    for claimed, within in ((near, 1), (far, 0)):
        claim = ReferenceScore(
            model="Open-R1/openr1-distill-7b",
            benchmark="math_500",
            score=claimed,
            kind=ReferenceKind.REPORTED,
            source="paper",
            url="https://example.org",
            date="2025-01-01",
            settings="",
        )
        reported = board_json((row,), (claim,), version="")["reported"]["math_500"]
        expected = within_resampling(
            row.scores["math_500"].score - claimed,
            stderr=row.scores["math_500"].stderr_decoding,
            attempts=row.scores["math_500"].attempts_per_problem,
            other_attempts=None,
        )
        assert reported["within"] == [int(bool(expected))]
        assert bool(expected) == bool(within) or row.scores["math_500"].stderr_decoding == 0


def test_resampling_explains_a_gap_of_two_errors_of_a_difference_and_no_more() -> None:
    # Equal attempts on both sides: the difference of two runs has sqrt(2) times one run's error.
    limit = 1.96 * 2 * 2**0.5
    assert within_resampling(limit - 1e-6, stderr=2.0, attempts=4, other_attempts=4)
    assert not within_resampling(limit + 1e-6, stderr=2.0, attempts=4, other_attempts=4)
    assert within_resampling(1.0, stderr=None, attempts=1, other_attempts=4) is None
    # Theirs unknown: one attempt per problem is assumed, the widest error there could be.
    assert within_resampling(limit + 1, stderr=2.0, attempts=4, other_attempts=None)


def test_the_widest_interval_holds_the_score_and_narrows_with_problems() -> None:
    for score in (0.0, 50.4, 100.0):
        low, high = widest_ci95(score, 30)
        assert low <= score <= high
        assert widest_ci95(score, 500)[1] - widest_ci95(score, 500)[0] < high - low


def test_facts_come_from_the_checkpoint_first_and_unknown_stays_unknown(store: SqliteStore) -> None:
    run = measured(model="open-r1/OpenR1-Distill-7B")
    weights = Checkpoint(
        model=run.plan.model, commit=run.plan.commit, facts=ModelFacts(parameters=7_000_000_001, kind=ModelKind.SFT)
    )
    update(
        store,
        lambda _: publish_changes([run], checkpoint=weights, measured_at="2026-01-01T00:00:00+00:00")[1],
        message="published",
    )
    publish(store, measured(model="nobody/knows"))
    facts = {s.model: s.facts for s in Board(store).standings()}
    assert facts["open-r1/OpenR1-Distill-7B"].parameters == 7_000_000_001
    assert facts["open-r1/OpenR1-Distill-7B"].kind is ModelKind.SFT
    assert facts["open-r1/OpenR1-Distill-7B"].licence == "apache-2.0"
    assert facts["nobody/knows"] == ModelFacts() == merged(None)


def test_a_run_of_ours_says_how_it_trained_and_a_card_by_its_tags() -> None:
    grpo = Lineage(run="r", step=1, recipe_hash="h", parent="a/base@1", method="grpo")
    assert trained_facts(grpo) == ModelFacts(kind=ModelKind.RL, base="a/base@1")
    assert trained_facts(Lineage(run="r", step=1, recipe_hash="h")) == ModelFacts()
    card = stated_facts(parameters=7, licence="mit", base="a/base", tags=("trl", "sft", "GRPO"))
    assert card == ModelFacts(parameters=7, kind=ModelKind.RL, licence="mit", base="a/base")
    assert stated_facts(parameters=None, licence=None, base=None, tags=("transformers",)) == ModelFacts()


def test_every_model_of_the_published_scores_is_described() -> None:
    assert {score.model.lower() for score in published_scores()} <= known_models().keys()


def test_what_is_shown_can_be_kept_as_csv_and_parquet(store: SqliteStore, client: TestClient) -> None:
    publish(store, measured(model="b/second", correct_problems=1))
    publish(store, measured(model="a/first"))
    board = content(client, "board.json")
    order = [board["rows"]["model"].index("b/second"), board["rows"]["model"].index("a/first")]
    asked = {"version": board["version"], "rows": order, "benchmarks": ["math_500"]}
    parquet = pq.read_table(io.BytesIO(client.post("/site/data/table.parquet", json=asked).content))
    assert parquet["model"].to_pylist() == ["b/second", "a/first"]
    assert parquet["benchmark"].to_pylist() == ["math_500", "math_500"]
    lines = client.post("/site/data/table.csv", json=asked).text.splitlines()
    assert lines[0].split(",")[:4] == ["benchmark", "model", "revision", "commit"]
    assert len(lines) == 3


def test_a_table_of_other_results_or_rows_is_refused(store: SqliteStore, client: TestClient) -> None:
    publish(store, measured())
    version = content(client, "board.json")["version"]
    asked = {"version": version, "rows": [0], "benchmarks": ["math_500"]}
    assert client.post("/site/data/table.csv", json=asked | {"version": "old"}).status_code == 409
    assert client.post("/site/data/table.csv", json=asked | {"rows": [7]}).status_code == 400
    assert client.post("/site/data/table.csv", json=asked | {"rows": [-1]}).status_code == 400
    assert client.post("/site/data/table.csv", content=b"not json").status_code == 400
    assert client.post("/site/data/table.exe", json=asked).status_code == 404


def test_only_assets_are_served_and_for_ever_under_their_version(client: TestClient) -> None:
    found = client.get("/" + asset_link("js/board.js"))
    assert found.headers["content-type"].startswith("text/javascript")
    assert "immutable" in found.headers["cache-control"]
    assert client.get("/site/old/js/board.js").headers["cache-control"] == "no-cache"
    assert client.get("/site/x/../board.py").status_code == 404
    assert client.get("/site/x/%2e%2e/board.py").status_code == 404
    assert client.get("/site/data/secret.json").status_code == 404


def test_the_head_of_every_page_and_nothing_else_gets_our_tags() -> None:
    async def page(_: object) -> HTMLResponse:
        return HTMLResponse("<html><head></head><body></body></html>")

    async def data(_: object) -> HTMLResponse:
        return HTMLResponse("</head>", media_type="text/plain")

    routes = [Route("/", page), Route("/data", data)]
    with TestClient(Starlette(routes=routes, middleware=[Middleware(PageHead, tags="<link>")])) as client:
        assert client.get("/").text == "<html><head><link></head><body></body></html>"
        assert client.get("/data").text == "</head>"


def test_a_name_travels_as_it_is_written_and_becomes_markup_nowhere(store: SqliteStore, client: TestClient) -> None:
    publish(store, measured(model=HOSTILE))
    response = client.get("/site/data/board.json")
    assert response.headers["content-type"] == "application/json"
    assert response.json()["rows"]["model"] == [HOSTILE]


def test_every_benchmark_has_its_column_even_where_nothing_was_measured(files: BoardFiles) -> None:
    board = json.loads(gzip.decompress(files.get("board.json").content))
    assert set(board["cells"]) == set(BENCHMARKS)
