"""What rented machines cost, as the queue and a result show it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from leaderboard.board import Board
from leaderboard.spending import Budget, Spendings
from leaderboard.sqlite_store import SqliteStore
from leaderboard.types import Status
from leaderboard.views.money import Money
from leaderboard.views.queue import queue_page
from leaderboard.views.result import _cost
from tests.leaderboard.page_content import HOSTILE, job, measured, publish
from tests.leaderboard.test_views import assert_harmless

SEEN = Spendings(
    month="2026-03",
    budget=Budget(monthly=100.0, per_person=20.0),
    spent=12.5,
    promised=14.0,
    by_person={"alice": 14.0, HOSTILE: 3.0},
    by_job={"j1": 4.2, "j2": 8.3},
    expected_by_job={"j1": 6.0},
)


def test_the_queue_shows_the_month_beside_its_budgets_and_each_jobs_cost() -> None:
    jobs = [job("j1", Status.RUNNING), job("j2", Status.FINISHED), job("j3", Status.FINISHED)]
    text = assert_harmless(queue_page(jobs, {}, {}, may_act=True, money=Money(SEEN, "alice"))).text
    assert "Rented machines, 2026-03" in text
    assert "Everybody: $12.50 spent, $14.00 with what runs, of $100.00." in text
    assert "alice: $14.00 with what runs, of $20.00." in text
    assert "Cost so far: $4.20 of about $6.00" in text
    assert "Cost so far: $8.30" in text
    assert text.count("Cost so far") == 2, "a job that rented nothing says nothing"


def test_a_budget_that_is_used_up_says_what_waits_and_what_goes_on() -> None:
    text = assert_harmless(Money(replace(SEEN, promised=100.0), HOSTILE).month()).text
    assert "New machines wait until the month is over" in text
    assert "Each person: up to $20.00" in assert_harmless(Money(SEEN, None).month()).text


def test_where_nothing_was_ever_rented_nothing_is_shown() -> None:
    empty = Spendings(month="2026-03", budget=Budget())
    assert Money(empty, "alice").month() == Money(None, "alice").month() == ""
    assert "Rented machines" not in queue_page([], {}, {}, may_act=True, money=Money(empty))


def test_a_result_says_what_answering_cost_where_its_machine_has_a_price(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    publish(store, measured())
    (row,) = Board(store).rows()
    assert _cost(row) == {}
    engine = replace(row.engine, dollars_per_hour=40.0)
    rented = replace(row, wall_seconds=1800.0, completion_tokens=500_000, engine=engine)
    assert _cost(rented) == {"cost of that time": "$20.00 at $40.00 an hour, $40.00 a million tokens"}
