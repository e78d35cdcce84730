"""What the form shows beside its fields while somebody types: checks, first prompt, fit, cost, waiting time."""

from __future__ import annotations

from collections.abc import Sequence

from evaluator.benchmarks import BENCHMARKS
from leaderboard.preflight import Check, Cost, FirstPrompt, Fit, Mark, Preflight, Range
from leaderboard.views.markup import NOTHING, Column, Html, Row, count, duration, fill, join, table

MARK_WORDS = {
    Mark.GOOD: ("✓", "fine"),
    Mark.CAREFUL: ("!", "note"),
    Mark.BAD: ("✕", "refused"),
    Mark.OPEN: ("·", "open"),
}


def preflight_section(found: Preflight) -> Html:
    """Everything that is known of the form as it stands."""
    if not found.checks:
        return Html(
            "<h2>Checks</h2><p class='quiet'>Type a model: whether it exists, can be served, was measured before, fits "
            "and what it costs appears here.</p>"
        )
    return fill(
        '<h2>Checks</h2><ul class="checks">{checks}</ul>{wait}{costs}{fits}',
        checks=join(_check(check) for check in found.checks),
        wait=_wait(found) if found.ready else NOTHING,
        costs=_costs(found.costs) if found.costs else NOTHING,
        fits=_fits(found.fits) if found.fits else NOTHING,
    )


def first_prompt_section(first: FirstPrompt | None) -> Html:
    """The first problem as the model will be asked it."""
    if first is None:
        return NOTHING
    title = BENCHMARKS[first.benchmark].title
    if first.text is None:
        return fill("<h2>First prompt</h2><p class='quiet'>{title}: {why}</p>", title=title, why=first.says)
    thought = " It ends inside an opened thought, so completions begin with thinking." if first.opens_thought else ""
    return fill(
        "<h2>First prompt</h2><p class='quiet'>The first problem of {title} through this model's chat template, letter "
        "by letter.{thought}</p><pre class='prompt' dir='auto' tabindex='0'>{text}</pre>",
        title=title,
        thought=thought,
        text=first.text,
    )


def _check(check: Check) -> Html:
    sign, word = MARK_WORDS[check.mark]
    return fill(
        '<li class="{mark}"><span class="sign" aria-hidden="true">{sign}</span> <b>{name}</b> '
        '<span class="sr-only">{word}:</span> <span dir="auto">{says}</span>{link}</li>',
        mark=check.mark.value,
        sign=sign,
        name=check.name,
        word=word,
        says=check.says,
        link=fill(' <a href="{link}">See it</a>', link=check.link) if check.link else NOTHING,
    )


def _wait(found: Preflight) -> Html:
    if not found.ahead:
        return Html("<p class='wait'><b>Waiting time</b> none: no job is before it.</p>")
    return fill(
        "<p class='wait'><b>Waiting time</b> {jobs} before it, {time}.</p>",
        jobs="one job" if found.ahead == 1 else f"{count(found.ahead)} jobs",
        time="for how long nothing tells yet" if found.wait_s is None else f"about {duration(found.wait_s)}",
    )


def _costs(costs: Sequence[Cost]) -> Html:
    columns = (
        Column(head="Benchmark"),
        Column(head="Requests", numeric=True),
        Column(head="Tokens, expected", numeric=True),
        Column(head="At most", numeric=True),
    )
    rows = (
        Row(
            cells=(
                BENCHMARKS[cost.benchmark].title,
                count(cost.requests),
                fill(
                    '{mean} <span class="quiet">{low}–{high}</span>',
                    mean=large(cost.requests * cost.each.mean),
                    low=large(cost.requests * cost.each.low),
                    high=large(cost.requests * cost.each.high),
                ),
                large(cost.most_tokens),
            )
        )
        for cost in costs
    )
    told = "earlier results on this board" if all(cost.measured for cost in costs) else "recorded models"
    caption = fill("Work <span class='quiet'>Expected from {told}; models differ widely.</span>", told=told)
    return table(caption=caption, columns=columns, rows=rows, css="dense")


def large(tokens: float) -> str:
    """A number of tokens in two or three digits."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:.3g} {letter}"
    return f"{tokens:.0f}"


def _fits(fits: Sequence[Fit]) -> Html:
    columns = (
        Column(head="Hardware"),
        Column(head="TP", numeric=True),
        Column(head="Answers at once", numeric=True),
        Column(head="Hours", numeric=True),
        Column(head="Cost", numeric=True),
    )
    here = next((fit for fit in fits if fit.here and fit.answers is None), None)
    caption = fill(
        "Where it fits <span class='quiet'>TP: GPUs that share the model. Answers of full length at once. Hours and "
        "dollars of everything chosen, as planned from the makers' figures: expected, lowest to highest.</span>"
    )
    return fill(
        "{table}{why}",
        table=table(caption=caption, columns=columns, rows=[_fit(fit) for fit in fits], css="dense"),
        why=fill("<p class='quiet'>Here: {why}</p>", why=here.says) if here else NOTHING,
    )


def _fit(fit: Fit) -> Row:
    here = Html(" <span class='quiet'>here</span>") if fit.here else NOTHING
    return Row(
        cells=(
            fill("{hardware}{here}", hardware=fit.hardware, here=here),
            fit.tensor_parallel_size or "–",
            fill('<span title="{why}">does not fit</span>', why=fit.says)
            if fit.answers is None
            else count(fit.answers),
            _range(fit.hours, ""),
            _range(fit.dollars, "$"),
        )
    )


def _range(values: Range | None, unit: str) -> Html:
    if values is None:
        return Html("–")
    if values[0] < 0.05:
        return fill("&lt; {unit}0.1", unit=unit)
    mean, low, high = (f"{unit}{value:.1f}" if value < 10 else f"{unit}{value:,.0f}" for value in values)
    return fill('{mean} <span class="quiet">{low}–{high}</span>', mean=mean, low=low, high=high)
