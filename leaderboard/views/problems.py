"""The problems of one result and, for one of them, its attempts: a list to choose from and an attempt to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evaluator.benchmarks import is_private
from evaluator.types import Verdict
from leaderboard.types import AttemptRow, ProblemRow, ResultRow
from leaderboard.views.attempt import answer_text, attempt_facts, private_note, prompt_text
from leaderboard.views.markup import NOTHING, Column, Html, Row, count, fill, join, part_of_page, table
from leaderboard.views.result import VERDICT_WORDS
from leaderboard.views.selection import (
    Selection,
    Show,
    following,
    neighbours,
    wanted_attempts,
    wanted_problems,
)

OPENED = "opened"
"""The part of the page that shows one attempt: it alone is sent where the reader goes from one to the next."""
JUMPS = (
    (Show.WRONG, "Next wrong", "w"),
    (Show.TRUNCATED, "Next cut off", "t"),
    (Show.NO_ANSWER, "Next without answer", "n"),
)
SHOW_WORDS = {Show.ALL: "All", Show.WRONG: "Wrong", Show.TRUNCATED: "Truncated", Show.NO_ANSWER: "No answer"}


def problems_section(
    row: ResultRow, problems: Sequence[ProblemRow], attempts: Sequence[AttemptRow], selection: Selection
) -> Html:
    """The list of problems beside the opened attempt. `attempts` are those of the selected problem, in order."""
    listed = wanted_problems(problems, selection.show)
    return fill(
        '<section class="problems" aria-labelledby="problems-title"><h2 id="problems-title">Problems</h2>{filters}'
        '<div class="split"><div class="list" tabindex="0" role="region" aria-label="List of problems" '
        'data-key="{key}">{list}</div><div class="opened" data-key="opened">{opened}</div></div></section>',
        filters=_filters(problems, selection),
        key=list_key(selection),
        list=_problem_table(listed, selection),
        opened=opened_attempt(row, problems, attempts, selection),
    )


def list_key(selection: Selection) -> str:
    """Names the list of problems: where a reader sees it already, only the attempt beside it has to be sent."""
    return f"list-{selection.plan_key}-{selection.show.value}{'-raw' if selection.raw else ''}"


def opened_part(
    row: ResultRow, problems: Sequence[ProblemRow], attempts: Sequence[AttemptRow], selection: Selection
) -> Html:
    """The opened attempt alone, for a page that shows its list already."""
    return part_of_page(OPENED, opened_attempt(row, problems, attempts, selection), current=selection.problem_id)


def _filters(problems: Sequence[ProblemRow], selection: Selection) -> Html:
    links = (
        fill(
            '<li><a href="{link}" data-open{current}>{word} <span class="quiet">{n}</span></a></li>',
            link=Selection(plan_key=selection.plan_key, show=show, raw=selection.raw).link(),
            current=Html(' aria-current="true"') if show is selection.show else NOTHING,
            word=word,
            n=len(wanted_problems(problems, show)),
        )
        for show, word in SHOW_WORDS.items()
    )
    return fill('<nav aria-label="Which attempts"><ul class="filters">{links}</ul></nav>', links=join(links))


def _problem_table(listed: Sequence[ProblemRow], selection: Selection) -> Html:
    if not listed:
        return Html("<p class='quiet'>No problem has such an attempt.</p>")
    rows = (
        Row(
            cells=(
                fill(
                    '<a href="{link}" data-open><bdi>{id}</bdi></a>',
                    link=replace(selection, problem_id=row.problem_id, attempt=None).link(),
                    id=row.problem_id,
                ),
                f"{row.correct} of {row.n}",
                count(row.mean_tokens),
                row.truncated or "",
                row.no_answer or "",
            ),
            key=row.problem_id,
            current=row.problem_id == selection.problem_id,
        )
        for row in listed
    )
    columns = (
        Column(head="Problem"),
        Column(head="Correct", numeric=True),
        Column(head="Tokens", numeric=True),
        Column(head="Cut off", numeric=True),
        Column(head="No answer", numeric=True),
    )
    return table(caption=f"{len(listed)} problems, tokens are means", columns=columns, rows=rows, css="dense")


def opened_attempt(
    row: ResultRow, problems: Sequence[ProblemRow], attempts: Sequence[AttemptRow], selection: Selection
) -> Html:
    """The attempt that is selected, or what to do to see one."""
    if selection.problem_id is None:
        return Html("<p class='quiet'>Choose a problem to read its attempts.</p>")
    if all(problem.problem_id != selection.problem_id for problem in problems):
        return fill("<p role='alert'>This result has no problem <code>{id}</code>.</p>", id=selection.problem_id)
    chosen = wanted_attempts(attempts, selection.show)
    attempt = _chosen_attempt(chosen, selection)
    if attempt is None:
        return fill(
            '<h3 tabindex="-1" data-focus-here>Problem <bdi>{id}</bdi></h3>'
            "<p class='quiet'>No attempt at this problem is shown under this filter.</p>",
            id=selection.problem_id,
        )
    private = is_private(row.benchmark)
    return fill(
        '<h3 tabindex="-1" data-focus-here data-scroll-here>Problem <bdi>{id}</bdi>, attempt {n}</h3>'
        "{walk}{chips}{facts}{texts}",
        id=selection.problem_id,
        n=attempt.attempt,
        walk=_walk(problems, attempts, chosen, attempt, selection),
        chips=_chips(chosen, attempt, selection),
        facts=attempt_facts(attempt, private=private),
        texts=private_note(attempt) if private else _texts(attempt, row, selection),
    )


def _texts(attempt: AttemptRow, row: ResultRow, selection: Selection) -> Html:
    return fill(
        '<p class="reading"><a href="{link}" data-open data-press="r">{word}</a>{to_answer}</p>{prompt}{answer}',
        link=replace(selection, attempt=attempt.attempt, raw=not selection.raw).link(),
        word="Show formulas drawn" if selection.raw else "Show as it was written",
        to_answer=Html(
            ' · <button type="button" class="link" data-reveal="mark.answer" data-press="a">Go to the answer</button>'
        )
        if attempt.answer is not None
        else NOTHING,
        prompt=prompt_text(attempt.prompt, raw=selection.raw),
        answer=answer_text(attempt, row, raw=selection.raw),
    )


def _chosen_attempt(chosen: Sequence[AttemptRow], selection: Selection) -> AttemptRow | None:
    if not chosen:
        return None
    if selection.attempt is None:
        return chosen[0]
    if selection.attempt == -1:
        return chosen[-1]
    return next((row for row in chosen if row.attempt == selection.attempt), None)


def _walk(
    problems: Sequence[ProblemRow],
    attempts: Sequence[AttemptRow],
    chosen: Sequence[AttemptRow],
    row: AttemptRow,
    selection: Selection,
) -> Html:
    """Previous and next attempt under the filter, and the next of each kind that people look for."""
    before, after = neighbours(wanted_problems(problems, selection.show), chosen, row, selection)
    jumps = (
        _step(word, key, following(problems, attempts, row, replace(selection, show=show))) for show, word, key in JUMPS
    )
    return fill(
        '<nav class="walk" aria-label="Attempts one by one">{before}{jumps}{after}</nav>'
        '<p class="keys quiet">Keys: <kbd>k</kbd> <kbd>j</kbd> previous and next, <kbd>w</kbd> wrong, <kbd>t</kbd> cut '
        "off, <kbd>n</kbd> no answer, <kbd>h</kbd> thinking, <kbd>a</kbd> to the answer, <kbd>r</kbd> as written</p>",
        before=_step("← Previous", "k", before),
        jumps=fill('<span class="jumps">{jumps}</span>', jumps=join(jumps)),
        after=_step("Next →", "j", after),
    )


def _step(word: str, key: str, to: Selection | None) -> Html:
    if to is None:
        return fill('<span class="quiet">{word}</span>', word=word)
    return fill(
        '<a href="{link}" data-open data-press="{key}" aria-keyshortcuts="{key}">{word}</a>',
        link=to.link(),
        key=key,
        word=word,
    )


def _chips(chosen: Sequence[AttemptRow], opened: AttemptRow, selection: Selection) -> Html:
    links = (
        fill(
            '<li><a class="chip {verdict}" href="{link}" data-open{current} aria-label="attempt {n}, {word}">'
            "{n}</a></li>",
            verdict=row.verdict,
            link=replace(selection, attempt=row.attempt).link(),
            current=Html(' aria-current="true"') if row is opened else NOTHING,
            n=row.attempt,
            word=VERDICT_WORDS[Verdict(row.verdict)][0],
        )
        for row in chosen
    )
    return fill('<ul class="chips" aria-label="Attempts">{links}</ul>', links=join(links))
