"""A model that is measured again and again: asked for when due, with other seeds, and an alarm when it drifts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend_jobs.anchor_watch import ANCHOR, AnchorWatch
from backend_jobs.queue import StoreQueue
from leaderboard.board import Board
from leaderboard.results import publish_changes
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import SubmissionRejected
from leaderboard.types import JobKind, Submission
from tests.leaderboard.measurements import checkpoint, measurement

START = datetime(2026, 3, 1, tzinfo=UTC)
USUAL = [2] * 20 + [4] * 10 + [0] * 10


class Weeks:
    """A board whose clock a test sets, and an anchor that answers as it is told."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.store = SqliteStore(folder / "store.db")
        self.queue = StoreQueue(self.store, now=lambda: self.now)
        self.count = 0
        self.watch = AnchorWatch(
            board=Board(self.store), queue=self.queue, ask=self.ask, every=timedelta(days=7), now=lambda: self.now
        )

    def ask(self) -> Submission:
        self.count += 1
        return Submission(
            id=f"anchor-{self.count}",
            kind=JobKind.EVALUATE,
            model="owner/model",
            commit="c" * 40,
            benchmarks=("arithmetic",),
            submitted_at=self.now.isoformat(),
        )

    def measured(self, correct: Sequence[int]) -> None:
        """The anchor's next run, with so many right attempts at each problem."""
        self.watch.turn()
        self.carried_out(correct)
        self.now += timedelta(days=7)

    def carried_out(self, correct: Sequence[int]) -> None:
        """The job that waits, run to its end."""
        job = self.queue.claim("w")
        assert job is not None
        done = measurement(correct, run=job.submission.run)
        keys, changes = publish_changes(
            [done],
            checkpoint=checkpoint(),
            measured_at=self.now.isoformat(),
            submission=job.submission,
            stored=self.store.snapshot(),
        )
        self.queue.finish(job.submission.id, job.attempt, results=keys, changes=changes)


@pytest.fixture
def weeks(tmp_path: Path) -> Weeks:
    return Weeks(tmp_path)


def test_the_anchor_is_asked_when_it_is_due_once_at_a_time_and_with_other_seeds_each_time(weeks: Weeks) -> None:
    for _ in range(3):
        weeks.watch.turn()
    (first,) = weeks.queue.jobs()
    assert (first.submission.submitted_by, first.submission.run) == (ANCHOR, 0)
    weeks.queue.cancel(first.submission.id)
    weeks.now += timedelta(days=6)
    weeks.watch.turn()
    assert len(weeks.queue.jobs()) == 1
    weeks.now += timedelta(days=1)
    weeks.watch.turn()
    assert sorted(job.submission.run for job in weeks.queue.jobs()) == [0, 1]


def test_an_anchor_that_moves_within_its_error_wakes_nobody(weeks: Weeks) -> None:
    for moved in (0, 1, 0, 1):
        weeks.measured([2 + moved, *USUAL[1:]])
    (drift,) = weeks.watch.drifts()
    assert drift.runs_before == 3
    assert not drift.beyond_chance
    assert weeks.watch.faults() == {}


def test_an_anchor_that_moves_beyond_its_error_is_told_with_both_scores(weeks: Weeks) -> None:
    for _ in range(3):
        weeks.measured(USUAL)
    weeks.measured([0] * 20 + [4] * 10 + [0] * 10)
    (words,) = weeks.watch.faults().values()
    assert "scored 25.0 on arithmetic" in words
    assert "3 runs before it 50.0" in words


def test_a_single_run_says_nothing(weeks: Weeks) -> None:
    weeks.measured(USUAL)
    assert weeks.watch.drifts() == []


def test_runs_of_other_people_are_not_the_anchors(weeks: Weeks) -> None:
    weeks.measured(USUAL)
    weeks.queue.submit(replace(weeks.ask(), run=1))
    weeks.carried_out([0] * 40)
    assert len(Board(weeks.store).rows()) == 2
    assert weeks.watch.drifts() == []


def test_an_anchor_that_cannot_be_asked_is_tried_again(weeks: Weeks) -> None:
    def refuses() -> Submission:
        raise SubmissionRejected("the Hub cannot be reached")

    watch = AnchorWatch(board=Board(weeks.store), queue=weeks.queue, ask=refuses, every=timedelta(days=7))
    watch.turn()
    assert weeks.queue.jobs() == []
