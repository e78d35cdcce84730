"""Who solves what, how often: a table of problems by results, and the completions of one problem side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evaluator.benchmarks import is_private
from evaluator.types import Verdict
from leaderboard.matrix import ManyCompared, MatrixLine
from leaderboard.types import AttemptRow, ProblemRow, ResultRow
from leaderboard.views.attempt import answer_text, literal, private_note, prompt_text, verdict_reason
from leaderboard.views.comparing import LINES_AT_FIRST, Comparing, Order, ordered
from leaderboard.views.markup import (
    NOTHING,
    Column,
    Html,
    Row,
    badge,
    count,
    facts,
    fill,
    join,
    part_of_page,
    short_commit,
    table,
)
from leaderboard.views.result import VERDICT_WORDS

SIDES = "sides"
"""The part of the page that shows completions side by side."""
LETTERS = "ABCD"
ORDER_WORDS = {
    Order.DISAGREEMENT: "Where they differ most",
    Order.HARDEST: "Hardest first",
    Order.BENCHMARK: "In the benchmark's order",
}


def matrix_section(many: ManyCompared, view: Comparing, attempts: Sequence[Sequence[AttemptRow]]) -> Html:
    """The matrix, and the opened problem beneath. `attempts` are those at that problem, one list per result."""
    lines = ordered(many.lines, view.order)
    shown = lines if view.whole else lines[:LINES_AT_FIRST]
    differing = sum(line.disagreement > 0 for line in lines)
    return fill(
        '<section aria-labelledby="matrix-title"><h2 id="matrix-title">Problem by problem</h2>'
        "<p class='quiet'>They differ on {differing} of {n} problems. A cell says how many attempts were right; open "
        "it to read the completions side by side.</p>{orders}"
        '<div class="list matrix" data-key="{key}" tabindex="0" role="region" aria-label="Problems by results">{table}'
        '</div>{more}</section><section class="sides" data-key="sides">{sides}</section>',
        differing=count(differing),
        n=count(len(lines)),
        orders=_orders(view),
        key=view.matrix_key,
        table=_table(many, shown, view),
        more=_more(len(lines), len(shown), view),
        sides=side_by_side(many, view, attempts),
    )


def sides_part(many: ManyCompared, view: Comparing, attempts: Sequence[Sequence[AttemptRow]]) -> Html:
    """The opened problem alone, for a page that shows its matrix already."""
    return part_of_page(SIDES, side_by_side(many, view, attempts), current=view.problem_id)


def _orders(view: Comparing) -> Html:
    links = (
        fill(
            '<li><a href="{link}" data-open{current}>{word}</a></li>',
            link=replace(view, order=order).link(),
            current=Html(' aria-current="true"') if order is view.order else NOTHING,
            word=word,
        )
        for order, word in ORDER_WORDS.items()
    )
    return fill('<nav aria-label="Order of the problems"><ul class="filters">{links}</ul></nav>', links=join(links))


def _more(lines: int, shown: int, view: Comparing) -> Html:
    if shown == lines:
        return NOTHING
    return fill(
        '<p><a href="{link}" data-open>Show all {n} problems</a></p>',
        link=replace(view, whole=True).link(),
        n=count(lines),
    )


def _table(many: ManyCompared, lines: Sequence[MatrixLine], view: Comparing) -> Html:
    heads = (Column(head=_result_name(place, row), css="cell-head") for place, row in enumerate(many.rows))
    rows = (
        Row(
            cells=(
                fill(
                    '<a href="{link}" data-open><bdi>{id}</bdi></a>',
                    link=_problem(view, line.problem_id),
                    id=line.problem_id,
                ),
                *(_cell(many.rows[place], cell, line, view) for place, cell in enumerate(line.cells)),
            ),
            key=line.problem_id,
            current=line.problem_id == view.problem_id,
        )
        for line in lines
    )
    columns = (Column(head="Problem"), *heads)
    return table(caption=f"{len(lines)} problems, attempts that were right", columns=columns, rows=rows, css="dense")


def _result_name(place: int, row: ResultRow) -> Html:
    return fill("<b>{letter}</b> <bdi>{model}</bdi>", letter=LETTERS[place], model=row.model)


def _cell(row: ResultRow, cell: ProblemRow, line: MatrixLine, view: Comparing) -> Html:
    return fill(
        '<a class="share" style="--share:{percent}%" href="{link}" data-open aria-label="{right} of {n} right, '
        '{model} on {id}">{right}/{n}{cut}</a>',
        percent=round(100 * cell.correct / cell.n),
        link=_problem(view, line.problem_id),
        right=cell.correct,
        n=cell.n,
        model=row.model,
        id=line.problem_id,
        cut=fill(' <span class="quiet" title="cut off">✂{n}</span>', n=cell.truncated) if cell.truncated else NOTHING,
    )


def _problem(view: Comparing, problem_id: str) -> str:
    return replace(view, problem_id=problem_id, attempts=()).link()


def side_by_side(many: ManyCompared, view: Comparing, attempts: Sequence[Sequence[AttemptRow]]) -> Html:
    """The completions of the opened problem, one column per result."""
    if view.problem_id is None:
        return NOTHING
    line = next((line for line in many.lines if line.problem_id == view.problem_id), None)
    if line is None:
        return fill("<p role='alert'>These results have no problem <code>{id}</code>.</p>", id=view.problem_id)
    chosen = [_chosen(rows, line.shares[place], view.attempt_of(place)) for place, rows in enumerate(attempts)]
    asked = next((attempt.prompt for attempt in chosen if attempt is not None and attempt.prompt), None)
    columns = (
        _column(many.rows[place], place, rows, attempt, view)
        for place, (rows, attempt) in enumerate(zip(attempts, chosen, strict=True))
    )
    return fill(
        '<h2 tabindex="-1" data-focus-here data-scroll-here>Problem <bdi>{id}</bdi>, side by side</h2>{walk}{prompt}'
        '<div class="side-by-side">{columns}</div>',
        id=view.problem_id,
        walk=_walk(many, view),
        prompt=prompt_text(asked, raw=view.raw, heading=Html("<h3>Problem, as it was asked</h3>"))
        if asked
        else NOTHING,
        columns=join(columns),
    )


def _chosen(attempts: Sequence[AttemptRow], share: float, asked: int | None) -> AttemptRow | None:
    """The attempt that was asked for, or one that stands for the result: right where most are, wrong where not."""
    if asked is not None:
        return next((row for row in attempts if row.attempt == asked), None)
    typical = (row for row in attempts if (row.verdict == Verdict.CORRECT) == (share >= 0.5))
    return next(typical, attempts[0] if attempts else None)


def _walk(many: ManyCompared, view: Comparing) -> Html:
    ids = [line.problem_id for line in ordered(many.lines, view.order)]
    place = ids.index(view.problem_id or "")
    before = ids[place - 1] if place else None
    after = ids[place + 1] if place + 1 < len(ids) else None
    return fill(
        '<nav class="walk" aria-label="Problems one by one">{before}<a href="{raw}" data-open data-press="r" '
        'aria-keyshortcuts="r">{word}</a>{after}</nav>',
        before=_step("← Previous problem", "k", before, view),
        raw=replace(view, raw=not view.raw).link(),
        word="Show formulas drawn" if view.raw else "Show as it was written",
        after=_step("Next problem →", "j", after, view),
    )


def _step(word: str, key: str, problem_id: str | None, view: Comparing) -> Html:
    if problem_id is None:
        return fill('<span class="quiet">{word}</span>', word=word)
    return fill(
        '<a href="{link}" data-open data-press="{key}" aria-keyshortcuts="{key}">{word}</a>',
        link=_problem(view, problem_id),
        key=key,
        word=word,
    )


def _column(
    row: ResultRow, place: int, attempts: Sequence[AttemptRow], attempt: AttemptRow | None, view: Comparing
) -> Html:
    head = fill(
        '<h3>{name} <span class="quiet">{commit}</span></h3>{chips}',
        name=_result_name(place, row),
        commit=short_commit(row.commit),
        chips=_chips(place, attempts, attempt, view),
    )
    if attempt is None:
        return fill("<article>{head}<p class='quiet'>There is no such attempt.</p></article>", head=head)
    private = is_private(row.benchmark)
    return fill(
        "<article>{head}{facts}{text}</article>",
        head=head,
        facts=facts(
            {
                "verdict": fill(
                    "{badge} {why}",
                    badge=badge(VERDICT_WORDS[Verdict(attempt.verdict)][0], attempt.verdict),
                    why=verdict_reason(attempt),
                ),
                "answer found": literal(attempt.answer) or "none",
                "target": "kept private" if private else literal(attempt.target),
                "tokens": count(attempt.completion_tokens),
                "finish reason": attempt.finish_reason,
            }
        ),
        text=private_note(attempt) if private else answer_text(attempt, row, raw=view.raw),
    )


def _chips(place: int, attempts: Sequence[AttemptRow], opened: AttemptRow | None, view: Comparing) -> Html:
    links = (
        fill(
            '<li><a class="chip {verdict}" href="{link}" data-open{current} aria-label="{letter}: attempt {n}, {word}">'
            "{n}</a></li>",
            verdict=row.verdict,
            link=replace(view, attempts=view.with_attempt(place, row.attempt)).link(),
            current=Html(' aria-current="true"') if row is opened else NOTHING,
            letter=LETTERS[place],
            n=row.attempt,
            word=VERDICT_WORDS[Verdict(row.verdict)][0],
        )
        for row in attempts
    )
    return fill('<ul class="chips" aria-label="Attempts">{links}</ul>', links=join(links))
