"""The page of a model: every result, what stands behind each, and nothing of another model."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_jobs.run_log import FileTrainingLog
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.lengths import BINS, Length, histogram
from leaderboard.pages.frame import PageContext
from leaderboard.pages.model import render_model
from leaderboard.sqlite_store import SqliteStore
from leaderboard.views.lengths import lengths_section
from tests.leaderboard.measurements import checkpoint, measurement, publish
from tests.leaderboard.page_content import HOSTILE, MemoryLive, MemoryQueue
from tests.leaderboard.test_views import Page, assert_harmless


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


def shown(store: SqliteStore, model: str | None, commit: str | None = None) -> Page:
    board = Board(store)

    def submit(_: dict[str, object], __: str) -> None:
        raise AssertionError("nothing is submitted here")

    context = PageContext(
        board=board,
        files=BoardFiles(board),
        queue=MemoryQueue(),
        live=MemoryLive(),
        submit=submit,  # type: ignore[arg-type]
        training=FileTrainingLog(Path("no-runs")),
        local_mode=True,
    )
    return assert_harmless(render_model(context, model, commit))


def test_a_model_shows_its_results_on_every_benchmark_and_no_others(store: SqliteStore) -> None:
    (arithmetic,) = publish(store, measurement([4, 2], model="owner/a"))
    (math,) = publish(store, measurement([4, 0], model="owner/a", bench="math_500"))
    (other,) = publish(store, measurement([1, 1], model="owner/b"))
    page = shown(store, "owner/a")
    assert {f"result?plan={arithmetic}", f"result?plan={math}"} <= set(page.links)
    assert f"result?plan={other}" not in page.links
    assert "https://huggingface.co/owner/a" in page.links
    assert page.text.index("MATH-500") < page.text.index("Arithmetic")
    assert "python -m backend_jobs evaluate --model owner/a" in page.text
    assert "temperature" in page.text
    assert "By number of tries" in page.text


def test_checkpoints_of_a_run_are_its_lineage(store: SqliteStore) -> None:
    for step in (200, 100):
        publish(store, measurement([4, 2], commit=f"{step:040d}"), weights=checkpoint(step=step))
    page = shown(store, "owner/model", f"{100:040d}")
    assert page.text.index("step 100 of demo") < page.text.index("step 200 of demo")
    assert [value for name, value in page.attributes if name == "aria-current"] == ["true"]


@pytest.mark.parametrize("model", [None, "", "owner/nothing", HOSTILE])
def test_a_model_that_is_not_here_says_so(store: SqliteStore, model: str | None) -> None:
    assert "No " in shown(store, model).text


def test_lengths_are_counted_by_outcome_and_drawn_with_words_for_screen_readers() -> None:
    lengths = [
        Length(attempt=0, tokens=10, verdict="correct"),
        Length(attempt=1, tokens=10, verdict="incorrect"),
        Length(attempt=2, tokens=480, verdict="no_answer"),
        Length(attempt=3, tokens=0, verdict="correct"),
    ]
    bins = histogram(lengths)
    assert len(bins) == BINS
    assert bins[0].counts == (2, 1, 0)
    assert bins[-1].counts == (0, 0, 1)
    assert bins[-1].high == 480
    assert sum(sum(each.counts) for each in bins) == len(lengths)
    page = assert_harmless(lengths_section(lengths))
    assert any(
        value and "0 to 20: 3 answers, 2 right" in value for name, value in page.attributes if name == "aria-label"
    )


def test_no_picture_is_drawn_where_a_length_is_missing() -> None:
    assert lengths_section([]) == ""
    assert lengths_section([Length(attempt=0, tokens=None, verdict="correct")]) == ""
