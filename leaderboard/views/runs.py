"""The page of training runs: accuracy of several together, what a gain is worth, and how each run goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leaderboard.compare import p_value, signed
from leaderboard.run_charts import Over, runs_chart, small_chart
from leaderboard.runs import Gain, MeasuredRun, WatchedRun, WatchedSample
from leaderboard.views.markup import (
    NOTHING,
    Column,
    Html,
    Row,
    count,
    facts,
    fill,
    interval,
    join,
    notice,
    page_link,
    points,
    table,
)

LONGEST_LIST = 12
WATCHED = {
    "reward": "Reward, weighted",
    "completion_tokens": "Tokens of an answer",
    "truncated": "Share cut off",
    "clipped_ratio": "Share of clipped ratios",
    "kl": "KL to the reference",
    "entropy": "Entropy of a token",
    "groups_without_spread": "Prompts whose answers earn all the same",
    "grad_norm": "Gradient norm",
    "token_accuracy": "Tokens predicted right",
}
"""What is drawn of a run, in order, under the names of its own log; the loss comes first, single rewards last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunsChoice:
    """What the reader asked to see: these runs (all, where none is named), from left to right over this."""

    runs: tuple[str, ...] = ()
    over: Over = Over.STEPS


def read_choice(query: Mapping[str, str]) -> RunsChoice:
    """The choice in an address: `?runs=a,b&over=tokens`. What is not understood is left at its default."""
    over = query.get("over", "")
    names = tuple(name for name in query.get("runs", "").split(",") if name)
    return RunsChoice(runs=names[:LONGEST_LIST], over=Over(over) if over in set(Over) else Over.STEPS)


def runs_page(measured: Sequence[MeasuredRun], watched: Sequence[WatchedRun], choice: RunsChoice) -> Html:
    """The whole page. `watched` are the runs whose files are here, the newest first."""
    names = list(dict.fromkeys([*(run.run for run in watched), *(run.run for run in measured)]))
    chosen = [name for name in names if not choice.runs or name in choice.runs]
    if not names:
        return fill(
            "{head}{none}",
            head=_head(),
            none=notice("No run yet. Start one with: python -m backend_jobs train recipes/sft/arithmetic.yaml"),
        )
    return fill(
        "{head}{choose}{curves}{runs}",
        head=_head(),
        choose=_choices(names, chosen, choice),
        curves=_curves([run for run in measured if run.run in chosen], choice.over),
        runs=join(_run(name, measured, watched) for name in chosen[:LONGEST_LIST]),
    )


def _head() -> Html:
    return Html(
        "<h1>Training runs</h1><p class='lead'>Each saved checkpoint submits itself and is measured like any other "
        "model. Bars and bands are 95 % intervals. A gain is called one only where the paired comparison over the same "
        "problems, corrected for all checkpoints that were compared, says so.</p>"
    )


def _choices(names: Sequence[str], chosen: Sequence[str], choice: RunsChoice) -> Html:
    over = join(
        fill(
            '<a href="{link}"{current}>{over}</a> ',
            link=page_link("runs", runs=",".join(choice.runs) or None, over=over.value),
            current=Html(' aria-current="true"') if over is choice.over else NOTHING,
            over=over.value,
        )
        for over in Over
    )
    runs = join(_choice(name, names, chosen, choice) for name in names[: 2 * LONGEST_LIST])
    return fill('<p class="choices">Over: {over}</p><p class="choices">Runs: {runs}</p>', over=over, runs=runs)


def _choice(name: str, names: Sequence[str], chosen: Sequence[str], choice: RunsChoice) -> Html:
    """A link that adds a run to what is shown, or takes it away."""
    shown = name in chosen
    left = [n for n in names if (n in chosen) != (n == name)] if choice.runs else [name]
    return fill(
        '<a href="{link}"{current}>{name}</a> ',
        link=page_link("runs", runs=",".join(left) or None, over=choice.over.value),
        current=Html(' aria-current="true"') if shown else NOTHING,
        name=name,
    )


def _curves(runs: Sequence[MeasuredRun], over: Over) -> Html:
    benchmarks = list(dict.fromkeys(run.benchmark for run in runs))
    charts = join(runs_chart(b, [run for run in runs if run.benchmark == b], over) for b in benchmarks)
    return fill('<div class="curves">{charts}</div>', charts=charts)


def _run(name: str, measured: Sequence[MeasuredRun], watched: Sequence[WatchedRun]) -> Html:
    here = next((run for run in watched if run.run == name), None)
    results = [run for run in measured if run.run == name]
    return fill(
        '<section data-key="run-{name}"><h2>{name}</h2>{alarms}{results}{watch}</section>',
        name=name,
        alarms=join(notice(f"Step {step:,}: {said}", "bad", role="alert") for step, said in here.alarms)
        if here
        else NOTHING,
        results=join(map(_results, results)),
        watch=_watch(here) if here else NOTHING,
    )


def _results(run: MeasuredRun) -> Html:
    gains = {gain.point.step: gain for gain in run.gains}
    rows = (
        Row(
            key=point.plan_key,
            cells=(
                fill(
                    '<a href="{link}">step {step}</a>',
                    link=page_link("result", plan=point.plan_key),
                    step=f"{point.step:,}",
                ),
                count(point.tokens),
                "–" if point.hours is None else f"{point.hours:.3g}",
                points(point.score),
                interval(point.ci95),
                _gain(gains.get(point.step)),
            ),
        )
        for point in run.points
    )
    return fill(
        "{facts}{table}<p>{best}</p>",
        facts=facts(
            {
                "Began with": run.parent or "fresh weights",
                "Data": run.data,
                "Trained on": run.device,
                "Recipe": run.recipe_hash[:12],
            }
        ),
        table=table(
            caption=f"Checkpoints on {run.benchmark}",
            columns=(
                Column(head="Checkpoint"),
                Column(head="Tokens", numeric=True),
                Column(head="Hours", numeric=True),
                Column(head="Score", numeric=True),
                Column(head="95 % interval", numeric=True),
                Column(head="Gain"),
            ),
            rows=rows,
            cards=True,
        ),
        best=best_in_words(run),
    )


def _gain(gain: Gain | None) -> str:
    if gain is None:
        return "–"
    bounds = gain.comparison.ci95
    span = "" if bounds is None else f" ({signed(bounds[0])} to {signed(bounds[1])})"
    return f"{signed(gain.comparison.difference)}{span}{'' if gain.significant else ', could be chance'}"


def best_in_words(run: MeasuredRun) -> str:
    """What the best of the run's checkpoints is worth, in a sentence or two."""
    best = run.best
    if best is None:
        return "One checkpoint is measured so far, and nothing to compare it with."
    many = f"the best of {best.comparisons}" if best.comparisons > 1 else "the only one compared"
    said = (
        f"Step {best.point.step:,} is {many}: {signed(best.comparison.difference)} points against {best.against_name}, "
        f"p {p_value(best.comparison.p_value)}. "
    )
    correction = f"Holm's correction for {best.comparisons} comparison{'s' if best.comparisons > 1 else ''} at 5 %"
    if best.significant and best.comparison.difference > 0:
        return said + f"That holds after {correction}."
    return said + f"After {correction} that is no proven gain: the best of many is partly luck."


def _watch(run: WatchedRun) -> Html:
    if not run.steps:
        return Html("<p class='quiet'>No step was logged yet.</p>")
    last = run.steps[-1]
    state = "finished" if run.finished else f"step {last.step:,} of {run.steps_in_all:,}"
    return fill(
        "<h3>How it goes: {state}</h3>{notes}<div class='curves small'>{charts}</div>{samples}",
        state=state,
        notes=join(fill("<p class='quiet'>{note}</p>", note=note) for note in run.notes),
        charts=join(small_chart(title, values) for title, values in _series(run)),
        samples=_samples(run.samples),
    )


def _series(run: WatchedRun) -> list[tuple[str, list[tuple[float, float]]]]:
    """Title and (step, value) pairs of everything that the run logged."""
    found = [("Loss", [(float(step.step), step.loss) for step in run.steps])]
    logged = {name for step in run.steps for name in step.metrics}
    rewards = {name: f"Reward: {name.partition('/')[2]}" for name in sorted(logged) if name.startswith("reward/")}
    for name, title in {**WATCHED, **rewards}.items():
        if name in logged:
            values = [(float(s.step), s.metrics[name]) for s in run.steps if name in s.metrics]
            found.append((title, values))
    return found


def _samples(samples: Sequence[WatchedSample]) -> Html:
    if not samples:
        return NOTHING
    newest = max(sample.step for sample in samples)
    return fill(
        "<h3>Answers</h3>{samples}",
        samples=join(_sample(sample, open_=sample.step == newest) for sample in reversed(samples)),
    )


def _sample(sample: WatchedSample, *, open_: bool) -> Html:
    rewards = ", ".join(
        f"{name} {'could not judge' if value is None else f'{value:.3g}'}" for name, value in sample.rewards.items()
    )
    return fill(
        "<details{open}><summary>Step {step}: {rewards}; {tokens} tokens{cut}</summary>"
        '<pre class="answer">{prompt}</pre><pre class="answer">{completion}</pre><p class="quiet">Right: {gold}</p>'
        "</details>",
        open=Html(" open") if open_ else NOTHING,
        step=f"{sample.step:,}",
        rewards=rewards,
        tokens=count(sample.tokens),
        cut=", cut off" if sample.truncated else "",
        prompt=sample.prompt,
        completion=sample.completion,
        gold=sample.gold if sample.gold is not None else "not known",
    )
