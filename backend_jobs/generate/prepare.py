"""From a recipe to a plan that is ready to run: the data found, the teacher found, the engine planned."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice

from backend_jobs.datasets.source import Source
from backend_jobs.datasets.sources import find_source
from backend_jobs.datasets.types import DatasetRejected
from backend_jobs.evaluate_job import devices_of, known_commit, serve
from backend_jobs.generate.plan import GenerationPlan
from backend_jobs.generate.prompts import Prompt, read_prompts
from backend_jobs.generate.recipe import GenerateRecipe, Teacher
from backend_jobs.train import run_folders
from backend_jobs.training.checkpoints import handed_on
from backend_jobs.weights import Weights, download, find_weights
from evaluator import template
from evaluator.client import Endpoint
from evaluator.devices import machine_memory
from evaluator.engine import RunningEngine, given_engine, prompt_text
from evaluator.engine_limits import engine_limits
from evaluator.engine_plan import EnginePlan, plan_engine
from evaluator.errors import CheckpointRejected
from evaluator.types import Checkpoint
from settings import Settings

PROBED_PROMPTS = 512
"""So many problems are rendered to see how long prompts are; the context leaves room for twice the longest."""

TRAINED_HERE = "local/"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A generation that is ready to run. `engine` is given, or `engine_plan` says how ours is started."""

    plan: GenerationPlan
    source: Source | None
    weights: Weights | None = None
    engine_plan: EnginePlan | None = None
    engine: RunningEngine | None = None

    def prompts(self) -> Iterator[Prompt]:
        """Every problem, from the first."""
        return read_prompts(self.plan.recipe.prompts, self.source)

    @asynccontextmanager
    async def open_engine(
        self, settings: Settings, say: Say, cancelled: threading.Event
    ) -> AsyncIterator[RunningEngine]:
        """The teacher, answering. Downloads its weights first where they are on the Hub."""
        if self.engine is not None:
            yield self.engine
            return
        assert self.engine_plan is not None
        assert self.weights is not None
        await asyncio.to_thread(download, self.weights, settings, say, cancelled)
        limits = engine_limits(self.engine_plan, self.weights.shape, machine_memory())
        async with serve(self.plan.checkpoint, self.engine_plan, settings, say, cancelled, limits) as engine:
            yield engine


async def prepare(recipe: GenerateRecipe, settings: Settings, say: Say) -> Prepared:
    """Find what a recipe names. Of a teacher on the Hub, only small files are read here.

    Raises:
        DatasetRejected, CheckpointRejected, PlanRejected, EngineFailed: what is missing, and what to do.
    """
    say("reading the problems")
    prompts = recipe.prompts
    source = None
    if prompts.dataset is not None:
        source = await asyncio.to_thread(
            find_source,
            prompts.dataset,
            settings,
            config=prompts.config,
            split=prompts.split,
            revision=prompts.revision,
        )
    first = await asyncio.to_thread(lambda: list(islice(read_prompts(prompts, source), PROBED_PROMPTS)))
    texts = [prompt.text for prompt in first if prompt.flaw is None]
    if not texts:
        raise DatasetRejected(
            f"none of the first {len(first)} rows of {prompts.dataset} can be asked"
            f"{f': {first[0].flaw.detail}' if first and first[0].flaw else ''}; check the columns and `where`"
        )
    if recipe.teacher.endpoint is not None:
        return await _with_endpoint(recipe, source, texts, settings)
    return await _with_own_engine(recipe, source, texts, settings, say)


async def _with_endpoint(
    recipe: GenerateRecipe, source: Source | None, texts: list[str], settings: Settings
) -> Prepared:
    teacher = recipe.teacher
    assert teacher.endpoint is not None
    endpoint = Endpoint(base_url=teacher.endpoint.rstrip("/"), model=teacher.name, api_key=settings.endpoint_api_key)
    engine = await given_engine(endpoint)
    rendered = await prompt_text(endpoint, texts[0])
    checkpoint = Checkpoint(model=teacher.name, revision=teacher.revision, commit=known_commit(teacher.revision))
    opens = rendered is not None and template.opens_thought(rendered)
    return Prepared(plan=_plan(recipe, checkpoint, source, opens=opens), source=source, engine=engine)


async def _with_own_engine(
    recipe: GenerateRecipe, source: Source | None, texts: list[str], settings: Settings, say: Say
) -> Prepared:
    say("reading the teacher")
    teacher = recipe.teacher
    weights = await asyncio.to_thread(find_weights, teacher_source(teacher, settings), teacher.revision, settings)
    checkpoint, shape = weights.checkpoint, weights.shape
    assert checkpoint.path is not None
    rendered = await asyncio.to_thread(template.read_template(checkpoint.path).render, texts, recipe.prompts.system)
    longest = template.longest_tokens(checkpoint.path, rendered)
    room = shape.context - recipe.decoding.max_tokens
    engine_plan = plan_engine(
        shape,
        devices=await asyncio.to_thread(devices_of, settings),
        prompt_tokens=max(longest, min(2 * longest, room)),
        max_tokens=recipe.decoding.max_tokens,
        tensor_parallel_size=teacher.tensor_parallel_size,
    )
    plan = _plan(recipe, checkpoint, source, opens=template.opens_thought(rendered[0]))
    return Prepared(plan=plan, source=source, weights=weights, engine_plan=engine_plan)


def teacher_source(teacher: Teacher, settings: Settings) -> str:
    """Where the teacher's weights are: a Hub id or a folder. Raises CheckpointRejected."""
    if not teacher.name.startswith(TRAINED_HERE):
        return teacher.name
    run = teacher.name.removeprefix(TRAINED_HERE)
    found = {lineage.step: folder for lineage, folder in handed_on(run_folders(settings, run).models)}
    step = teacher.step or max(found, default=0)
    if step not in found:
        steps = ", ".join(map(str, found)) or "none"
        raise CheckpointRejected(
            f"{teacher.name} has no checkpoint {f'of step {step} ' if step else ''}here (there are: {steps}); train it "
            "first (`python -m backend_jobs train RECIPE`), or name another with --teacher"
        )
    return str(found[step])


def _plan(recipe: GenerateRecipe, checkpoint: Checkpoint, source: Source | None, *, opens: bool) -> GenerationPlan:
    return GenerationPlan(
        recipe=recipe,
        checkpoint=checkpoint,
        source_commit=source.commit if source else None,
        prompt_opens_thought=opens,
    )
