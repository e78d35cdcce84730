"""Days of the real queue in virtual time, with crashes, outages, pauses and clock jumps; 500 of them in benchmarks/."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from backend_jobs.queue import StoreQueue
from benchmarks.simulated_days import Away, Broken, Day, simulate
from leaderboard.store import update


def test_no_job_is_lost_doubled_or_left_over_in_days_full_of_faults(tmp_path: Path) -> None:
    totals: Counter[str] = Counter()
    for seed in range(12):
        totals += simulate(seed, tmp_path)
    for happened in (
        "crashes",
        "outages",
        "clock jumps",
        "pauses",
        "taken over",
        "write refused: lease_lost",
        "published",
    ):
        assert totals[happened], f"no {happened} in any of these days: they prove nothing"


def test_the_days_notice_a_result_that_no_finished_job_stands_behind(tmp_path: Path) -> None:
    day = Day(seed=0, store=Away(tmp_path / "store.db"))
    day.check()
    update(day.store, lambda _: {"results/org/model/job-9.json": b"{}"}, message="by somebody else")
    with pytest.raises(Broken, match="not the same jobs"):
        day.check()


def test_the_days_notice_a_job_that_disappears(tmp_path: Path) -> None:
    day = Day(seed=0, store=Away(tmp_path / "store.db"))
    day.on_submit()
    day.check()
    (name,) = day.store.snapshot("requests/").names
    update(day.store, lambda _: {name: None}, message="lost")
    day.people = StoreQueue(day.store)
    with pytest.raises(Broken, match="is lost"):
        day.check()
