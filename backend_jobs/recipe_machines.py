"""The machine of a job that a recipe describes, at a place that reads this checkout's files, as a Ray cluster does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backend_jobs.generate.prepare import teacher_source
from backend_jobs.generate.recipe import GenerateRecipe, load_generate_recipe
from backend_jobs.launchers.types import Machine
from backend_jobs.machine_choice import PROMPT_ALLOWANCE, Choice
from backend_jobs.recipes import load_recipe
from backend_jobs.weights import find_weights
from evaluator.engine_plan import plan_engine
from evaluator.errors import PlanRejected
from leaderboard.types import JobKind, Submission
from settings import Settings


def choose_for_recipe(machines: Sequence[Machine], submission: Submission, settings: Settings) -> Choice:
    """A training gets a GPU per process, a generation those of its teacher's engines. Nobody forecasts their hours.

    Raises:
        PlanRejected: no machine of the place has as many, or the job names no recipe.
        RecipeRejected, CheckpointRejected: the recipe or its teacher cannot be read.
    """
    if submission.recipe is None:
        raise PlanRejected(f"job {submission.id} names no recipe; submit it again with one")
    path = Path(submission.recipe)
    if submission.kind is JobKind.TRAIN:
        recipe = load_recipe(path)
        return _with_gpus(machines, recipe.launch.processes if recipe.launch else 1, settings, alone=not recipe.launch)
    return _for_teacher(machines, load_generate_recipe(path), settings)


def _with_gpus(machines: Sequence[Machine], gpus: int, settings: Settings, *, alone: bool) -> Choice:
    """The smallest machine with so many GPUs; a process `alone` may also train on a processor."""
    able = [each for each in machines if each.devices.kind == "cuda" and each.devices.count >= gpus]
    if able:
        return _choice(min(able, key=lambda each: each.devices.count), gpus, settings)
    if alone and machines:
        return _choice(machines[0], 0, settings)
    names = ", ".join(f"{each.name} ({each.devices})" for each in machines) or "none"
    raise PlanRejected(f"the recipe asks for {gpus} GPUs of one machine, and those there are: {names}; lower `launch`")


def _for_teacher(machines: Sequence[Machine], recipe: GenerateRecipe, settings: Settings) -> Choice:
    teacher = recipe.teacher
    if teacher.endpoint is not None and machines:
        return _choice(machines[-1], 0, settings)
    shape = find_weights(teacher_source(teacher, settings), teacher.revision, settings).shape
    reasons = []
    for machine in machines:
        try:
            plan = plan_engine(
                shape,
                devices=machine.devices,
                prompt_tokens=PROMPT_ALLOWANCE,
                max_tokens=max(1, min(recipe.decoding.max_tokens, shape.context - PROMPT_ALLOWANCE)),
                tensor_parallel_size=teacher.tensor_parallel_size,
            )
        except PlanRejected as rejected:
            reasons.append(f"{machine.name}: {rejected}")
            continue
        return _choice(machine, plan.gpus_each * plan.replicas if plan.device == "cuda" else 0, settings)
    raise PlanRejected(f"no machine there holds the teacher {teacher.name}: {'; '.join(reasons) or 'there is none'}")


def _choice(machine: Machine, gpus: int, settings: Settings) -> Choice:
    return Choice(machine=machine, gpus=gpus, hours=0.0, dollars=None, timeout_s=settings.machine_hours * 3600)
