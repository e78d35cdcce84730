"""`plan RECIPE`: what would run, on what memory, started how; runs nothing and needs no network for known models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend_jobs.known_models import ModelConfig, model_config
from backend_jobs.launching import launch_command
from backend_jobs.memory import GIB, Change, MemoryEstimate, changes, estimate
from backend_jobs.recipe_types import FolderModel, GrpoRecipe, HubModel, Recipe, RunModel, TinyModel
from backend_jobs.recipes import recipe_hash
from backend_jobs.train import run_folders
from backend_jobs.training.job import JOB_FILE
from settings import Settings

ASSUMED_GIB = 80
"""Of the GPU that a plan is made for where this machine has none."""
PARTS = ("weights", "reference", "gradients", "optimizer", "activations", "logits", "rollouts", "fixed")


def describe_recipe(recipe: Recipe, settings: Settings, *, gpu_bytes: int | None) -> dict[str, Any]:
    """What `plan` prints. `gpu_bytes` is one GPU's memory; None plans for one of 80 GiB."""
    model = model_config(recipe, settings)
    small = isinstance(recipe.model, TinyModel) or model.parameters < 10_000_000
    available = gpu_bytes or ASSUMED_GIB * GIB
    found = estimate(recipe, model, gpu=not small)
    folders = run_folders(settings, recipe.run)
    return {
        "run": recipe.run,
        "recipe_hash": recipe_hash(recipe),
        "model": f"{_named(recipe)}, {model.parameters / 1e9:.2f} B parameters",
        "checkpoints at steps": _few(recipe.checkpoint_steps),
        "checkpoints in": str(folders.models),
        "and on the Hub": _on_hub(recipe),
        "then measured on": ", ".join(recipe.benchmarks) or "nothing",
        "memory of each GPU" if not small else "memory of the process": _parts(found),
        "fits": _verdict(found, available, small=small),
        "what helps": [_change(change, available) for change in changes(recipe, model, gpu=not small)],
        "starts with": _lines(recipe, settings, folders.work / JOB_FILE, model),
        "settings": recipe.training.model_dump(exclude_none=True),
    }


def _parts(found: MemoryEstimate) -> str:
    parts = ((name, getattr(found, name)) for name in PARTS)
    return ", ".join(f"{name} {_size(size)}" for name, size in parts if size) + f"; at its peak {_size(found.peak)}"


def _verdict(found: MemoryEstimate, available: int, *, small: bool) -> str:
    if small:
        return f"yes: {_size(found.peak)} of this machine's memory; so small a model trains on the processor"
    if found.peak <= available:
        return f"yes: {_size(found.peak)} of {_size(available)}"
    return f"no: {_size(found.peak)} are needed, a GPU has {_size(available)}; see what helps"


def _change(change: Change, available: int) -> str:
    fits = "" if change.peak > available else ", which fits"
    return f"{change.what} saves {_size(change.saves)}: {_size(change.peak)}{fits}"


def _lines(recipe: Recipe, settings: Settings, job: Path, model: ModelConfig) -> list[str]:
    """Command lines: the one for this machine, those for several, and the rollouts' server where there is one."""
    lines = [" ".join(launch_command(recipe.launch, settings.engine_python, job))]
    if recipe.launch and recipe.launch.processes > 8:
        machines = recipe.launch.processes // 8
        lines.append(
            f"on each of {machines} machines: python -m backend_jobs train RECIPE --machines {machines} "
            "--machine-rank $RANK --main-address $FIRST_HOST:29500"
        )
    if isinstance(recipe, GrpoRecipe) and recipe.rollouts.engine == "vllm_server":
        length = min(model.context, recipe.rollouts.max_prompt + recipe.rollouts.max_completion)
        lines.append(
            f"beside it, on GPUs of its own: trl vllm-serve --model {_named(recipe)} --max-model-len {length} "
            "--logprobs-mode processed_logprobs"
        )
    return lines


def _named(recipe: Recipe) -> str:
    match recipe.model:
        case TinyModel(family=family):
            return f"a fresh tiny {family}"
        case HubModel(repo=repo):
            return repo
        case FolderModel(folder=folder):
            return folder
        case RunModel(run=run, step=step):
            return f"{run} at step {step}"


def _on_hub(recipe: Recipe) -> str:
    if recipe.hub is None:
        return "no"
    seen = "private" if recipe.hub.private else "public"
    return f"{recipe.hub.repo} ({seen}), as the revisions {recipe.run}-step-<9 digits>"


def _few(steps: tuple[int, ...]) -> str:
    if len(steps) <= 8:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:3]))}, … {steps[-1]} ({len(steps)} in all)"


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB // 10 else f"{size / (1 << 20):.0f} MiB"
