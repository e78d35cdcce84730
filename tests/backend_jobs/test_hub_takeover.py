"""Two worker processes and a board on one Hub store; one worker is killed. And many processes while the Hub fails."""

from __future__ import annotations

import os

import pytest

from benchmarks.hub_store_contention import contention
from benchmarks.hub_takeover import takeover

OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
pytestmark = pytest.mark.skipif(OFFLINE, reason="HF_HUB_OFFLINE keeps the Hub's client even from loopback")


def test_every_submission_finishes_once_although_a_worker_is_killed_in_the_middle() -> None:
    came = takeover(3)
    titles = [what for _, what in came.events]
    assert titles.index("worker-1 is killed with SIGKILL") > titles.index("worker-1 takes a job")
    assert "beats of 1 jobs" in titles or "beats of 2 jobs" in titles
    (taken_over,) = [job for job in came.jobs if job.lost]
    assert (taken_over.worker, taken_over.attempt) == ("worker-2", 2)


def test_processes_that_commit_while_the_hub_fails_at_random_lose_and_double_nothing() -> None:
    came = contention(processes=3, commits=8, rate=0.3, seed=3)
    assert came["lost, doubled"] == "0, 0"
    assert came["faults of the Hub"]
