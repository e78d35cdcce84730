"""The problems of one result and, for one of them, its attempts: what was asked, answered, found and decided."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from evaluator.types import Verdict
from leaderboard.types import AttemptRow, ProblemRow
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
    table,
)
from leaderboard.views.result import VERDICT_WORDS
from leaderboard.views.selection import Selection, Show, neighbours, wanted_attempts, wanted_problems

THOUGHT_END = re.compile(r"</think>|<\\/think>|<\|end_of_thought\|>")
THOUGHT_START = re.compile(r"^\s*<think>\n?")
SHOW_WORDS = {Show.ALL: "All", Show.WRONG: "Wrong", Show.TRUNCATED: "Truncated", Show.NO_ANSWER: "No answer"}


def problems_section(
    problems: Sequence[ProblemRow], attempts: Sequence[AttemptRow], selection: Selection, *, private: bool
) -> Html:
    """The list of problems beside the opened attempt. `attempts` are those of the selected problem, in order."""
    listed = wanted_problems(problems, selection.show)
    opened = _opened(problems, listed, attempts, selection, private=private)
    return fill(
        '<section class="problems" aria-labelledby="problems-title"><h2 id="problems-title">Problems</h2>{filters}'
        '<div class="split"><div class="list" tabindex="0" role="region" aria-label="List of problems" '
        'data-key="list-{show}">{list}</div><div class="opened" data-key="opened">{opened}</div></div></section>',
        filters=_filters(problems, selection),
        show=selection.show.value,
        list=_problem_table(listed, selection),
        opened=opened,
    )


def _filters(problems: Sequence[ProblemRow], selection: Selection) -> Html:
    links = (
        fill(
            '<li><a href="{link}" data-open{current}>{word} <span class="quiet">{n}</span></a></li>',
            link=Selection(plan_key=selection.plan_key, show=show, problem_id=None).link(),
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


def _opened(
    problems: Sequence[ProblemRow],
    listed: Sequence[ProblemRow],
    attempts: Sequence[AttemptRow],
    selection: Selection,
    *,
    private: bool,
) -> Html:
    if selection.problem_id is None:
        return Html("<p class='quiet'>Choose a problem to read its attempts.</p>")
    if all(row.problem_id != selection.problem_id for row in problems):
        return fill("<p role='alert'>This result has no problem <code>{id}</code>.</p>", id=selection.problem_id)
    chosen = wanted_attempts(attempts, selection.show)
    row = _chosen_attempt(chosen, selection)
    if row is None:
        return fill(
            '<h3 tabindex="-1" data-focus-here>Problem <bdi>{id}</bdi></h3>'
            "<p class='quiet'>No attempt at this problem is shown under this filter.</p>",
            id=selection.problem_id,
        )
    return fill(
        '<h3 tabindex="-1" data-focus-here data-scroll-here>Problem <bdi>{id}</bdi>, attempt {n}</h3>'
        "{walk}{chips}{facts}{texts}",
        id=selection.problem_id,
        n=row.attempt,
        walk=_walk(listed, chosen, row, selection),
        chips=_chips(chosen, row, selection),
        facts=_attempt_facts(row, private=private),
        texts=_private_note(row) if private else _texts(row),
    )


def _chosen_attempt(chosen: Sequence[AttemptRow], selection: Selection) -> AttemptRow | None:
    if not chosen:
        return None
    if selection.attempt is None:
        return chosen[0]
    if selection.attempt == -1:
        return chosen[-1]
    return next((row for row in chosen if row.attempt == selection.attempt), None)


def _walk(listed: Sequence[ProblemRow], chosen: Sequence[AttemptRow], row: AttemptRow, selection: Selection) -> Html:
    """Previous and next attempt under the filter, across problems."""
    before, after = neighbours(listed, chosen, row, selection)
    return fill(
        '<nav class="walk" aria-label="Attempts one by one">{before}{after}</nav>',
        before=_step("← Previous", before),
        after=_step("Next →", after),
    )


def _step(word: str, to: Selection | None) -> Html:
    if to is None:
        return fill('<span class="quiet">{word}</span>', word=word)
    return fill('<a href="{link}" data-open>{word}</a>', link=to.link(), word=word)


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


def _attempt_facts(row: AttemptRow, *, private: bool) -> Html:
    verdict = Verdict(row.verdict)
    word, meaning = VERDICT_WORDS[verdict]
    shown: dict[str, object] = {
        "verdict": fill("{badge} {meaning}", badge=badge(word, verdict.value), meaning=meaning),
        "answer found": _answer(row),
        "target": "kept private" if private else _literal(row.target),
        "finish reason": row.finish_reason,
        "truncated": {True: "yes", False: "no", None: "not known"}[row.truncated],
        "tokens": count(row.completion_tokens),
        "seed": fill("<code>{seed}</code>", seed=row.seed),
    }
    return facts(shown)


def _answer(row: AttemptRow) -> Html:
    if row.answer is None:
        return Html("none")
    where = Html(" <span class='quiet'>(only inside the thought)</span>") if row.answered_in_thought else NOTHING
    return fill("{answer}{where}", answer=_literal(row.answer), where=where)


def _literal(text: str | None) -> Html | None:
    return None if text is None else fill('<code dir="ltr">{text}</code>', text=text)


def _private_note(row: AttemptRow) -> Html:
    return fill(
        "<p class='quiet'>The questions of this benchmark are not published, so neither prompts nor answers are kept "
        "here. SHA-256 of the prompt <code>{prompt}</code>, of the completion <code>{text}</code>.</p>",
        prompt=row.prompt_sha256,
        text=row.text_sha256,
    )


def _texts(row: AttemptRow) -> Html:
    thought, answer = split_thought(row.text or "", row.reasoning)
    return fill(
        "{prompt}{thought}{answer}",
        prompt=fill("<h4>Prompt</h4>{text}", text=_pre(row.prompt)),
        thought=_thought(thought, empty_answer=not answer.strip()),
        answer=fill(
            "<h4>Completion{after}</h4>{text}", after=" after the thought" if thought else "", text=_pre(answer)
        ),
    )


def split_thought(text: str, reasoning: str | None) -> tuple[str, str]:
    """A completion as (thought, rest), for reading only; what is graded is decided by `evaluator/answers.py`.

    The thought is what a server returned apart, and everything up to the last closing mark. Without such a mark a text
    that opens a thought is all thought; any other text is all rest, even where the prompt had opened a thought.
    """
    closings = list(THOUGHT_END.finditer(text))
    if closings:
        inside, rest = text[: closings[-1].start()], text[closings[-1].end() :]
    elif THOUGHT_START.match(text):
        inside, rest = text, ""
    else:
        inside, rest = "", text
    thought = "\n".join(part for part in (reasoning or "", THOUGHT_START.sub("", inside)) if part.strip())
    return thought, rest


def _thought(thought: str, *, empty_answer: bool) -> Html:
    if not thought:
        return NOTHING
    return fill(
        '<details class="thought"{open}><summary>Thinking <span class="quiet">{n} characters</span></summary>'
        "{text}</details>",
        open=Html(" open") if empty_answer else NOTHING,
        n=count(len(thought)),
        text=_pre(thought),
    )


def _pre(text: str | None) -> Html:
    if not text or not text.strip():
        return Html("<p class='quiet'>empty</p>")
    return fill('<pre class="text" dir="auto" tabindex="0">{text}</pre>', text=text.strip("\n"))
