"""How much people may ask for, and the trail that their acts leave."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend_jobs.limits import Limits
from backend_jobs.queue import HIGHEST_PRIORITY, StoreQueue
from backend_jobs.types import MoveRefused
from leaderboard.audit import AUDIT, Action, AuditUnreadable, read_trail
from leaderboard.sqlite_store import SqliteStore
from leaderboard.submissions import SubmissionRejected
from leaderboard.types import JobKind, JobRecord, Status, Submission

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Day:
    """A queue whose wall clock a test sets."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.now = START
        self.store = SqliteStore(path / "store.db")
        self.queue = StoreQueue(self.store, limits=limits, now=lambda: self.now)
        self.count = 0

    def submit(self, by: str = "ada") -> JobRecord:
        self.count += 1
        submission = Submission(
            id=f"job-{self.count:03d}",
            kind=JobKind.EVALUATE,
            model="org/model",
            commit=f"{self.count:040x}",
            benchmarks=("aime_2024",),
            submitted_at=self.now.isoformat(timespec="seconds"),
            submitted_by=by,
        )
        return self.queue.submit(submission)

    def refused(self, by: str = "ada") -> str:
        with pytest.raises(SubmissionRejected) as caught:
            self.submit(by)
        return str(caught.value)


def test_a_person_may_submit_so_many_jobs_within_a_day_and_reads_when_the_next_is_free(tmp_path: Path) -> None:
    day = Day(tmp_path, Limits(per_person_a_day=2))
    day.submit()
    day.now += timedelta(hours=3)
    day.submit()
    assert "after 2026-03-02 12:00 UTC" in day.refused()
    day.submit("grace")
    day.now = START + timedelta(hours=24, seconds=1)
    day.submit()
    assert "after 2026-03-02 15:00 UTC" in day.refused()


def test_a_person_may_have_so_many_jobs_at_once_and_an_ended_one_makes_room(tmp_path: Path) -> None:
    day = Day(tmp_path, Limits(per_person_at_once=1))
    first = day.submit()
    assert "as many as one person may" in day.refused()
    day.queue.cancel(first.submission.id, by="ada")
    day.submit()


def test_the_queue_takes_so_many_jobs_in_all(tmp_path: Path) -> None:
    day = Day(tmp_path, Limits(at_once=2))
    day.submit("ada")
    day.submit("grace")
    assert "as many as this board takes" in day.refused("edsger")


def test_a_clock_set_back_does_not_give_a_person_a_new_day(tmp_path: Path) -> None:
    day = Day(tmp_path, Limits(per_person_a_day=1))
    day.submit()
    day.now -= timedelta(days=3)
    assert "within a day" in day.refused()


def test_of_the_waiting_jobs_the_one_of_the_highest_priority_runs_first(tmp_path: Path) -> None:
    day = Day(tmp_path, Limits())
    old, young, urgent = day.submit(), day.submit(), day.submit()
    day.queue.prioritize(urgent.submission.id, 5, by="maintainer")
    day.queue.prioritize(old.submission.id, -1, by="maintainer")
    claimed = [day.queue.claim("w") for _ in range(3)]
    assert [job.submission.id for job in claimed if job] == [job.submission.id for job in (urgent, young, old)]
    with pytest.raises(MoveRefused, match="only a job that waits"):
        day.queue.prioritize(old.submission.id, 1)
    with pytest.raises(MoveRefused, match="out of bounds"):
        day.queue.prioritize(old.submission.id, HIGHEST_PRIORITY + 1)


def test_every_act_is_on_the_trail_with_who_did_it_and_a_refused_one_is_not(tmp_path: Path) -> None:
    day = Day(tmp_path, Limits(at_once=1))
    job = day.submit("ada")
    day.refused("grace")
    day.now += timedelta(minutes=1)
    day.queue.prioritize(job.submission.id, 3, by="maintainer")
    day.now += timedelta(minutes=1)
    cancelled = day.queue.cancel(job.submission.id, by="ada")
    assert cancelled.status is Status.CANCELLED
    with pytest.raises(MoveRefused):
        day.queue.cancel(job.submission.id, by="grace")
    trail = read_trail(day.store)
    assert [(entry.action, entry.by, entry.detail) for entry in trail] == [
        (Action.CANCEL, "ada", ""),
        (Action.PRIORITY, "maintainer", "3"),
        (Action.SUBMIT, "ada", ""),
    ]
    assert {entry.subject for entry in trail} == {job.submission.id}


def test_a_damaged_entry_of_the_trail_is_named(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    name = f"{AUDIT}2026-03/20260301-120000-0.json"
    store.commit({name: b"{}"}, parent=store.version(), message="damage")
    with pytest.raises(AuditUnreadable, match="20260301-120000-0"):
        read_trail(store)
