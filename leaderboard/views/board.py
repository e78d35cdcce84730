"""The leaderboard: our own measurements, the demonstration apart from them, training curves, published scores last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluator.benchmarks import BENCHMARKS
from evaluator.types import Benchmark
from leaderboard.board import Board
from leaderboard.charts import interval_bar, training_curve
from leaderboard.contracts import LiveState
from leaderboard.types import (
    BoardEntry,
    BoardScore,
    CurvePoint,
    JobKind,
    JobRecord,
    ReferenceKind,
    ReferenceScore,
    Status,
)
from leaderboard.views.markup import (
    NOTHING,
    Column,
    Html,
    Row,
    badge,
    count,
    external,
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
)
from leaderboard.views.queue import benchmark_progress, training_progress

REAL = tuple(b for b in BENCHMARKS.values() if not b.demonstration)
DEMONSTRATIONS = tuple(b for b in BENCHMARKS.values() if b.demonstration)
LEAD = (
    "How well open reasoning models solve problems whose answers can be checked. A score is pass@1 in points of 100, "
    "the mean over all problems and attempts, with its 95 % interval. Open a score to see every answer behind it."
)


def leaderboard_page(board: Board, jobs: Sequence[JobRecord], live: Mapping[str, LiveState]) -> Html:
    """The whole page for what the board holds now; `jobs` and `live` say what is on its way while it is empty."""
    entries = board.leaderboard()
    return fill(
        "<h1>Leaderboard</h1><p class='lead'>{lead}</p>{empty}{real}{demo}{curves}{references}",
        lead=LEAD,
        empty=NOTHING if entries else _empty(jobs, live),
        real=_real(entries),
        demo=join(_demonstration(benchmark, entries) for benchmark in DEMONSTRATIONS),
        curves=_curves(board.curves()),
        references=references_section([score for b in REAL for score in board.references_for(b.name)]),
    )


def _empty(jobs: Sequence[JobRecord], live: Mapping[str, LiveState]) -> Html:
    """What is happening and what to do where nothing has been measured yet."""
    running = [job for job in jobs if job.status is Status.RUNNING]
    waiting = [job for job in jobs if job.status is Status.PENDING]
    return notice(
        fill(
            '<h2>Nothing has been measured yet</h2>{running}{waiting}<p>Watch the <a href="{queue}">queue</a>, or '
            '<a href="{submit}">submit a model</a>. This page shows a result as soon as there is one.</p>',
            running=join(_on_its_way(job, live.get(job.submission.id)) for job in running),
            waiting=fill("<p>Waiting in the queue: {names}.</p>", names=join((_job_name(j) for j in waiting), ", "))
            if waiting
            else NOTHING,
            queue=page_link("queue"),
            submit=page_link("submit"),
        )
    )


def _job_name(job: JobRecord) -> Html:
    doing = {JobKind.TRAIN: "training of ", JobKind.GENERATE: "reasoning data for "}.get(job.submission.kind, "")
    return fill("{doing}{model}", doing=doing, model=model_name(job.submission.model, job.submission.commit))


def _on_its_way(job: JobRecord, state: LiveState | None) -> Html:
    name = fill("<p>Running now: {name}.</p>", name=_job_name(job))
    if state is None:
        return name
    steps = [benchmark_progress(_title(key), progress) for key, progress in state.progress.items()]
    if state.training:
        steps.append(training_progress(state.training))
    return join([name, *steps])


def _title(benchmark: str) -> str:
    return BENCHMARKS[benchmark].title if benchmark in BENCHMARKS else benchmark


# Our measurements


def _real(entries: Sequence[BoardEntry]) -> Html:
    """One row per checkpoint, one column per benchmark."""
    shown = [entry for entry in entries if any(b.name in entry.scores for b in REAL)]
    if not shown:
        return NOTHING
    rows = (
        Row(
            cells=(_model(entry), *(_score(entry.scores.get(benchmark.name)) for benchmark in REAL)),
            key=f"{entry.model}@{entry.commit}",
        )
        for entry in shown
    )
    caption = fill(
        "Measured here <span class='quiet'>Each cell: score, 95 % interval, rank interval; attempts × problems, "
        "share cut off at the budget; mean tokens of a completion, day measured.</span>"
    )
    columns = [
        Column(head="Model", css="model"),
        *(Column(head=benchmark.title, css="benchmark") for benchmark in REAL),
    ]
    return fill("<section>{table}</section>", table=table(caption=caption, columns=columns, rows=rows, cards=True))


def _model(entry: BoardEntry) -> Html:
    parts = [fill("{revision}", revision=entry.revision)] if entry.revision else []
    parts.append(fill("<code>{commit}</code>", commit=short_commit(entry.commit)))
    return fill(
        '{name}<span class="sub">{parts}</span>', name=model_name(entry.model, entry.commit), parts=join(parts, " · ")
    )


def _score(score: BoardScore | None) -> Html:
    if score is None:
        return Html('<span class="quiet" aria-label="not measured">–</span>')
    return fill(
        '<span class="cell"><span class="top">{value}<span class="bounds">{bounds}</span>'
        '<span class="rank">{rank}</span></span>{bar}<span class="small">{attempts} × {problems} · {cut} cut off</span>'
        '<span class="small">{tokens} tokens · {day}</span></span>',
        value=_value(score),
        bounds=interval(score.ci95),
        rank=_rank(score),
        bar=interval_bar(score.score, score.ci95),
        attempts=score.attempts_per_problem,
        problems=count(score.problems),
        cut=_percent(score.truncated_share),
        tokens=count(score.mean_completion_tokens),
        day=moment(score.measured_at, day_only=True),
    )


def _value(score: BoardScore) -> Html:
    link = page_link("result", plan=score.plan_key)
    return fill('<a class="value" href="{link}">{score}</a>', link=link, score=points(score.score))


def _rank(score: BoardScore) -> Html:
    if not score.ranked:
        return fill('<span title="{why}">not ranked</span>', why=score.not_ranked_because)
    if score.rank is None:
        return NOTHING
    best, worst = score.rank
    span = str(best) if best == worst else f"{best}–{worst}"
    return fill('<span title="of {n} compared">rank {span}</span>', span=span, n=score.compared)


def _percent(part: float | None) -> str:
    return "–" if part is None else f"{100 * part:.1f} %"


def _demonstration(benchmark: Benchmark, entries: Sequence[BoardEntry]) -> Html:
    """A table of its own: a demonstration is never read beside the real benchmarks."""
    shown = [(entry, entry.scores[benchmark.name]) for entry in entries if benchmark.name in entry.scores]
    if not shown:
        return NOTHING
    rows = (_demonstration_row(entry, score) for entry, score in shown)
    columns = (
        Column(head="Model", css="model"),
        Column(head="Score", numeric=True),
        Column(head="95 % interval"),
        Column(head="Rank"),
        Column(head="Attempts", numeric=True),
        Column(head="Cut off", numeric=True),
        Column(head="Mean tokens", numeric=True),
        Column(head="Measured", css="date"),
    )
    caption = fill(
        "{title} <span class='quiet'>A demonstration: models of a few hundred thousand parameters, trained and "
        "measured on one machine. Ranked only among themselves.</span>",
        title=benchmark.title,
    )
    return fill(
        '<section class="demo">{table}</section>', table=table(caption=caption, columns=columns, rows=rows, cards=True)
    )


def _demonstration_row(entry: BoardEntry, score: BoardScore) -> Row:
    drawn = interval_bar(score.score, score.ci95)
    return Row(
        cells=(
            _model(entry),
            _value(score),
            fill('<span class="cell">{bar}{bounds}</span>', bar=drawn, bounds=interval(score.ci95)),
            _rank(score),
            f"{score.attempts_per_problem} × {score.problems}",
            _percent(score.truncated_share),
            count(score.mean_completion_tokens),
            moment(score.measured_at, day_only=True),
        ),
        key=f"{entry.model}@{entry.commit}",
    )


def _curves(curves: Mapping[str, Mapping[str, Sequence[CurvePoint]]]) -> Html:
    drawn = [
        training_curve(f"{run}: {_title(benchmark)}", curve)
        for run, by_benchmark in curves.items()
        for benchmark, curve in by_benchmark.items()
    ]
    if not drawn:
        return NOTHING
    return fill('<section><h2>Training runs</h2><div class="curves">{curves}</div></section>', curves=join(drawn))


# Other people's numbers


def references_section(references: Sequence[ReferenceScore]) -> Html:
    """Published scores, folded per benchmark, each with whose number it is, how it was made, and where it stands."""
    if not references:
        return NOTHING
    return fill(
        '<section class="references" aria-labelledby="references-title">'
        '<h2 id="references-title">Published elsewhere, not measured here</h2>'
        "<p class='lead'>For orientation only. Settings differ from ours and from each other, which alone moves a "
        "score by up to ten points, so these are never ranked or averaged with our measurements. {reported} is the "
        "authors' own number, {elsewhere} somebody else's measurement.</p>{groups}</section>",
        reported=_kind(ReferenceKind.REPORTED),
        elsewhere=_kind(ReferenceKind.MEASURED_ELSEWHERE),
        groups=join(_reference_group(b, [r for r in references if r.benchmark == b.name]) for b in BENCHMARKS.values()),
    )


def _kind(kind: ReferenceKind) -> Html:
    return badge(kind.value, kind.value.replace(" ", "-"))


def _reference_group(benchmark: Benchmark, references: Sequence[ReferenceScore]) -> Html:
    if not references:
        return NOTHING
    rows = (
        Row(
            cells=(
                model_name(reference.model),
                fill('<span class="value">{score}{std}</span>', score=points(reference.score), std=_std(reference)),
                _kind(reference.kind),
                _how(reference),
                external(reference.url, reference.source),
                reference.date,
            )
        )
        for reference in sorted(references, key=lambda reference: (reference.model.lower(), reference.date))
    )
    columns = (
        Column(head="Model", css="model"),
        Column(head="Score", numeric=True),
        Column(head="Whose"),
        Column(head="Settings"),
        Column(head="Source"),
        Column(head="Date", css="date"),
    )
    caption = f"{benchmark.title}, published elsewhere"
    return fill(
        '<details data-key="references-{name}"><summary>{title} <span class="quiet">{n} scores</span></summary>'
        "{table}</details>",
        name=benchmark.name,
        title=benchmark.title,
        n=len(references),
        table=table(caption=caption, columns=columns, rows=rows, cards=True),
    )


def _std(reference: ReferenceScore) -> str:
    return "" if reference.std is None else f" ± {reference.std:.1f}"


def _how(reference: ReferenceScore) -> str:
    parts = [reference.settings]
    if reference.samples_per_problem is not None:
        parts.append(f"{reference.samples_per_problem} per problem")
    if reference.max_tokens is not None:
        parts.append(f"{reference.max_tokens:,} tokens")
    return " · ".join(part for part in parts if part)
