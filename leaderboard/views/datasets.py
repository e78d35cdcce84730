"""Datasets of reasoning traces: the list, one of them opened, and a generation that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leaderboard.datasets import LONG_TOKENS, Cost, DatasetReport, Example, GenerationProgress, LengthBin
from leaderboard.views.markup import (
    NOTHING,
    Column,
    Html,
    Row,
    count,
    duration,
    facts,
    fill,
    join,
    model_name,
    moment,
    notice,
    page_link,
    progress_bar,
    share,
    table,
)

ENDLESS = 1 << 30
"""The last bin of a histogram has no upper bound."""


def datasets_page(reports: Sequence[DatasetReport], asked: str | None) -> Html:
    """The dataset that is asked for, or the list of all."""
    if asked is None:
        return dataset_list(reports)
    report = next((each for each in reports if each.name == asked), None)
    if report is None:
        unknown = fill("There is no dataset <code>{asked}</code> on this board.", asked=asked)
        return join([notice(unknown, "bad", role="alert"), dataset_list(reports)])
    return dataset_view(report)


def dataset_list(reports: Sequence[DatasetReport]) -> Html:
    """Every dataset with its size, pass rate and cost."""
    head = Html(
        "<h1>Datasets</h1><p class='lead'>Reasoning traces that were written, checked and filtered here, or measured "
        "with <code>data stats</code>. Open one for its lengths, its sources, why rows were dropped, and rows to read."
        "</p>"
    )
    if not reports:
        return join([head, Html("<p class='quiet'>None yet: <code>python -m backend_jobs generate RECIPE</code>.</p>")])
    columns = [
        Column(head="Dataset"),
        Column(head="Rows", numeric=True),
        Column(head="Dropped", numeric=True),
        Column(head="Right", numeric=True),
        Column(head="Tokens", numeric=True),
        Column(head="Cost", numeric=True),
        Column(head="Made"),
    ]
    rows = [
        Row(
            key=report.name,
            cells=[
                fill('<a href="{link}">{name}</a>', link=page_link("datasets", name=report.name), name=report.name),
                count(report.rows),
                count(sum(report.dropped.values())),
                _right(report),
                count(report.tokens),
                cost_text(report.cost),
                moment(report.made_at, day_only=True),
            ],
        )
        for report in reports
    ]
    return join([head, table(caption="Datasets, newest first", columns=columns, rows=rows, cards=True)])


def dataset_view(report: DatasetReport) -> Html:
    """One dataset: numbers, lengths, sources, reasons, licences, examples."""
    return join(
        [
            fill("<h1>{name}</h1>", name=report.name),
            join(notice(warning, "warn") for warning in report.warnings),
            _facts(report),
            _section("Lengths", histogram(report.lengths, "Rows by tokens of their answer")),
            _section("Sources", _sources(report)),
            _section("Dropped", _dropped(report.dropped)),
            _section("Licences", _licenses(report)),
            _section("Examples", join(_example(n, example) for n, example in enumerate(report.examples))),
        ]
    )


def histogram(lengths: Sequence[LengthBin], label: str) -> Html:
    """Bins as bars with their numbers beside them; the words carry everything."""
    shown = [each for each in lengths if each.rows]
    most = max((each.rows for each in shown), default=0)
    total = sum(each.rows for each in shown)
    lines = (
        fill(
            '<tr><th scope="row" class="number">{bound}</th><td>{bar}</td>'
            '<td class="number">{rows}</td><td class="number">{share}</td></tr>',
            bound="more" if each.tokens >= ENDLESS else f"≤ {each.tokens:,}",
            bar=progress_bar(each.rows, most, f"{each.rows:,} {label[0].lower()}{label[1:]}"),
            rows=count(each.rows),
            share=share(each.rows, total),
        )
        for each in shown
    )
    if not shown:
        return NOTHING
    return fill(
        '<table class="histogram"><caption>{label}</caption><thead><tr><th scope="col" class="number">Tokens</th>'
        '<th scope="col"></th><th scope="col" class="number">Rows</th><th scope="col" class="number">Share</th></tr>'
        "</thead><tbody>{lines}</tbody></table>",
        label=label,
        lines=join(lines),
    )


def generation_progress(progress: GenerationProgress) -> Html:
    """A running generation: how far, how fast, what it cost so far, and the lengths as they grow."""
    if progress.phase == "waiting":
        return fill('<p class="quiet"><bdi>{message}</bdi></p>', message=progress.message)
    known = progress.total is not None
    done = [
        f"{count(progress.samples)} of {count(progress.total)} samples"
        if known
        else f"{count(progress.samples)} samples"
    ]
    done.append(f"{count(progress.kept)} kept")
    if progress.right + progress.wrong:
        done.append(f"{share(progress.right, progress.right + progress.wrong)} right")
    if progress.tokens_per_s is not None:
        done.append(f"{count(progress.tokens_per_s)} tokens/s")
    if progress.cost.amount is not None:
        done.append(cost_text(progress.cost))
    if progress.eta_s is not None:
        done.append(f"about {duration(progress.eta_s)} left")
    if progress.long_rows:
        done.append(f"{share(progress.long_rows, progress.samples)} over {LONG_TOKENS:,} tokens")
    return fill(
        '<div class="step"><p><b>Reasoning data</b> <span class="quiet">{phase}</span></p>{bar}'
        '<p class="numbers">{facts}</p><details data-key="lengths"><summary>Lengths and drops</summary>'
        "{lengths}{dropped}</details></div>",
        phase=progress.phase,
        bar=progress_bar(progress.samples, progress.total, "Samples answered") if progress.total else NOTHING,
        facts=join(done, " · "),
        lengths=histogram(progress.lengths, "Answers so far by tokens"),
        dropped=_dropped(progress.dropped),
    )


def cost_text(cost: Cost) -> str:
    """An amount with its currency; a dash where no price was given."""
    return "–" if cost.amount is None else f"{cost.amount:,.2f} {cost.currency}"


def _facts(report: DatasetReport) -> Html:
    made_by = None if report.model is None else model_name(report.model, report.commit)
    pairs: dict[str, object] = {
        "Rows": fill("{rows}{state}", rows=count(report.rows), state="" if report.complete else ", still being made"),
        "Problems": count(report.problems),
        "Tokens": count(report.tokens),
        "Longest answer": f"{count(report.longest)} tokens",
        f"Over {LONG_TOKENS:,} tokens": f"{count(report.long_rows)} ({share(report.long_rows, report.rows)})",
        "Right, of the checked samples": _right(report),
        "Written by": made_by,
        "Engine's time": duration(report.cost.seconds) if report.cost.seconds else None,
        "Cost": cost_text(report.cost),
        "Made": moment(report.made_at),
    }
    if report.estimated:
        pairs["Lengths estimated"] = f"{count(report.estimated)} rows, from their characters"
    if report.hub:
        pairs["On the Hub"] = fill("<bdi>{name}</bdi>", name=report.hub)
    return facts(pairs)


def _right(report: DatasetReport) -> str:
    right = sum(source.right for source in report.sources)
    return share(right, right + sum(source.wrong for source in report.sources))


def _sources(report: DatasetReport) -> Html:
    if not report.sources:
        return NOTHING
    columns = [Column(head="Source"), Column(head="Rows", numeric=True), Column(head="Right", numeric=True)]
    columns.append(Column(head="Checked samples", numeric=True))
    rows = [
        Row(
            cells=[
                fill("<bdi>{name}</bdi>", name=source.name),
                count(source.kept),
                share(source.right, source.right + source.wrong),
                count(source.right + source.wrong),
            ]
        )
        for source in report.sources
    ]
    return table(caption="Where the problems are from", columns=columns, rows=rows)


def _dropped(dropped: Mapping[str, int]) -> Html:
    if not dropped:
        return NOTHING
    rows = [Row(cells=[fill("<code>{reason}</code>", reason=reason), count(n)]) for reason, n in dropped.items()]
    return table(
        caption="Rows kept apart, by the reason",
        columns=[Column(head="Reason"), Column(head="Rows", numeric=True)],
        rows=rows,
    )


def _licenses(report: DatasetReport) -> Html:
    if not report.licenses:
        return NOTHING
    rows = [Row(cells=[name, count(n)]) for name, n in report.licenses.items()]
    columns = [Column(head="Licence"), Column(head="Rows", numeric=True)]
    return table(caption="What may be done with the rows", columns=columns, rows=rows)


def _section(title: str, body: Html) -> Html:
    return fill("<section><h2>{title}</h2>{body}</section>", title=title, body=body) if body else NOTHING


def _example(number: int, example: Example) -> Html:
    told = "right" if example.verified else "wrong" if example.verified is False else "not checked"
    state = f"dropped, {example.dropped}" if example.dropped else f"kept, {told}"
    tokens = "" if example.tokens is None else f" · {example.tokens:,} tokens"
    return fill(
        '<details class="log" data-key="example-{number}"><summary><span dir="auto">{problem}</span> '
        '<span class="quiet">{state}{tokens} · <bdi>{source}</bdi></span></summary>'
        '<h3>Problem</h3><pre dir="auto" tabindex="0">{whole}</pre><h3>Thought</h3>'
        '<pre dir="auto" tabindex="0">{reasoning}</pre>'
        '<h3>Answer</h3><pre dir="auto" tabindex="0">{answer}</pre></details>',
        number=number,
        problem=" ".join(example.problem.split())[:120],
        state=state,
        tokens=tokens,
        source=example.source,
        whole=example.problem,
        reasoning=example.reasoning or "–",
        answer=example.answer or "–",
    )
