"""Datasets on the board: reports are stored whole, and what models wrote stays text."""

from __future__ import annotations

from pathlib import Path

from leaderboard.datasets import (
    Cost,
    DatasetReport,
    Example,
    GenerationProgress,
    LengthBin,
    SourceCount,
    read_reports,
    report_changes,
)
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import update
from leaderboard.views.datasets import datasets_page, generation_progress

REPORT = DatasetReport(
    name="sums",
    made_at="2026-01-02T03:04:05+00:00",
    rows=150,
    problems=100,
    dropped={"wrong": 49, "truncated": 1},
    lengths=(LengthBin(tokens=16, rows=0), LengthBin(tokens=32, rows=100), LengthBin(tokens=1 << 30, rows=50)),
    tokens=4000,
    longest=40_000,
    long_rows=50,
    sources=(SourceCount(name="set <0>", kept=150, right=150, wrong=49),),
    licenses={"llama3.3": 150},
    warnings=("150 rows are under llama3.3",),
    model="owner/model",
    commit="a" * 40,
    cost=Cost(seconds=7200, tokens=4000, amount=1.5, currency="EUR"),
    examples=(Example(problem="What is <b>1</b>?", reasoning="<script>x</script>", answer="1", source="s", tokens=3),),
)


def store_with(tmp_path: Path, *reports: DatasetReport) -> SqliteStore:
    store = SqliteStore(tmp_path / "store.db")
    for report in reports:
        changes = report_changes(report)
        update(store, lambda _, changes=changes: changes, message="report")  # type: ignore[misc]
    return store


def test_a_report_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    assert read_reports(store_with(tmp_path, REPORT)) == [REPORT]


def test_a_file_that_is_no_report_is_left_out(tmp_path: Path) -> None:
    store = store_with(tmp_path, REPORT)
    update(store, lambda _: {"datasets/broken.json": b"{}"}, message="broken")
    assert read_reports(store) == [REPORT]


def test_the_list_names_every_dataset_and_an_empty_one_says_how_to_make_one() -> None:
    page = datasets_page([REPORT], None)
    assert 'href="datasets?name=sums"' in page
    assert "75.4 %" in page
    assert "1.50 EUR" in page
    assert "python -m backend_jobs generate RECIPE" in datasets_page([], None)


def test_an_opened_dataset_shows_lengths_sources_reasons_licences_and_examples() -> None:
    page = datasets_page([REPORT], "sums")
    for shown in ("≤ 32", "more", "66.7 %", "50 (33.3 %)", "truncated", "150 rows are under llama3.3", "2 h 0 min"):
        assert shown in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "set &lt;0&gt;" in page


def test_an_unknown_dataset_is_said() -> None:
    assert "There is no dataset <code>&lt;x&gt;</code>" in datasets_page([REPORT], "<x>")


def test_a_running_generation_shows_speed_cost_end_and_lengths() -> None:
    page = generation_progress(
        GenerationProgress(
            phase="generating",
            samples=500,
            total=2000,
            kept=300,
            right=300,
            wrong=100,
            dropped={"wrong": 100},
            tokens_per_s=1234.0,
            eta_s=90,
            cost=Cost(amount=12.345),
            lengths=(LengthBin(tokens=64, rows=500),),
        )
    )
    for shown in ("500 of 2,000 samples", "75.0 % right", "1,234 tokens/s", "12.35 USD", "1 min 30 s left", "≤ 64"):
        assert shown in page
    waiting = generation_progress(GenerationProgress(phase="waiting", message="starting vLLM"))
    assert "starting vLLM" in waiting
