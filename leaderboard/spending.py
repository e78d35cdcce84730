"""What rented machines cost: one file per machine that was ever started, budgets, and what they leave.

A file `spending/<month>/<key>.json` is written before its machine is asked for, and once more when it has ended. So the
count survives every crash and holds for any number of processes, and a failed attempt is in it as what it was. Months
are of UTC; a machine counts in the month in which it was started.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import TypeAdapter, ValidationError

from evaluator.types import to_json
from leaderboard.store import Snapshot, Store, StoreUnusable, checked_name
from leaderboard.versions import SPENT, upgraded

SPENDING = "spending/"
MINUTE_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """One machine, or several equal ones, rented for a job.

    `dollars_per_hour` is for all `count` of them; None where nobody bills. `expected_dollars` is what was planned,
    `gpus` what the job needs of each.
    `retried` is how often the job had been set back by hand. `running_s` and `state` are told when it has ended.
    """

    key: str
    job_id: str
    submitted_by: str
    place: str
    machine: str
    started_at: str
    timeout_s: float
    dollars_per_hour: float | None = None
    expected_dollars: float | None = None
    count: int = 1
    gpus: int = 0
    retried: int = 0
    ended_at: str | None = None
    running_s: float = 0.0
    state: str = "running"
    schema: int = 1
    """See `leaderboard/versions.py`."""

    @property
    def name(self) -> str:
        """Its file in the store."""
        return checked_name(f"{SPENDING}{self.started_at[:7]}/{self.key}.json")

    def dollars(self, now: datetime) -> float:
        """What it cost, or cost so far: billed by the started minute, and never for longer than its time limit."""
        if self.dollars_per_hour is None:
            return 0.0
        since_s = (now - datetime.fromisoformat(self.started_at)).total_seconds()
        seconds = self.running_s if self.ended_at else min(max(since_s, 0.0), self.timeout_s)
        return math.ceil(seconds / MINUTE_S) / 60 * self.dollars_per_hour

    def promised(self, now: datetime) -> float:
        """What must be kept for it: while it runs, no less than was planned."""
        return self.dollars(now) if self.ended_at else max(self.dollars(now), self.expected_dollars or 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Dollars a month, for everybody together and for each person; None means no limit."""

    monthly: float | None = None
    per_person: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Spendings:
    """A month so far, in dollars. `promised` is `spent` and what those that run are still expected to take."""

    month: str
    budget: Budget
    spent: float = 0.0
    promised: float = 0.0
    by_person: Mapping[str, float] = field(default_factory=dict)
    """Promised, by who submitted."""
    by_job: Mapping[str, float] = field(default_factory=dict)
    """Spent, by job, of every month."""
    expected_by_job: Mapping[str, float] = field(default_factory=dict)
    """Planned, for jobs whose machine runs."""

    def refusal(self, submitted_by: str, expected: float) -> str | None:
        """Why something that is expected to cost so much may not start; None where it may."""
        limits = (
            ("everybody", self.budget.monthly, self.promised, "OPEN_R1_MONTHLY_BUDGET"),
            (submitted_by, self.budget.per_person, self.by_person.get(submitted_by, 0.0), "OPEN_R1_PERSON_BUDGET"),
        )
        for who, budget, promised, setting in limits:
            if budget is not None and promised + expected > budget:
                return (
                    f"the budget of {who} for {self.month} is {money(budget)}: {money(promised)} are spent or promised "
                    f"to what runs, and this would take about {money(expected)}. It starts when the month is over or "
                    f"{setting} is raised; what runs goes on"
                )
        return None


def money(dollars: float) -> str:
    """Dollars as people read them; amounts below a cent are not told as nothing."""
    return f"${dollars:,.2f}" if dollars == 0 or dollars >= 0.01 else "under $0.01"


def tally(records: Iterable[Spent], *, budget: Budget, now: datetime) -> Spendings:
    """Count a month; jobs are counted over all months."""
    month = f"{now:%Y-%m}"
    spent = promised = 0.0
    by_person: defaultdict[str, float] = defaultdict(float)
    by_job: defaultdict[str, float] = defaultdict(float)
    expected: defaultdict[str, float] = defaultdict(float)
    for record in records:
        by_job[record.job_id] += record.dollars(now)
        if not record.ended_at and record.expected_dollars is not None:
            expected[record.job_id] += record.expected_dollars
        if record.started_at.startswith(month):
            spent += record.dollars(now)
            promised += record.promised(now)
            by_person[record.submitted_by] += record.promised(now)
    return Spendings(
        month=month,
        budget=budget,
        spent=spent,
        promised=promised,
        by_person=dict(by_person),
        by_job=dict(by_job),
        expected_by_job=dict(expected),
    )


class SpendingBook:
    """Reads what was spent. `now` gives UTC. Parses a file once."""

    def __init__(
        self, store: Store, budget: Budget, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store, self._now = store, now
        self.budget = budget
        self._parsed: dict[str, tuple[str, Spent]] = {}

    def look(self) -> Spendings:
        """The month so far. Raises StoreUnusable."""
        return tally(self.records(), budget=self.budget, now=self._now())

    def records(self, snapshot: Snapshot | None = None) -> Sequence[Spent]:
        """Every machine that was ever started, oldest first. Raises StoreUnusable."""
        snapshot = snapshot or self._store.snapshot(SPENDING)
        parsed = {}
        for name in snapshot.names:
            if name.startswith(SPENDING):
                fingerprint = snapshot.fingerprint(name)
                known = self._parsed.get(name)
                parsed[name] = known if known and known[0] == fingerprint else (fingerprint, _read(snapshot, name))
        self._parsed = parsed
        return sorted((record for _, record in parsed.values()), key=lambda record: (record.started_at, record.key))


def spent_bytes(record: Spent) -> bytes:
    """A record as its file."""
    return (json.dumps(to_json(record), sort_keys=True, indent=2) + "\n").encode()


_SPENT = TypeAdapter(Spent)


def _read(snapshot: Snapshot, name: str) -> Spent:
    """A record that cannot be read must stop new starts: nobody knows what is left of the budget."""
    try:
        return _SPENT.validate_json(upgraded(snapshot.read(name), SPENT), strict=True)
    except ValidationError as error:
        raise StoreUnusable(f"{name} does not say what was spent ({error.error_count()} faults): repair it") from error
