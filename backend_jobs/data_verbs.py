"""The verbs around reasoning data: generate, and data stats, convert and mix."""

from __future__ import annotations

import argparse
import sys
import threading
from typing import Any

from backend_jobs.datasets.convert import convert_dataset, measure_dataset
from backend_jobs.datasets.mixture import load_mixture, mix
from backend_jobs.datasets.sources import made_here
from backend_jobs.evaluate_job import serving_folder
from backend_jobs.generate.job import generate
from backend_jobs.generate.plan import GenerationPlan
from backend_jobs.generate.prepare import prepare
from backend_jobs.generate.progress import GenerationLines, length_line
from backend_jobs.generate.recipe import GenerateRecipe, load_generate_recipe, overridden
from evaluator.client import run_async
from evaluator.server_line import server_command, server_environment
from evaluator.types import to_json
from leaderboard.datasets import DatasetReport, report_changes
from leaderboard.store import update
from leaderboard.stores import open_store
from settings import Settings

Result = dict[str, Any] | None


def generate_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Make the dataset of a recipe, here and now; with `--store`, its report appears on the board."""
    recipe = _recipe(options)
    lines = GenerationLines(recipe.run)
    made = generate(
        recipe, settings, on_progress=lines.show, cancelled=threading.Event(), concurrency=options.concurrency
    )
    _publish(options.store, made.report)
    return {"folder": str(made.folder), **_shown(made.report, whole=options.json)}


def plan_generation(options: argparse.Namespace, settings: Settings) -> Result:
    """What a generation would do: problems, samples, filters, the exact server line. Runs nothing."""
    recipe = load_generate_recipe(options.recipe)
    prepared = run_async(prepare(recipe, settings, lambda _: None))
    plan, engine = prepared.plan, prepared.engine_plan
    described = _described(recipe, plan, settings)
    if prepared.source is not None:
        described["problems"] = (
            f"{prepared.source.name} at {prepared.source.commit}, {prepared.source.count() or '?'} rows"
        )
    if engine is not None:
        command = server_command(
            engine,
            python=settings.engine_python,
            folder=serving_folder(settings, "<process>-<thread>"),
            served_name=plan.checkpoint.model,
            port=8000,
        )
        variables = [f"{name}='{value}'" for name, value in server_environment(engine).items()]
        described |= {"reasons": list(engine.reasons), "server": " ".join([*variables, *command])}
    return described


def stats(options: argparse.Namespace, settings: Settings) -> Result:
    """Statistics of a dataset: one of ours, or one that a reader knows."""
    report = measure_dataset(
        options.dataset, settings, config=options.config, split=options.split, revision=options.revision
    )
    _publish(options.store, report)
    return _shown(report, whole=options.json)


def convert(options: argparse.Namespace, settings: Settings) -> Result:
    """Write a known dataset in our schema: Parquet shards with a card."""
    report = convert_dataset(
        options.dataset,
        options.out,
        settings,
        config=options.config,
        split=options.split,
        revision=options.revision,
    )
    return {"folder": str(options.out), **_shown(report, whole=options.json)}


def mix_verb(options: argparse.Namespace, settings: Settings) -> Result:
    """Write one training set from several datasets."""
    report = mix(load_mixture(options.recipe), options.out, settings)
    _publish(options.store, report)
    return {"folder": str(options.out), **_shown(report, whole=options.json)}


def _described(recipe: GenerateRecipe, plan: GenerationPlan, settings: Settings) -> dict[str, Any]:
    decoding = recipe.decoding
    return {
        "run": recipe.run,
        "key": plan.key,
        "dataset in": str(made_here(settings, recipe.run)),
        "pushed to": recipe.output.hub or "nothing",
        "teacher": f"{plan.checkpoint.model} ({plan.checkpoint.commit or 'commit unknown'})",
        "problems": f"generator {recipe.prompts.generator}, seed {recipe.prompts.seed}, {recipe.prompts.limit}",
        "samples": f"{decoding.samples} each, at most {decoding.max_tokens} tokens",
        "sampling": to_json(plan.sampling),
        "verify": recipe.verify.kind,
        "filters": {name: value for name, value in recipe.filters.model_dump(mode="json").items() if value},
        "shards": f"{plan.problems_per_shard} problems each",
    }


def _recipe(options: argparse.Namespace) -> GenerateRecipe:
    recipe = overridden(
        load_generate_recipe(options.recipe),
        teacher__name=options.teacher,
        teacher__endpoint=options.endpoint,
        prompts__limit=options.limit,
    )
    # A first look must not stand in the way of the whole run.
    return recipe.model_copy(update={"run": f"{recipe.run}-first-{options.limit}"}) if options.limit else recipe


def _publish(store: str | None, report: DatasetReport) -> None:
    if store:
        update(open_store(store), lambda _: report_changes(report), message=f"report on {report.name}")


def _shown(report: DatasetReport, *, whole: bool) -> dict[str, Any]:
    """A report for `--json`, or what fits a terminal; warnings go to standard error in any case."""
    for warning in report.warnings:
        sys.stderr.write(f"licences: {warning}\n")
    if whole:
        return to_json(report)
    shown: dict[str, Any] = {
        "dataset": report.name,
        "rows": f"{report.rows:,}",
        "tokens": f"{report.tokens:,}" + (f", estimated for {report.estimated:,} rows" if report.estimated else ""),
        "longest": f"{report.longest:,} tokens, {report.long_rows:,} rows over 20,000",
        "lengths": length_line(report.lengths) if report.lengths else "nothing",
        "licences": dict(report.licenses),
        "sources": [
            {"name": each.name, "kept": each.kept, "right": each.right, "wrong": each.wrong} for each in report.sources
        ],
        "dropped": dict(report.dropped) or "nothing",
    }
    if report.cost.amount is not None:
        shown["cost"] = f"{report.cost.amount:,.4f} {report.cost.currency} in {report.cost.seconds:,.0f} s"
    return shown
