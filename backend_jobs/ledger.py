"""The one writer of what rented machines cost: a record before a machine is asked for, and its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from evaluator.errors import OpenR1Error
from leaderboard.spending import SPENDING, Budget, SpendingBook, Spendings, Spent, spent_bytes, tally
from leaderboard.store import Changes, Snapshot, Store, StoreUnusable, update
from settings import Settings


class BudgetReached(OpenR1Error):
    """The budget leaves no room for another machine. What runs goes on."""

    code = "budget_reached"


class AlreadyRented(OpenR1Error):
    """Somebody else has a machine for this job, or had one of this name."""

    code = "already_rented"


def budget_of(settings: Settings) -> Budget:
    """What the settings let rented machines cost."""
    return Budget(monthly=settings.monthly_budget, per_person=settings.person_budget)


def known_spendings(book: SpendingBook) -> Spendings | None:
    """The month so far, for a page; None while the store cannot tell."""
    try:
        return book.look()
    except StoreUnusable:
        return None


class Ledger:
    """Opens and closes records. Every check is made on the very tree that the record is committed to."""

    def __init__(
        self, store: Store, budget: Budget, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store, self._now = store, now
        self._book = SpendingBook(store, budget, now=now)

    def look(self) -> Spendings:
        """The month so far."""
        return self._book.look()

    def records(self) -> Sequence[Spent]:
        """Every machine that was ever started, oldest first."""
        return self._book.records()

    def running(self, place: str) -> list[Spent]:
        """The machines of a place whose end was not noted yet."""
        return [record for record in self.records() if record.ended_at is None and record.place == place]

    def open(self, record: Spent, *, alone: bool = True) -> Spent:
        """Note that a machine is about to be asked for. `alone`: the job may have no other that runs.

        Raises:
            BudgetReached: the month's budget, or the person's, has no room for what it is expected to cost.
            AlreadyRented: another process was faster.
        """
        record = replace(record, started_at=self._now().isoformat(timespec="seconds"))

        def edit(snapshot: Snapshot) -> Changes:
            known = self._book.records(snapshot)
            taken = [each for each in known if each.key == record.key]
            if taken or (alone and any(each.job_id == record.job_id and not each.ended_at for each in known)):
                raise AlreadyRented(f"job {record.job_id} has a machine already; nothing was started")
            refusal = tally(known, budget=self._book.budget, now=self._now()).refusal(
                record.submitted_by, record.expected_dollars or 0.0
            )
            if refusal and record.dollars_per_hour:
                raise BudgetReached(refusal)
            return {record.name: spent_bytes(record)}

        update(self._store, edit, message=f"rent {record.machine} for {record.job_id}", prefix=SPENDING)
        return record

    def close(self, record: Spent, *, running_s: float, state: str) -> Spent:
        """Note how a machine ended and how long it was ours. A second call changes nothing."""
        ended = replace(
            record, ended_at=self._now().isoformat(timespec="seconds"), running_s=round(running_s, 1), state=state
        )

        def edit(snapshot: Snapshot) -> Changes:
            now = {each.key: each for each in self._book.records(snapshot)}.get(record.key)
            return {} if now is not None and now.ended_at else {ended.name: spent_bytes(ended)}

        update(self._store, edit, message=f"{record.machine} for {record.job_id} ended", prefix=SPENDING)
        return ended
