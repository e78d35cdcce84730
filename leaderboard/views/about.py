"""The About page: what a number here means and what stands behind it. Its facts come from the protocols."""

from __future__ import annotations

from evaluator.benchmarks import BENCHMARKS
from evaluator.types import Benchmark, Sampling
from leaderboard.charts import interval_bar
from leaderboard.views.markup import Column, Html, Row, badge, count, fill, join, page_link, table

VERDICTS = {
    "correct": ("correct", "The final answer equals the right one, however it is written: 0.5 equals 1/2."),
    "incorrect": ("incorrect", "There is an answer, and it is another one."),
    "no_answer": (
        "no answer",
        "No answer was found: the budget was used up while it thought, or it just stopped.",
    ),
    "ungraded": (
        "ungraded",
        "We failed, not the model. A result is published once every attempt has a verdict.",
    ),
}
EXAMPLES = ((62.0, (52.0, 71.0)), (55.0, (45.0, 65.0)), (31.0, (22.0, 41.0)))
"""Scores with intervals for the picture: two that overlap, one that is apart. They belong to no model."""


def about_page() -> Html:
    """The whole page."""
    return fill(
        '<article class="about-page"><h1>About this board</h1>{lead}{score}{verdicts}{interval}{ranks}{protocols}'
        "{reported}{behind}</article>",
        lead=_lead(),
        score=_score(),
        verdicts=_verdicts(),
        interval=_interval(),
        ranks=_ranks(),
        protocols=_protocols(),
        reported=_reported(),
        behind=_behind(),
    )


def _lead() -> Html:
    return fill(
        "<p class='lead'>A score is only as good as what stands behind it. So every number here says how it was made, "
        "carries its error bar, and opens down to the answers it came from.</p>"
    )


def _score() -> Html:
    return fill(
        "<section><h2>What a score is</h2><p>A model gets each problem several times, with some chance in its words. "
        "The score is the share of right answers: for each problem the share of its attempts, then the mean over the "
        "problems, in points of 100. It is often called pass@1.</p><p>Beside it stand pass@n, the share of problems "
        "solved at least once, and maj@n, the score of the answer that most attempts agree on.</p></section>"
    )


def _verdicts() -> Html:
    lines = (
        fill("<div><dt>{badge}</dt><dd>{words}</dd></div>", badge=badge(title, name), words=words)
        for name, (title, words) in VERDICTS.items()
    )
    return fill(
        "<section><h2>Four verdicts</h2><dl class='facts verdicts'>{lines}</dl><p>Apart from the verdict an answer "
        "can be cut off: the model used up its answer budget. A cut-off answer without a result counts as wrong and "
        "shows in a column of its own, because a larger budget might have saved it.</p></section>",
        lines=join(lines),
    )


def _interval() -> Html:
    bars = (
        fill(
            '<div class="example"><b>{score}</b><span class="quiet">{low}–{high}</span>{bar}</div>',
            score=f"{score:.0f}",
            low=f"{low:.0f}",
            high=f"{high:.0f}",
            bar=interval_bar(score, (low, high)),
        )
        for score, (low, high) in EXAMPLES
    )
    return fill(
        "<section><h2>Why there is a bar around it</h2><p>Thirty problems are few. With thirty others like them the "
        "score would be another one. The 95 % interval says how far it could reasonably move: of a hundred such "
        "intervals, about ninety-five hold the score over all problems of that kind.</p><div "
        "class='examples'>{bars}</div><p>More attempts at the same problems make the score steadier, but they are no "
        "new problems: the interval counts problems, not attempts.</p></section>",
        bars=join(bars),
    )


def _ranks() -> Html:
    return fill(
        "<section><h2>Why a rank is a range</h2><p>Two models answer the same problems, so they are compared problem "
        "by problem. Where the difference is within chance they are <b>not separable</b>, and the rank is a range: "
        "3–9 means that at least two models are better, and that with six others it cannot be told. Do not read an "
        "order into "
        'rows that are not separable. <a href="{compare}">Compare two results</a> shows the difference and whether the '
        "benchmark could have shown it at all.</p></section>",
        compare=page_link("compare"),
    )


def _protocols() -> Html:
    rows = (
        Row(
            cells=(
                fill('<span translate="no">{title}</span>', title=benchmark.title),
                count(benchmark.problems),
                count(benchmark.attempts),
                count(benchmark.max_tokens),
                _kind(benchmark),
            )
        )
        for benchmark in BENCHMARKS.values()
    )
    columns = (
        Column(head="Benchmark"),
        Column(head="Problems", numeric=True),
        Column(head="Attempts at each", numeric=True),
        Column(head="Answer budget, tokens", numeric=True),
        Column(head="Kind"),
    )
    usual = Sampling()
    return fill(
        "<section><h2>What a protocol is</h2><p>Temperature, prompt, budget and number of attempts move a score, by "
        "ten points and more. A protocol fixes them: temperature {temperature}, top-p {top_p}, no system prompt, "
        "bfloat16, and what this table says. Results of another protocol are shown in a section of their own, never "
        "ranked or sorted together with these; the quick tier has fewer attempts and is not "
        "ranked.</p>{table}</section>",
        temperature=usual.temperature,
        top_p=usual.top_p,
        table=table(caption="Standard protocols", columns=columns, rows=rows, cards=True),
    )


def _kind(benchmark: Benchmark) -> str:
    if benchmark.demonstration:
        return "a demonstration, never beside the others"
    return "questions are never shown" if benchmark.private else ""


def _reported() -> Html:
    return fill(
        "<section><h2>Reported and measured</h2><p>A reported score is the authors' own number. Beside it stands "
        "ours, the gap between them, and whether asking the same problems again would explain such a gap. Within the "
        "error means: nothing speaks against the reported score. It does not prove it.</p></section>"
    )


def _behind() -> Html:
    return fill(
        "<section><h2>What stands behind a number</h2><ul class='points'><li>The weights, pinned to a "
        "commit.</li><li>Every setting, and the exact command that measures it again.</li><li>Every answer, its "
        "verdict and the reason for it.</li><li>What served it: engine, version, device.</li></ul><p>Kind, size and "
        "licence come from the checkpoint and "
        'its model card. What nobody stated is shown as unknown.</p><p><a href="{submit}">Submit a model</a> or '
        'watch the <a href="{queue}">queue</a>.</p></section>',
        submit=page_link("submit"),
        queue=page_link("queue"),
    )
