"""One result, opened: its score with error bars, what the attempts came to, how it was made, how to make it again."""

from __future__ import annotations

import shlex
from dataclasses import asdict, fields

from evaluator.benchmarks import BENCHMARKS
from evaluator.differences import differences, standard_plan
from evaluator.grading import GRADER_VERSION
from evaluator.types import EvalPlan, Verdict
from leaderboard.charts import interval_bar
from leaderboard.spending import money
from leaderboard.types import ResultRow
from leaderboard.views.markup import (
    NOTHING,
    Column,
    Html,
    Row,
    badge,
    count,
    duration,
    facts,
    fill,
    interval,
    join,
    model_name,
    moment,
    notice,
    page_link,
    points,
    share,
    short_commit,
    table,
)
from leaderboard.views.template import template_badge

VERDICT_WORDS = {
    Verdict.CORRECT: ("correct", "the answer found equals the target"),
    Verdict.INCORRECT: ("incorrect", "an answer was found and it differs from the target"),
    Verdict.NO_ANSWER: ("no answer", "no answer was found in the text; counts as wrong"),
    Verdict.UNGRADED: ("ungraded", "a failure of ours; a result with one is never published"),
}
FIELD_WORDS = {
    "benchmark_version": "benchmark version",
    "commit": "commit of the weights",
    "problems_hash": "hash of problems, prompts and targets",
    "chat_template_hash": "hash of the chat template",
    "prompt_opens_thought": "prompt ends with an opened thought",
    "max_tokens": "answer budget, tokens",
    "attempts": "attempts per problem",
    "grader_version": "grader version",
    "system_prompt": "system prompt",
    "seed_policy": "seed of an attempt",
    "dtype": "number format asked for",
    "run": "run number",
    "limit": "problems limited to the first",
}
UNSET_WORDS = {"system_prompt": "none", "quantization": "none", "limit": "no limit", "endpoint": "started here"}


def result_head(row: ResultRow, *, note: str = "") -> Html:
    """What came out: score with error bars, verdicts, lengths. `note` is what its submitter said."""
    title = _title(row.benchmark)
    return fill(
        '<div data-title-of-page="{model} on {title}"></div>'
        '<p class="trail"><a href="./">Leaderboard</a> / result <code>{key}</code></p>'
        "<h1>{title} <span class='of'>of</span> {name}</h1>{standing}{note}{score}"
        "<div class='columns'>{verdicts}{tokens}</div>",
        model=row.model,
        title=title,
        key=row.plan_key,
        name=model_name(row.model, row.commit),
        standing=_standing(row),
        note=fill('<p class="quiet">The submitter: <q dir="auto">{note}</q></p>', note=note) if note else NOTHING,
        score=_score(row),
        verdicts=_verdicts(row),
        tokens=_counts(row),
    )


def result_making(row: ResultRow, *, source: str | None = None) -> Html:
    """How it was made and how to make it again. `source` is the folder that was served, where it is known."""
    return join([_reproduce(row, source), _settings(row)])


def unknown_result(plan_key: str | None) -> Html:
    """What the result page says where there is no such result."""
    if not plan_key:
        text = fill('No result was asked for. Open one from the <a href="./">leaderboard</a>.')
    else:
        text = fill('There is no result <code>{key}</code>. See the <a href="./">leaderboard</a>.', key=plan_key)
    return fill("<h1>Result</h1>{notice}", notice=notice(text, "bad", role="alert"))


def _title(benchmark: str) -> str:
    return BENCHMARKS[benchmark].title if benchmark in BENCHMARKS else benchmark


def _standing(row: ResultRow) -> Html:
    where = fill(
        "{revision} <code>{commit}</code> · measured {when}{by}",
        revision=row.revision,
        commit=short_commit(row.commit),
        when=moment(row.measured_at),
        by=fill(" for <bdi>{who}</bdi>", who=row.submitted_by) if row.submitted_by else NOTHING,
    )
    return fill(
        '<p class="about">{where} · <a href="{all}">all results of this model</a> · '
        '<a href="{compare}">compare with another result</a> {template}</p>{ranked}{protocol}',
        where=where,
        all=page_link("model", name=row.model),
        compare=page_link("compare", a=row.plan_key),
        protocol=_protocol(row.plan),
        template=template_badge(row),
        ranked=NOTHING
        if row.ranked
        else fill("<p>{badge} {why}</p>", badge=badge("not ranked", "muted"), why=row.not_ranked_because),
    )


def _protocol(plan: EvalPlan) -> Html:
    """In what a plan differs from the protocol that is standard today, in words."""
    if plan.benchmark not in BENCHMARKS:
        return NOTHING
    found = differences(standard_plan(plan, grader_version=GRADER_VERSION), plan)
    if not found:
        return Html("<p class='about'>Follows the standard protocol.</p>")
    return fill("<p>Differs from the standard protocol (named first) in: {found}</p>", found="; ".join(found))


def _score(row: ResultRow) -> Html:
    numbers = row.statistics
    decoding = (
        fill("± <b>{error}</b> standard error of re-sampling the same problems", error=points(numbers.stderr_decoding))
        if numbers.stderr_decoding is not None
        else Html("one attempt per problem, so the error of sampling is not known")
    )
    return fill(
        '<section class="headline" aria-label="Score"><p class="big">{score}</p>'
        "<div>{bar}<p><b>{bounds}</b> 95 % interval, in points of 100</p>"
        "<p>± <b>{questions}</b> standard error of drawing another set of such problems</p><p>{decoding}</p>"
        "<p>pass@{n} <b>{pass_n}</b> · maj@{n} <b>{maj_n}</b> · the score is pass@1, the mean over "
        "{problems} problems × {n} attempts</p></div></section>",
        score=points(numbers.score),
        bar=interval_bar(numbers.score, numbers.ci95),
        bounds=interval(numbers.ci95),
        questions=points(numbers.stderr_questions),
        decoding=decoding,
        n=row.attempts_per_problem,
        pass_n=points(numbers.pass_at_n),
        maj_n=points(numbers.maj_at_n),
        problems=count(row.problems),
    )


def _verdicts(row: ResultRow) -> Html:
    total = sum(row.verdicts.values())
    rows = (
        Row(
            cells=(
                badge(word, verdict.value),
                count(row.verdicts.get(verdict.value, 0)),
                share(row.verdicts.get(verdict.value, 0), total),
                meaning,
            )
        )
        for verdict, (word, meaning) in VERDICT_WORDS.items()
        if verdict is not Verdict.UNGRADED or row.verdicts.get(verdict.value)
    )
    columns = (
        Column(head="Verdict"),
        Column(head="Attempts", numeric=True),
        Column(head="Share", numeric=True),
        Column(head="What it means"),
    )
    return fill("<section>{table}</section>", table=table(caption="Verdicts", columns=columns, rows=rows))


def _counts(row: ResultRow) -> Html:
    total = sum(row.verdicts.values())
    unknown = (
        fill("; the server did not say for {n}", n=count(row.truncation_unknown)) if row.truncation_unknown else NOTHING
    )
    return fill(
        "<section><h2>Length</h2>{facts}</section>",
        facts=facts(
            {
                "truncated at the budget": fill(
                    "{n} ({share}){unknown}", n=count(row.truncated), share=share(row.truncated, total), unknown=unknown
                ),
                "answered only inside the thought": count(row.answered_in_thought),
                "tokens per completion, mean": count(row.mean_completion_tokens),
                "tokens in all": count(row.completion_tokens),
                "time, wall clock": duration(row.wall_seconds),
                **_cost(row),
            }
        ),
    )


def _cost(row: ResultRow) -> dict[str, str]:
    """What answering cost on a rented machine. Its start, and other attempts at the job, are in the queue's sum."""
    price = row.engine.dollars_per_hour
    if price is None:
        return {}
    dollars = price * row.wall_seconds / 3600
    tokens = f", {money(1e6 * dollars / row.completion_tokens)} a million tokens" if row.completion_tokens else ""
    return {"cost of that time": f"{money(dollars)} at {money(price)} an hour{tokens}"}


def reproduce_command(row: ResultRow, source: str | None = None) -> str:
    """The shell command that measures the same weights under the same settings."""
    local = row.commit is None or row.commit.startswith("sha256:")
    model = row.model if row.plan.endpoint or not local else source or "PATH"
    words = ["python", "-m", "backend_jobs", "evaluate", "--model", model]
    if not local and row.commit is not None:
        words += ["--revision", row.commit]
    words += ["--benchmark", row.benchmark, "--attempts", str(row.attempts_per_problem)]
    words += ["--max-tokens", str(row.plan.max_tokens)]
    if row.plan.endpoint:
        words += ["--endpoint", row.plan.endpoint]
    elif row.engine.tensor_parallel_size and row.engine.tensor_parallel_size > 1:
        words += ["--tensor-parallel-size", str(row.engine.tensor_parallel_size)]
    if row.plan.limit is not None:
        words += ["--limit", str(row.plan.limit)]
    return shlex.join(words)


def _reproduce(row: ResultRow, source: str | None) -> Html:
    command = reproduce_command(row, source)
    hint = NOTHING
    if "PATH" in command.split():
        hint = fill(
            "<p class='quiet'>PATH is the checkpoint's folder; its files must hash to <code>{commit}</code>.</p>",
            commit=row.commit or "a commit that was not recorded",
        )
    return fill(
        "<section><h2>Measure it again</h2><pre class='command' tabindex='0'>{command}</pre>{hint}</section>",
        command=command,
        hint=hint,
    )


def _settings(row: ResultRow) -> Html:
    engine = row.engine
    served = {
        "engine": " ".join(filter(None, (engine.engine, engine.version))) or None,
        "device": engine.device,
        **({"machine": engine.machine} if engine.machine else {}),
        **({"image": engine.image} if engine.image else {}),
        "tensor parallel size": engine.tensor_parallel_size,
        "servers": engine.replicas,
        "number format": engine.dtype,
        "context length": count(engine.max_model_len) if engine.max_model_len else None,
        "quantization": engine.quantization or "none",
    }
    return fill(
        "<div class='columns'><section><h2>Settings that decide the number</h2>{plan}</section>"
        "<section><h2>What served it</h2>{served}{keys}</section></div>",
        plan=facts(plan_facts(row.plan)),
        served=facts(served),
        keys=join(
            [
                Html("<h2>Identity</h2>"),
                facts(
                    {
                        "result": _code(row.plan_key),
                        "completions": _code(row.generation_key),
                        "protocol (equal ones are ranked together)": _code(row.protocol_key),
                        "job": _job_link(row.job_id),
                        **_lineage(row),
                    }
                ),
            ]
        ),
    )


def plan_facts(plan: EvalPlan) -> dict[str, object]:
    """Every field of a plan by the name that people read, sampling parameters one by one."""
    shown: dict[str, object] = {}
    for field in fields(plan):
        value = getattr(plan, field.name)
        if field.name == "sampling":
            shown |= {name.replace("_", " "): number for name, number in asdict(value).items()}
            continue
        name = FIELD_WORDS.get(field.name, field.name.replace("_", " "))
        shown[name] = _plan_value(field.name, value)
    return shown


def _plan_value(name: str, value: object) -> object:
    if value is None:
        return UNSET_WORDS.get(name)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith(("hash", "commit")):
        return _code(str(value))
    return count(value) if name == "max_tokens" and isinstance(value, int) else value


def _code(text: str) -> Html:
    return fill("<code>{text}</code>", text=text)


def _job_link(job_id: str | None) -> Html | None:
    if job_id is None:
        return None
    return fill('<a href="{link}"><code>{id}</code></a>', link=page_link("queue", job=job_id), id=job_id)


def _lineage(row: ResultRow) -> dict[str, object]:
    if row.lineage is None:
        return {}
    shown: dict[str, object] = {
        "training run": fill("<bdi>{run}</bdi>, step {step}", run=row.lineage.run, step=count(row.lineage.step)),
        "recipe": _code(row.lineage.recipe_hash),
    }
    if row.lineage.tokens is not None:
        shown["tokens trained on"] = count(row.lineage.tokens)
    return shown
