"""Every recipe of the repository trains two real optimizer steps here, with a tiny model of its family."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend_jobs.recipe_types import HubModel, Recipe
from backend_jobs.recipes import load_recipe
from backend_jobs.smoke import OVERRIDDEN, STEPS, smoke_recipe, smoke_settings
from backend_jobs.train import prepare_job, run_folders
from backend_jobs.training.events import CheckpointReady, Finished, Started, Stepped, TrainEvent, from_line
from backend_jobs.training.job import JOB_FILE
from evaluator.checkpoint import local_checkpoint
from settings import ROOT, Settings, read_settings

RECIPES = sorted(path for kind in ("sft", "grpo") for path in (ROOT / "recipes" / kind).glob("*.yaml"))
IMAGES = "qwen2_vl"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def sees_images(path: Path) -> bool:
    model = load_recipe(path).model
    return isinstance(model, HubModel) and model.family == IMAGES


TEXT = [path for path in RECIPES if not sees_images(path)]
WITH_IMAGES = [path for path in RECIPES if sees_images(path)]


def names(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.fixture(scope="module")
def smoked(tmp_path_factory: pytest.TempPathFactory, engine_python: str) -> dict[Path, list[TrainEvent]]:
    """All text recipes, one after another in a single training process: its imports are most of a smoke's time."""
    settings = smoke_settings(replace(read_settings(), data_dir=tmp_path_factory.mktemp("smoke")))
    return _train_all(TEXT, settings, engine_python)


def test_every_recipe_file_is_covered() -> None:
    found = {
        path
        for path in (ROOT / "recipes").rglob("*.yaml")
        if path.parent.name not in ("accelerate", "generate", "data")
    }
    assert {*TEXT, *WITH_IMAGES} == found
    assert len(TEXT) == 16
    assert len(WITH_IMAGES) == 1


@pytest.mark.parametrize("path", RECIPES, ids=names)
def test_a_smoke_changes_the_model_the_data_path_steps_and_lengths_and_nothing_else(path: Path) -> None:
    recipe, settings = load_recipe(path), read_settings()
    before, after = _leaves(recipe.model_dump()), _leaves(smoke_recipe(recipe).model_dump())
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {_group(name) for name in changed} <= OVERRIDDEN
    apart = smoke_settings(settings)
    assert {name for name in Settings.__slots__ if getattr(apart, name) != getattr(settings, name)} <= {
        "benchmark_mirror",
        "data_dir",
    }


@pytest.mark.training
@pytest.mark.parametrize("path", TEXT, ids=names)
def test_a_recipe_trains_two_steps(path: Path, smoked: dict[Path, list[TrainEvent]]) -> None:
    _trained_two_steps(smoked[path], load_recipe(path))


@pytest.mark.training
@pytest.mark.parametrize("path", WITH_IMAGES, ids=names)
def test_an_image_recipe_trains_two_steps(path: Path, engine_python: str, tmp_path: Path) -> None:
    probe = "import torchvision, torchvision.ops; torchvision.ops.nms"
    if subprocess.run([engine_python, "-c", probe], capture_output=True).returncode:
        pytest.skip("no torchvision that matches torch is installed, and the processor of Qwen2-VL needs one")
    settings = smoke_settings(replace(read_settings(), data_dir=tmp_path))
    _trained_two_steps(_train_all([path], settings, engine_python)[path], load_recipe(path))


@pytest.mark.training
def test_several_processes_train_one_run_together(engine_python: str, tmp_path: Path) -> None:
    """Two processes through accelerate, here on the processor: one of them tells, saves and hands on."""
    settings = smoke_settings(replace(read_settings(), data_dir=tmp_path))
    recipe = smoke_recipe(load_recipe(ROOT / "recipes" / "sft" / "bespoke-stratos.yaml"))
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"accumulate": 2})})
    job = prepare_job(recipe, run_folders(settings, recipe.run), settings, threading.Event(), lambda _: None)
    command = [engine_python, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["--module", "backend_jobs.training", str(job.work / JOB_FILE)]
    ran = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-4000:]
    _trained_two_steps(list(map(from_line, job.events.read_text().splitlines())), recipe)


def _train_all(paths: list[Path], settings: Settings, python: str) -> dict[Path, list[TrainEvent]]:
    jobs = {}
    for path in paths:
        recipe = smoke_recipe(load_recipe(path))
        folders = run_folders(settings, recipe.run)
        jobs[path] = prepare_job(recipe, folders, settings, threading.Event(), lambda _: None)
    command = [python, "-m", "backend_jobs.training", *(str(job.work / JOB_FILE) for job in jobs.values())]
    ran = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-4000:]
    return {path: list(map(from_line, job.events.read_text().splitlines())) for path, job in jobs.items()}


def _trained_two_steps(events: list[TrainEvent], recipe: Recipe) -> None:
    assert isinstance(next(e for e in events if isinstance(e, Started)), Started)
    steps = [event for event in events if isinstance(event, Stepped)]
    assert [step.step for step in steps] == [1, STEPS]
    assert all(step.tokens > 0 for step in steps)
    if recipe.kind == "grpo":
        rewards = {name for name in steps[-1].metrics if name.startswith("reward/")}
        assert rewards == {f"reward/{reward.name}" for reward in recipe.rewards}  # type: ignore[union-attr]
    (ready,) = (event for event in events if isinstance(event, CheckpointReady))
    lineage = local_checkpoint(ready.path).lineage
    assert lineage is not None
    assert (lineage.run, lineage.step) == (recipe.run, STEPS)
    assert lineage.data
    assert isinstance(events[-1], Finished)


def _leaves(value: Any, name: str = "") -> dict[str, str]:
    """Every value of nested mappings under its dotted name."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, item in value.items():
            found |= _leaves(item, f"{name}.{key}" if name else str(key))
        return found
    return {name: json.dumps(value, default=str)}


def _group(name: str) -> str:
    return "model" if name.startswith("model.") else name
