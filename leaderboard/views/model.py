"""One model: everything that was measured of it, by commit, with lengths, breakdown, commands and history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluator.benchmarks import BENCHMARKS
from evaluator.types import ModelFacts, Verdict
from leaderboard.charts import interval_bar
from leaderboard.lengths import Length
from leaderboard.types import ProblemRow, ReferenceScore, ResultRow
from leaderboard.views.breakdown import breakdown_section
from leaderboard.views.history import history_section
from leaderboard.views.lengths import lengths_section
from leaderboard.views.markup import (
    HUB,
    HUB_NAME,
    NOTHING,
    Column,
    Html,
    Row,
    badge,
    count,
    external,
    facts,
    fill,
    interval,
    join,
    moment,
    notice,
    page_link,
    points,
    share,
    short_commit,
    table,
)
from leaderboard.views.result import plan_facts, reproduce_command


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """A result with what its sections need: counts per problem and lengths of answers, empty where not readable."""

    row: ResultRow
    problems: Sequence[ProblemRow]
    lengths: Sequence[Length]


def model_page(
    model: str,
    rows: Sequence[ResultRow],
    *,
    facts: ModelFacts | None,
    opened: Sequence[Opened],
    notes: Mapping[str, str],
    references: Sequence[ReferenceScore],
    ranks: Mapping[str, tuple[int, int]],
    commit: str | None = None,
) -> Html:
    """The whole page. `rows` are the model's results, newest first; `opened` those that stand, one per benchmark.

    `notes` are what submitters wrote, by job; `references` published scores of this model; `ranks` by plan key. Results
    of `commit`, where a link named one, are marked.
    """
    return fill(
        '<div data-title-of-page="{model}"></div><p class="trail"><a href="./">Leaderboard</a> / model</p>'
        "<h1><bdi>{model}</bdi></h1>{head}{notes}{results}{references}{opened}{lineage}",
        model=model,
        head=_head(model, rows, facts),
        notes=_notes(rows, notes),
        results=_results(rows, ranks, commit),
        references=_references(references),
        opened=join(_opened(each, rows) for each in opened),
        lineage=_lineage(rows),
    )


def unknown_model(model: str | None) -> Html:
    """What the page says where nothing of this model is published."""
    text = (
        fill(
            'No result of <code>{model}</code> is published. <a href="{link}">Submit it</a>.',
            model=model,
            link=page_link("submit", model=model),
        )
        if model
        else Html('No model was asked for. Open one from the <a href="./">leaderboard</a>.')
    )
    return fill("<h1>Model</h1>{notice}", notice=notice(text, "bad", role="alert"))


def _head(model: str, rows: Sequence[ResultRow], known: ModelFacts | None) -> Html:
    commits = list(dict.fromkeys(row.commit for row in rows))
    hub = (
        external(f"{HUB}/{model}", "on the Hub")
        if HUB_NAME.fullmatch(model) and any(c and ":" not in c for c in commits)
        else None
    )
    shown: dict[str, object] = {}
    if known is not None:
        shown = {
            "parameters": f"{known.parameters / 1e9:.2f} billion" if known.parameters else None,
            "kind": known.kind.value if known.kind else None,
            "licence": known.licence,
            "trained from": fill("<bdi>{base}</bdi>", base=known.base) if known.base else None,
            "released": known.released,
        }
    shown["commits measured"] = join((fill("<code>{c}</code>", c=short_commit(c)) for c in commits), " ")
    return fill(
        '<p class="about">{results} · {hub}{submit}</p>{facts}',
        results=f"{len(rows)} result{'s' if len(rows) != 1 else ''}",
        hub=fill("{hub} · ", hub=hub) if hub else NOTHING,
        submit=fill('<a href="{link}">measure it on another benchmark</a>', link=page_link("submit", model=model)),
        facts=facts({name: value for name, value in shown.items() if value is not None}),
    )


def _notes(rows: Sequence[ResultRow], notes: Mapping[str, str]) -> Html:
    told = {row.job_id: notes[row.job_id] for row in rows if row.job_id and notes.get(row.job_id)}
    said = (
        fill('<li><q dir="auto">{note}</q> <a href="{link}">job</a></li>', note=note, link=page_link("queue", job=job))
        for job, note in told.items()
    )
    return fill("<section><h2>What submitters said</h2><ul>{said}</ul></section>", said=join(said)) if told else NOTHING


def _results(rows: Sequence[ResultRow], ranks: Mapping[str, tuple[int, int]], commit: str | None) -> Html:
    columns = (
        Column(head="Benchmark"),
        Column(head="Score", numeric=True),
        Column(head="95 % interval"),
        Column(head="Rank"),
        Column(head="Cut off", numeric=True),
        Column(head="No answer", numeric=True),
        Column(head="Tokens, mean", numeric=True),
        Column(head="Tokens/s", numeric=True),
        Column(head="Weights"),
        Column(head="Measured", css="date"),
    )
    order = {name: place for place, name in enumerate(BENCHMARKS)}
    ordered = sorted(rows, key=lambda row: (order.get(row.benchmark, len(order)), not row.ranked))
    marked = commit if len({row.commit for row in rows}) > 1 else None
    listed = [
        _result(row, ranks.get(row.plan_key), current=marked is not None and row.commit == marked) for row in ordered
    ]
    return fill(
        "<section>{table}</section>",
        table=table(caption="Every result", columns=columns, rows=listed, cards=True),
    )


def _result(row: ResultRow, rank: tuple[int, int] | None, *, current: bool) -> Row:
    total = sum(row.verdicts.values())
    speed = row.completion_tokens / row.wall_seconds if row.wall_seconds > 0 and row.completion_tokens else None
    return Row(
        cells=(
            _title(row.benchmark),
            fill(
                '<a class="value" href="{link}">{score}</a>',
                link=page_link("result", plan=row.plan_key),
                score=points(row.statistics.score),
            ),
            fill(
                '<span class="cell">{bar}{bounds}</span>',
                bar=interval_bar(row.statistics.score, row.statistics.ci95),
                bounds=interval(row.statistics.ci95),
            ),
            _rank(row, rank),
            share(row.truncated, total - row.truncation_unknown),
            share(row.verdicts.get(Verdict.NO_ANSWER.value, 0), total),
            count(row.mean_completion_tokens),
            count(speed),
            fill(
                "<span>{revision} <code>{commit}</code></span>", revision=row.revision, commit=short_commit(row.commit)
            ),
            moment(row.measured_at, day_only=True),
        ),
        key=row.plan_key,
        current=current,
    )


def _rank(row: ResultRow, rank: tuple[int, int] | None) -> Html:
    if not row.ranked:
        return fill(
            '<span title="{why}">{badge}</span>', why=row.not_ranked_because, badge=badge("not ranked", "muted")
        )
    if rank is None:
        return Html("–")
    return fill("{rank}", rank=f"{rank[0]}" if rank[0] == rank[1] else f"{rank[0]}–{rank[1]}")


def _references(references: Sequence[ReferenceScore]) -> Html:
    if not references:
        return NOTHING
    columns = (
        Column(head="Benchmark"),
        Column(head="Score", numeric=True),
        Column(head="Kind"),
        Column(head="Source"),
        Column(head="Settings"),
    )
    rows = (
        Row(
            cells=(
                _title(each.benchmark),
                points(each.score),
                badge(each.kind.value, each.kind.value.replace(" ", "-")),
                external(each.url, each.source),
                each.settings,
            )
        )
        for each in references
    )
    caption = Html(
        "What others published <span class='quiet'>Not measured here, and never mixed with our results.</span>"
    )
    listed = table(caption=caption, columns=columns, rows=rows, cards=True)
    return fill("<section class='references'>{listed}</section>", listed=listed)


def _opened(each: Opened, rows: Sequence[ResultRow]) -> Html:
    """What stands behind one benchmark's result: lengths, groups, settings, commands, history."""
    row = each.row
    return fill(
        '<section class="standing" aria-labelledby="at-{key}"><h2 id="at-{key}">{title} '
        '<a href="{link}">{score}</a></h2>'
        "{lengths}<details data-key='groups-{key}'><summary>By subject and level, number of tries, letters</summary>"
        "{groups}</details><details data-key='settings-{key}'><summary>Settings in full</summary>{settings}</details>"
        "<details data-key='again-{key}'><summary>Commands that measure it again, and history</summary>"
        "<pre class='command' tabindex='0'>{command}</pre>{history}</details></section>",
        key=row.plan_key,
        title=_title(row.benchmark),
        link=page_link("result", plan=row.plan_key),
        score=points(row.statistics.score),
        lengths=lengths_section(each.lengths, level=3),
        groups=breakdown_section(row, each.problems) or Html("<p class='quiet'>Nothing to break down.</p>"),
        settings=facts(plan_facts(row.plan)),
        command=reproduce_command(row),
        history=history_section(row, rows),
    )


def _lineage(rows: Sequence[ResultRow]) -> Html:
    trained = [row for row in rows if row.lineage is not None]
    if not trained:
        return NOTHING
    ordered = sorted(trained, key=lambda row: (row.benchmark, row.lineage.step if row.lineage else 0))
    lines = (
        fill(
            '<li>step {step} of <bdi>{run}</bdi>{parent}: {title} <a href="{link}">{score}</a> ({bounds})</li>',
            step=count(row.lineage.step),
            run=row.lineage.run,
            parent=fill(", trained from <bdi>{parent}</bdi>", parent=row.lineage.parent)
            if row.lineage.parent
            else NOTHING,
            title=_title(row.benchmark),
            link=page_link("result", plan=row.plan_key),
            score=points(row.statistics.score),
            bounds=interval(row.statistics.ci95),
        )
        for row in ordered
        if row.lineage is not None
    )
    return fill('<section><h2>Lineage</h2><ul class="lineage">{lines}</ul></section>', lines=join(lines))


def _title(benchmark: str) -> str:
    return BENCHMARKS[benchmark].title if benchmark in BENCHMARKS else benchmark
