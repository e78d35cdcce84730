"""Why a score is what it is: by subject and level, by number of tries, by letter chosen."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.benchmarks import ARITHMETIC
from evaluator.breakdown import GroupScore, LetterCount, Tally, by_group, letter_counts, pass_at
from leaderboard.charts import interval_bar
from leaderboard.compare import signed
from leaderboard.types import ProblemRow, ResultRow
from leaderboard.views.markup import NOTHING, Column, Html, Row, count, fill, interval, join, points, table

FEW_PROBLEMS = 30
"""Groups below this size get a word of caution."""


def breakdown_section(row: ResultRow, problems: Sequence[ProblemRow]) -> Html:
    """Every table that applies to this result; nothing where none does."""
    subject = "By number of terms" if row.benchmark == ARITHMETIC.name else "By subject"
    parts = [
        _groups(subject, by_group([_tally(p, p.subject) for p in problems])),
        _groups("By level", by_group([_tally(p, p.level) for p in problems])),
        _letters(problems),
        _tries(row, problems),
    ]
    shown = [part for part in parts if part]
    if not shown:
        return NOTHING
    return fill(
        '<section aria-labelledby="breakdown-title"><h2 id="breakdown-title">What the score is made of</h2>'
        "<div class='columns'>{parts}</div></section>",
        parts=join(shown),
    )


def _tally(problem: ProblemRow, group: str) -> Tally:
    return Tally(group=group, n=problem.n, correct=problem.correct)


def _groups(title: str, groups: Sequence[GroupScore]) -> Html:
    if not groups:
        return NOTHING
    rows = (
        Row(
            cells=(
                fill("<bdi>{group}</bdi>", group=group.group),
                count(group.problems),
                points(group.score),
                fill(
                    '<span class="cell">{bar}{bounds}</span>',
                    bar=interval_bar(group.score, group.ci95),
                    bounds=interval(group.ci95),
                ),
            ),
            key=group.group,
        )
        for group in groups
    )
    columns = (
        Column(head=title.removeprefix("By ").capitalize()),
        Column(head="Problems", numeric=True),
        Column(head="Score", numeric=True),
        Column(head="95 % interval"),
    )
    few = [group for group in groups if group.problems < FEW_PROBLEMS]
    note = (
        f"{len(few)} of {len(groups)} groups have fewer than {FEW_PROBLEMS} problems: read their intervals, not scores."
        if few
        else "Each interval is for problems of that group alone."
    )
    caption = fill("<b>{title}</b> <span class='quiet'>{note}</span>", title=title, note=note)
    return fill("<section>{table}</section>", table=table(caption=caption, columns=columns, rows=rows, css="dense"))


def _tries(row: ResultRow, problems: Sequence[ProblemRow]) -> Html:
    """pass@k by k, and maj@n under it; nothing for one attempt per problem, where all of them are the score."""
    if row.attempts_per_problem < 2 or not problems:
        return NOTHING
    n = row.attempts_per_problem
    rows = [
        Row(
            cells=(f"pass@{k}", points(score), "the score" if k == 1 else f"at least one right in {k} tries"),
            key=f"pass{k}",
        )
        for k, score in pass_at([_tally(p, "") for p in problems])
    ]
    rows.append(Row(cells=(f"maj@{n}", points(row.statistics.maj_at_n), f"the most frequent answer of {n}"), key="maj"))
    columns = (Column(head="Measure"), Column(head="Points", numeric=True), Column(head="What counts as right"))
    caption = fill(
        "<b>By number of tries</b> <span class='quiet'>pass@k by the unbiased estimator 1 − C(n − c, k) / C(n, k), "
        "n = {n} attempts; equal answers vote together in maj@n.</span>",
        n=n,
    )
    return fill("<section>{table}</section>", table=table(caption=caption, columns=columns, rows=rows, css="dense"))


def _letters(problems: Sequence[ProblemRow]) -> Html:
    counts = letter_counts([(p.letters, p.right_letters) for p in problems if p.right_letters])
    if not counts:
        return NOTHING
    rows = (
        Row(
            cells=(
                letter.letter,
                count(letter.chosen),
                count(letter.right),
                signed(letter.excess),
                "–" if letter.ci95 is None else f"{signed(letter.ci95[0])} to {signed(letter.ci95[1])}",
            ),
            key=letter.letter,
        )
        for letter in counts
    )
    columns = (
        Column(head="Letter"),
        Column(head="Chosen", numeric=True),
        Column(head="Right", numeric=True),
        Column(head="Excess, points", numeric=True),
        Column(head="Interval", numeric=True),
    )
    caption = fill("<b>Letters chosen</b> <span class='quiet'>{note}</span>", note=position_note(counts))
    return fill("<section>{table}</section>", table=table(caption=caption, columns=columns, rows=rows, css="dense"))


def position_note(counts: Sequence[LetterCount]) -> str:
    """What the letters say of position bias, in two sentences."""
    how = (
        "Options are shuffled anew for every attempt, so a model that reads them chooses each letter as often as it is "
        "right; counted over the attempts that chose one. "
    )
    drawn = [f"{c.letter} {signed(c.excess)}" for c in counts if c.biased]
    if not drawn:
        return how + "No letter is chosen more or less often than chance explains."
    return how + f"Position bias, in points beyond chance: {', '.join(drawn)}."
