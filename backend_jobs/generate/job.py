"""One generation from a recipe to a dataset: prepare, claim the run, resume, generate, publish."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend_jobs.datasets.sources import made_here
from backend_jobs.evaluate_job import grading_workers, watch
from backend_jobs.generate.benchmark_texts import make_decontaminator
from backend_jobs.generate.checks import Checker, GraderCheck, NoCheck
from backend_jobs.generate.meter import Meter
from backend_jobs.generate.plan import GenerationPlan
from backend_jobs.generate.prepare import Prepared, prepare
from backend_jobs.generate.publish import RECIPE, Publisher
from backend_jobs.generate.recipe import GenerateRecipe
from backend_jobs.generate.run import GenerationRun
from backend_jobs.generate.sandbox import SandboxCheck
from backend_jobs.generate.shards import ShardFolder, write_whole
from backend_jobs.generate.spool import Spool
from backend_jobs.recipe_files import RecipeRejected
from evaluator.client import run_async
from evaluator.errors import PlanRejected
from evaluator.grading_pool import GraderPool
from evaluator.journal import Journal
from evaluator.types import Extraction
from leaderboard.datasets import DatasetReport, GenerationProgress
from settings import Settings

JOURNAL = "journal.db"
OnProgress = Callable[[GenerationProgress], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """A finished run: where its dataset is, and what is in it."""

    folder: Path
    report: DatasetReport


def generate(
    recipe: GenerateRecipe,
    settings: Settings,
    *,
    on_progress: OnProgress,
    cancelled: threading.Event,
    concurrency: int | None = None,
) -> Generated:
    """Make the dataset of a recipe, continuing where an earlier start was stopped, however it was. Blocks.

    `concurrency` is how many requests are in flight; None lets the engine's metrics decide.

    Raises:
        OpenR1Error: with a message that says what to do; whatever was answered stays, and a new start continues.
    """
    return run_async(_generate(recipe, settings, on_progress, cancelled, concurrency))


async def _generate(
    recipe: GenerateRecipe,
    settings: Settings,
    on_progress: OnProgress,
    cancelled: threading.Event,
    concurrency: int | None,
) -> Generated:
    def say(message: str) -> None:
        on_progress(GenerationProgress(phase="waiting", message=message))

    prepared = await prepare(recipe, settings, say)
    plan, folder = prepared.plan, ShardFolder(made_here(settings, recipe.run))
    say("reading the benchmarks that must not be in the data")
    decontaminator = await asyncio.to_thread(make_decontaminator, recipe.filters.decontaminate, settings)
    cancel = asyncio.Event()
    watcher = asyncio.create_task(watch(cancelled, cancel))
    work = folder.folder / "work"
    try:
        with (
            Journal(work / JOURNAL) as journal,
            journal.claim(recipe.run),
            Spool(work) as spool,
            GraderPool(workers=grading_workers()) as grader,
        ):
            _check_same_plan(plan, folder.folder)
            meter = Meter(recipe.price, total=_total(prepared), spent_s=journal.spent(plan.key))
            publisher = Publisher(plan, folder, meter, settings)
            run = GenerationRun(
                plan,
                prepared.prompts(),
                folder=folder,
                journal=journal,
                spool=spool,
                checker=_checker(plan, grader, settings),
                decontaminator=decontaminator,
                meter=meter,
                on_progress=on_progress,
                on_shard=publisher.shard,
            )
            await run.run(
                lambda: prepared.open_engine(settings, say, cancelled), concurrency=concurrency, cancel=cancel
            )
            report = await asyncio.to_thread(publisher.finish)
    finally:
        watcher.cancel()
    return Generated(folder=folder.folder, report=report)


def _checker(plan: GenerationPlan, grader: GraderPool, settings: Settings) -> Checker:
    verify, opens = plan.recipe.verify, plan.prompt_opens_thought
    match verify.kind:
        case "math":
            return GraderCheck(pool=grader, extraction=Extraction.MATH, prompt_opens_thought=opens)
        case "letter":
            return GraderCheck(pool=grader, extraction=Extraction.LETTER, prompt_opens_thought=opens)
        case "code":
            url = verify.sandbox or settings.code_sandbox
            if url is None:
                raise PlanRejected(
                    "verify.kind is code, and programs of a model never run on this machine: name a Piston server in "
                    "verify.sandbox or CODE_SANDBOX, or set verify.kind to none"
                )
            assert verify.language is not None
            return SandboxCheck(
                url=url,
                language=verify.language,
                version=verify.version,
                timeout_s=verify.timeout_s,
                prompt_opens_thought=opens,
            )
    return NoCheck()


def _check_same_plan(plan: GenerationPlan, folder: Path) -> None:
    """Refuse to mix the rows of two plans in one folder; note this one where the folder is new."""
    noted = folder / RECIPE
    if noted.exists():
        known = json.loads(noted.read_bytes())["key"]
        if known != plan.key:
            raise RecipeRejected(
                f"{folder} holds rows of another plan ({known}, this one is {plan.key}): the recipe, the teacher's "
                "weights or the problems have changed; give the recipe another `run`, or delete that folder"
            )
        return
    content = {"key": plan.key, "recipe": plan.recipe.model_dump(mode="json")}
    write_whole(noted, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def _total(prepared: Prepared) -> int | None:
    """How many samples there will be; None where the source does not tell before it is read."""
    recipe = prepared.plan.recipe
    rows = None if prepared.source is None else prepared.source.count()
    known = [each for each in (rows, recipe.prompts.limit) if each is not None]
    return min(known) * recipe.decoding.samples if known else None
