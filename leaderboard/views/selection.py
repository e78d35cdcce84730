"""What of a result the reader has opened: read from the address, written back into links."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import parse_qsl

from evaluator.types import Verdict
from leaderboard.types import AttemptRow, ProblemRow
from leaderboard.views.markup import page_link


class Show(StrEnum):
    """Which attempts the reader wants to walk through."""

    ALL = "all"
    WRONG = "wrong"
    TRUNCATED = "truncated"
    NO_ANSWER = "no_answer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """What of a result is open. `attempt` None is the first of the problem that `show` lets through, -1 the last.

    `raw` shows texts letter by letter.
    """

    plan_key: str
    show: Show = Show.ALL
    problem_id: str | None = None
    attempt: int | None = None
    raw: bool = False

    def link(self) -> str:
        """The address of this selection."""
        return page_link(
            "result",
            plan=self.plan_key,
            show=None if self.show is Show.ALL else self.show.value,
            problem=self.problem_id,
            attempt=self.attempt,
            text="raw" if self.raw else None,
        )


def read_selection(query: Mapping[str, str]) -> Selection:
    """A selection from the values of an address. What is not understood is left at its default."""
    show, attempt = query.get("show", ""), query.get("attempt", "")
    return Selection(
        plan_key=query.get("plan", ""),
        show=Show(show) if show in set(Show) else Show.ALL,
        problem_id=query.get("problem") or None,
        attempt=int(attempt) if re.fullmatch(r"-1|[0-9]{1,6}", attempt, re.ASCII) else None,
        raw=query.get("text") == "raw",
    )


def read_query(sent: object) -> dict[str, str]:
    """The values of an address as the page's script sends it: `{"query": "?plan=...&show=..."}`."""
    text = sent.get("query", "") if isinstance(sent, dict) else ""
    return dict(parse_qsl(str(text).removeprefix("?")))


def read_seen(sent: object) -> str:
    """The key of the list that the reader sees, as the page's script sends it beside the query."""
    return str(sent.get("seen") or "") if isinstance(sent, dict) else ""


def wanted_problems(problems: Sequence[ProblemRow], show: Show) -> list[ProblemRow]:
    """The problems with at least one attempt that `show` lets through."""
    return [row for row in problems if _counted(row, show) > 0]


def wanted_attempts(attempts: Sequence[AttemptRow], show: Show) -> list[AttemptRow]:
    """The attempts that `show` lets through."""
    return [row for row in attempts if _passes(row, show)]


def _counted(row: ProblemRow, show: Show) -> int:
    return {
        Show.ALL: row.n,
        Show.WRONG: row.n - row.correct,
        Show.TRUNCATED: row.truncated,
        Show.NO_ANSWER: row.no_answer,
    }[show]


def _passes(row: AttemptRow, show: Show) -> bool:
    return {
        Show.ALL: True,
        Show.WRONG: row.verdict != Verdict.CORRECT,
        Show.TRUNCATED: row.truncated is True,
        Show.NO_ANSWER: row.verdict == Verdict.NO_ANSWER,
    }[show]


def neighbours(
    listed: Sequence[ProblemRow], chosen: Sequence[AttemptRow], row: AttemptRow, selection: Selection
) -> tuple[Selection | None, Selection | None]:
    """What lies before and after an attempt, across problems; None at either end.

    `listed` are the problems and `chosen` the attempts at this one that the filter lets through, `row` one of them.
    """
    here = chosen.index(row)
    ids = [problem.problem_id for problem in listed]
    place = ids.index(row.problem_id) if row.problem_id in ids else None
    before: Selection | None = None
    after: Selection | None = None
    if here > 0:
        before = replace(selection, attempt=chosen[here - 1].attempt)
    elif place:
        before = replace(selection, problem_id=ids[place - 1], attempt=-1)
    if here + 1 < len(chosen):
        after = replace(selection, attempt=chosen[here + 1].attempt)
    elif place is not None and place + 1 < len(ids):
        after = replace(selection, problem_id=ids[place + 1], attempt=None)
    return before, after


def following(
    problems: Sequence[ProblemRow], attempts: Sequence[AttemptRow], row: AttemptRow, selection: Selection
) -> Selection | None:
    """The first attempt after `row` that the filter of `selection` lets through, across problems; None at the end.

    `problems` are all of the result in their order, `attempts` those at the problem of `row`.
    """
    later = [a for a in wanted_attempts(attempts, selection.show) if a.attempt > row.attempt]
    if later:
        return replace(selection, problem_id=row.problem_id, attempt=later[0].attempt)
    ids = [problem.problem_id for problem in problems]
    behind = problems[ids.index(row.problem_id) + 1 :] if row.problem_id in ids else []
    found = wanted_problems(behind, selection.show)
    return replace(selection, problem_id=found[0].problem_id, attempt=None) if found else None
