"""What became of a result (graded again, measured again) and what it would be at smaller answer budgets."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from evaluator.types import BudgetPoint
from leaderboard.charts import budget_curve
from leaderboard.history import agreement, runs_of
from leaderboard.types import Regrading, ResultRow
from leaderboard.views.markup import (
    NOTHING,
    Column,
    Html,
    Row,
    count,
    fill,
    interval,
    join,
    moment,
    notice,
    page_link,
    points,
    table,
)

AGREES = {
    True: "The two agree within the decoding error.",
    False: "The two differ by more than the decoding error.",
    None: "With one attempt per problem the decoding error is not known.",
}


def replaced_notice(row: ResultRow) -> Html:
    """What stands on top of a result that a newer grader replaced; nothing on any other."""
    if row.superseded_by is None:
        return NOTHING
    text = fill(
        "A newer grader graded these answers again: <a href='{link}'>open the result that stands</a>. The numbers here "
        "are those of grader <code>{version}</code>; the attempts below carry the newer verdicts.",
        link=page_link("result", plan=row.superseded_by),
        version=row.plan.grader_version,
    )
    return notice(text)


def history_section(row: ResultRow, rows: Sequence[ResultRow]) -> Html:
    """Older grading, other runs, and how to make another one."""
    again = shlex.join(["python", "-m", "backend_jobs", "reproduce", row.plan_key])
    return fill(
        "<section><h2>History</h2>{regraded}{runs}<p>Run the same plan with other seeds, and see whether the scores "
        "agree:</p><pre class='command' tabindex='0'>{again}</pre></section>",
        regraded=_regraded(row.supersedes) if row.supersedes else NOTHING,
        runs=_runs(row, runs_of(row, rows)),
        again=again,
    )


def budget_section(row: ResultRow) -> Html:
    """The score at smaller answer budgets as a curve and a table; nothing where the server counted no tokens."""
    if not row.budget:
        return NOTHING
    exact = "Dots are exact: the answers were cut there and graded again." if any(p.exact for p in row.budget) else ""
    return fill(
        "<section><h2>Score by answer budget</h2><div class='curves'><figure class='curve'>{curve}</figure></div>"
        "<p class='quiet'>A lower bound: the share of attempts that ended, and were right, within so many tokens, with "
        "its 95 % interval; at the full budget it is the score. {exact}</p>"
        "<details><summary>As a table</summary>{table}</details></section>",
        curve=budget_curve(row.budget),
        exact=exact,
        table=_budgets(row.budget),
    )


def _regraded(change: Regrading) -> Html:
    return fill(
        "<p>Graded again {when} without asking the model: <b>{difference}</b> points against "
        "<a href='{link}'>{old}</a> by grader <code>{version}</code>. {problems}</p>{changed}",
        when=moment(change.at),
        difference=f"{change.difference:+.1f}",
        link=page_link("result", plan=change.plan_key),
        old=points(change.score),
        version=change.grader_version,
        problems=f"Problems whose verdicts changed: {count(len(change.changed))}.",
        changed=_changed(change) if change.changed else NOTHING,
    )


def _changed(change: Regrading) -> Html:
    columns = (
        Column(head="Problem"),
        Column(head="Right before", numeric=True),
        Column(head="Right now", numeric=True),
    )
    rows = (Row(cells=(p.problem_id, count(p.correct_before), count(p.correct_after))) for p in change.changed)
    listed = table(caption="Problems whose verdicts changed", columns=columns, rows=rows)
    return fill("<details><summary>Which problems</summary>{listed}</details>", listed=listed)


def _runs(row: ResultRow, runs: Sequence[ResultRow]) -> Html:
    return join(
        fill(
            "<p>Run {run} of the same plan: <a href='{link}'>{score}</a> ({bounds}), measured {when}. {verdict}</p>",
            run=other.plan.run,
            link=page_link("result", plan=other.plan_key),
            score=points(other.statistics.score),
            bounds=interval(other.statistics.ci95),
            when=moment(other.measured_at),
            verdict=AGREES[agreement(row.statistics, other.statistics)],
        )
        for other in runs
        if other.plan_key != row.plan_key
    )


def _budgets(curve: Sequence[BudgetPoint]) -> Html:
    columns = (
        Column(head="Budget, tokens", numeric=True),
        Column(head="Score", numeric=True),
        Column(head="95 % interval", numeric=True),
        Column(head="Kind"),
    )
    rows = (
        Row(
            cells=(count(p.tokens), points(p.score), interval(p.ci95), "exact" if p.exact else "lower bound"),
        )
        for p in curve
    )
    return table(caption="Score by answer budget", columns=columns, rows=rows)
