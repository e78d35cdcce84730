"""Trials: kept with their job, shown there, never a result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from leaderboard.board import Board
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import update
from leaderboard.trials import TrialUnreadable, read_trials, trial_changes
from leaderboard.types import Failure, JobRecord, Status
from leaderboard.views.live import ADVICE
from leaderboard.views.queue import queue_page
from tests.leaderboard.measurements import measurement
from tests.leaderboard.page_content import HOSTILE, job, measured
from tests.leaderboard.test_views import Page, assert_harmless


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db")


def keep(store: SqliteStore, job_id: str, *names: str) -> None:
    done = [
        measured(name, problems=1, attempts=1) if name == "math_500" else measurement([1], attempts=1, bench=name)
        for name in names
    ]
    update(store, lambda _: trial_changes(done, job_id), message="trial")


def shown(store: SqliteStore, record: JobRecord) -> Page:
    trials = {record.submission.id: read_trials(store, record.submission.id)}
    return assert_harmless(queue_page([record], {}, {}, may_act=True, trials=trials))


def test_a_trial_comes_back_as_it_was_kept_and_is_no_result(store: SqliteStore) -> None:
    keep(store, "j1", "math_500", "arithmetic")
    trials = read_trials(store, "j1")
    assert [(trial.benchmark, len(trial.attempts)) for trial in trials] == [("math_500", 1), ("arithmetic", 1)]
    assert Board(store).rows() == ()
    assert Board(store).trials("j1") == trials
    assert read_trials(store, "j2") == ()


def test_a_trial_says_what_it_is_what_came_out_and_leads_to_the_full_run(store: SqliteStore) -> None:
    keep(store, "j1", "math_500")
    page = shown(store, job("j1", Status.FINISHED, trial=True))
    assert "never ranked" in page.text
    assert "correct" in page.text
    assert "100 in 0 s" in page.text
    assert "Submit the full run" in page.text
    assert any(link.startswith("submit?model=") and "benchmarks=math_500" in link for link in page.links)


def test_a_trial_of_a_private_benchmark_holds_no_question(store: SqliteStore) -> None:
    keep(store, "j1", "gpqa_diamond")
    assert read_trials(store, "j1")[0].attempts[0].prompt is None
    assert "secret question" not in shown(store, job("j1", Status.FINISHED, trial=True)).text


def test_a_torn_trial_is_an_error_that_names_its_file(store: SqliteStore) -> None:
    update(store, lambda _: {"trials/j1.json": b"{"}, message="tear it")
    with pytest.raises(TrialUnreadable, match=r"trials/j1\.json"):
        read_trials(store, "j1")


@pytest.mark.parametrize("code", sorted(ADVICE))
def test_a_failure_with_a_code_of_ours_says_what_to_do(code: str) -> None:
    failed = job("j1", Status.FAILED, failure=Failure(code=code, reason=HOSTILE))
    text = assert_harmless(queue_page([failed], {}, {}, may_act=True)).text
    assert "What to do" in text
    assert "Submit it again, changed" in text


def test_waiting_jobs_say_how_long_where_earlier_ones_tell() -> None:
    ended = job("j1", Status.FINISHED, started_at="2026-03-02T14:00:00+00:00", ended_at="2026-03-02T15:00:00+00:00")
    jobs = [job("j3", Status.PENDING), job("j2", Status.PENDING), ended]
    text = queue_page(jobs, {}, {}, may_act=True)
    assert "position 2, about 1 h 0 min" in text
    assert "position 1<" in text


def test_a_trial_and_the_full_run_are_not_the_same_work(tmp_path: Path) -> None:
    from backend_jobs.queue import StoreQueue

    queue = StoreQueue(SqliteStore(tmp_path / "queue.db"))
    asked = job("a", Status.PENDING).submission
    queue.submit(asked)
    queue.submit(replace(asked, id="b", trial=True))
    assert len(queue.jobs()) == 2
