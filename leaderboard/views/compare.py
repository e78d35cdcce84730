"""Two to four results side by side: scores, paired differences, what the benchmark could have shown, what differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, islice

from evaluator.benchmarks import BENCHMARKS
from leaderboard.charts import interval_bar
from leaderboard.compare import MIXED, ResultComparison, conclusion, could_have_shown, p_value, signed
from leaderboard.matrix import ManyCompared, Pair
from leaderboard.types import ResultRow
from leaderboard.views.markup import (
    NOTHING,
    Column,
    Html,
    Row,
    badge,
    count,
    facts,
    fill,
    interval,
    join,
    model_name,
    moment,
    notice,
    page_link,
    points,
    short_commit,
    table,
    visible,
)

LETTERS = "ABCD"
CHOICES_SHOWN = 200
SIDE_COLUMNS = (
    Column(head="Result"),
    Column(head="Model", css="model"),
    Column(head="Score", numeric=True),
    Column(head="95 % interval"),
    Column(head="Attempts", numeric=True),
    Column(head="Ahead on", numeric=True),
    Column(head="Measured", css="date"),
)
INTRO = (
    "Two to four results of one benchmark, compared problem by problem. Pairing takes out how hard each problem is, so "
    "this shows smaller differences than two intervals side by side."
)


def compare_head() -> Html:
    """What this page is for."""
    return fill("<h1>Compare results</h1><p class='lead'>{intro}</p>", intro=INTRO)


def choose_two() -> Html:
    """What to show before two results are chosen."""
    return Html(
        "<p class='quiet'>Choose two to four results. After the first, the list holds those of the same benchmark.</p>"
    )


def choices(rows: Iterable[ResultRow]) -> list[tuple[str, str]]:
    """(label, plan key) of every result that may be chosen: by benchmark, highest score first."""
    return [(visible(_label(row)), row.plan_key) for row in _ordered(rows)]


def _ordered(rows: Iterable[ResultRow]) -> list[ResultRow]:
    order = {name: place for place, name in enumerate(BENCHMARKS)}
    return sorted(rows, key=lambda r: (order.get(r.benchmark, len(order)), -r.statistics.score, r.model, r.plan_key))


def offered(rows: Sequence[ResultRow], chosen: Sequence[str]) -> list[tuple[str, str]]:
    """The choices to offer beside those chosen already: of the same benchmark, the chosen always among them.

    A board may have tens of thousands: of each benchmark the `CHOICES_SHOWN` highest scores are offered; any other is
    compared from its own page, by a link.
    """
    first = chosen[0] if chosen else None
    benchmark = next((row.benchmark for row in rows if row.plan_key == first), None)
    possible = _ordered(row for row in rows if benchmark in (None, row.benchmark))
    kept = [row for row in possible if row.plan_key in set(chosen)]
    others: list[ResultRow] = []
    for _, group in groupby(possible, key=lambda row: row.benchmark):
        others += islice((row for row in group if row.plan_key not in set(chosen)), CHOICES_SHOWN)
    return choices(kept) + choices(others)


def _label(row: ResultRow) -> str:
    revision = f" {row.revision}" if row.revision else ""
    return (
        f"{_title(row.benchmark)} · {points(row.statistics.score)} · {row.model}{revision} "
        f"{short_commit(row.commit)} · {row.problems} × {row.attempts_per_problem} · {row.plan_key[:6]}"
    )


def many_section(many: ManyCompared) -> Html:
    """Every pair of several results: what each shows, and what the benchmark could have shown."""
    if len(many.pairs) == 1:
        return comparison_section(many.pairs[0].compared)
    title = _title(many.rows[0].benchmark)
    mixed = any(pair.compared.protocol for pair in many.pairs)
    return fill(
        '<div data-title-of-page="{n} results on {title}"></div>'
        "<section aria-labelledby='difference-title'><h2 id='difference-title'>{title}</h2>{mixed}{sides}</section>"
        "<section>{pairs}</section><section><h2>In what they differ</h2>{differing}</section>",
        n=len(many.rows),
        title=title,
        mixed=notice(MIXED, "bad") if mixed else NOTHING,
        sides=_results(many.rows),
        pairs=_pairs(many),
        differing=join(_differing_pair(pair) for pair in many.pairs),
    )


def _results(rows: Sequence[ResultRow]) -> Html:
    columns = tuple(column for column in SIDE_COLUMNS if column.head != "Ahead on")
    sides = (_side(LETTERS[place], row, None) for place, row in enumerate(rows))
    return table(caption="The results", columns=columns, rows=sides, cards=True)


def _pairs(many: ManyCompared) -> Html:
    columns = (
        Column(head="Pair"),
        Column(head="Difference", numeric=True),
        Column(head="95 % interval", numeric=True),
        Column(head="p-value", numeric=True),
        Column(head="Ahead on", numeric=True),
        Column(head="Could be shown", numeric=True),
        Column(head="What it shows"),
    )
    caption = fill(
        "Every pair <span class='quiet'>Differences in points, first minus second, over the same problems. Could be "
        "shown: the smallest true difference that these problems show four times in five. Of {n} pairs some differ by "
        "chance alone, so a pair counts as different only where Holm's correction for {n} tests lets it.</span>",
        n=len(many.pairs),
    )
    return table(caption=caption, columns=columns, rows=[_pair(pair) for pair in many.pairs], cards=True)


def _pair(pair: Pair) -> Row:
    numbers, a, b = pair.compared.numbers, LETTERS[pair.a], LETTERS[pair.b]
    ahead = a if numbers.difference > 0 else b
    return Row(
        cells=(
            fill(
                '<a href="{link}">{a} − {b}</a>',
                link=page_link("compare", a=pair.compared.a.plan_key, b=pair.compared.b.plan_key),
                a=a,
                b=b,
            ),
            signed(numbers.difference),
            f"{signed(numbers.ci95[0])} to {signed(numbers.ci95[1])}" if numbers.ci95 else "not known",
            p_value(numbers.p_value).removeprefix("= "),
            f"{pair.compared.a_ahead} and {pair.compared.b_ahead}",
            points(numbers.detectable) if numbers.detectable else "not known",
            f"{ahead} scores higher" if pair.holds else "no difference is shown",
        ),
        key=f"{a}{b}",
    )


def _differing_pair(pair: Pair) -> Html:
    lines = (*pair.compared.protocol, *pair.compared.model)
    return fill(
        "<details{open}><summary>{a} vs {b}: {word}</summary>{lines}</details>",
        open=Html(" open") if pair.compared.protocol else NOTHING,
        a=LETTERS[pair.a],
        b=LETTERS[pair.b],
        word="other protocols" if pair.compared.protocol else "the same protocol",
        lines=difference_list(lines),
    )


def comparison_section(compared: ResultComparison) -> Html:
    """The whole comparison of two."""
    title = _title(compared.a.benchmark)
    return fill(
        '<div data-title-of-page="{a} and {b} on {title}"></div>'
        "<section aria-labelledby='difference-title'><h2 id='difference-title'>{title}</h2>{mixed}"
        "<p><b>{conclusion}</b></p><p>{power}</p></section><section>{sides}</section><section>{numbers}</section>"
        "<div class='columns'>{protocol}{model}</div><p><a href='{swap}'>Swap the two</a></p>",
        a=compared.a.model,
        b=compared.b.model,
        title=title,
        mixed=notice(MIXED, "bad") if compared.protocol else NOTHING,
        conclusion=conclusion(compared),
        power=could_have_shown(compared),
        sides=_sides(compared),
        numbers=_numbers(compared),
        protocol=_differing(
            "Protocol: first vs second", compared.protocol, "The same protocol, so the scores are comparable."
        ),
        model=_differing("What was measured: first vs second", compared.model, "The same weights, measured once each."),
        swap=page_link("compare", a=compared.b.plan_key, b=compared.a.plan_key),
    )


def _sides(compared: ResultComparison) -> Html:
    rows = (
        _side("A, first", compared.a, compared.a_ahead),
        _side("B, second", compared.b, compared.b_ahead),
    )
    caption = fill("Both results <span class='quiet'>Ahead on: problems that this one solved more often.</span>")
    return table(caption=caption, columns=SIDE_COLUMNS, rows=rows, cards=True)


def _side(name: str, row: ResultRow, ahead: int | None) -> Row:
    won = () if ahead is None else (f"{count(ahead)} of {count(row.problems)}",)
    return Row(
        cells=(
            name,
            fill(
                '<span>{name} <span class="sub">{revision} <code>{commit}</code></span>{ranked}</span>',
                name=model_name(row.model, row.commit),
                revision=row.revision,
                commit=short_commit(row.commit),
                ranked=NOTHING if row.ranked else badge("not ranked", "muted"),
            ),
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
            count(row.attempts_per_problem),
            *won,
            moment(row.measured_at, day_only=True),
        ),
        key=name,
    )


def _numbers(compared: ResultComparison) -> Html:
    numbers = compared.numbers
    low_high = numbers.ci95 and f"{signed(numbers.ci95[0])} to {signed(numbers.ci95[1])}"
    return facts(
        {
            "difference, first minus second": fill("<b>{value}</b> points", value=signed(numbers.difference)),
            "95 % interval of the difference": low_high,
            "standard error, paired": points(numbers.stderr) if numbers.stderr is not None else None,
            "p-value, sign flips of the problems": p_value(numbers.p_value).removeprefix("= "),
            "smallest difference shown 4 times in 5": points(numbers.detectable) if numbers.detectable else None,
        }
    )


def _differing(title: str, lines: Sequence[str], none: str) -> Html:
    return fill(
        "<section><h2>{title}</h2>{lines}</section>",
        title=title,
        lines=difference_list(lines) if lines else fill("<p>{none}</p>", none=none),
    )


def difference_list(lines: Sequence[str]) -> Html:
    """Differences of two plans, one line each."""
    return fill("<ul>{lines}</ul>", lines=join(fill("<li>{line}</li>", line=line) for line in lines))


def _title(benchmark: str) -> str:
    return BENCHMARKS[benchmark].title if benchmark in BENCHMARKS else benchmark
