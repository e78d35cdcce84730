"""What rented machines cost: of a month, of a person, of a job."""

from __future__ import annotations

from dataclasses import dataclass

from leaderboard.spending import Spendings, money
from leaderboard.views.markup import NOTHING, Html, fill, join


@dataclass(frozen=True, slots=True)
class Money:
    """What a reader of the queue sees of it. `seen` is None where nothing can be told, `who` the reader's name."""

    seen: Spendings | None = None
    who: str | None = None

    def month(self) -> Html:
        """This month beside its budgets; nothing where no machine was ever rented and there is no budget."""
        seen = self.seen
        if seen is None or not (seen.by_job or seen.budget.monthly is not None or seen.budget.per_person is not None):
            return NOTHING
        lines = [_line("Everybody", seen.spent, seen.promised, seen.budget.monthly)]
        if self.who is not None and (seen.budget.per_person is not None or self.who in seen.by_person):
            mine = seen.by_person.get(self.who, 0.0)
            lines.append(_line(self.who, None, mine, seen.budget.per_person))
        elif seen.budget.per_person is not None:
            lines.append(fill("<p>Each person: up to {budget} a month.</p>", budget=money(seen.budget.per_person)))
        return fill(
            '<section data-key="money" aria-labelledby="money"><h2 id="money">Rented machines, {month}</h2>{lines}'
            "</section>",
            month=seen.month,
            lines=join(lines),
        )

    def of_job(self, job_id: str) -> Html:
        """What a job cost so far, and what it is expected to take while its machine runs."""
        spent = self.seen.by_job.get(job_id) if self.seen is not None else None
        if self.seen is None or spent is None:
            return NOTHING
        expected = self.seen.expected_by_job.get(job_id)
        planned = fill(" of about {dollars}", dollars=money(expected)) if expected is not None else NOTHING
        return fill('<p class="cost">Cost so far: {spent}{planned}</p>', spent=money(spent), planned=planned)


def _line(who: str, spent: float | None, promised: float, budget: float | None) -> Html:
    """One limit. What runs is counted with what it is still expected to take: starts are judged by that."""
    parts = [] if spent is None else [f"{money(spent)} spent"]
    parts.append(f"{money(promised)} with what runs")
    parts.append("no budget" if budget is None else f"of {money(budget)}")
    full = budget is not None and promised >= budget
    note = " New machines wait until the month is over or the budget is raised; what runs goes on." if full else ""
    return fill("<p><bdi>{who}</bdi>: {parts}.{note}</p>", who=who, parts=", ".join(parts), note=note)
