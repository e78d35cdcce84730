"""Which machine of a cluster a recipe's job gets, and how many of its GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from backend_jobs.demo import recipe_submission
from backend_jobs.launchers.types import Machine
from backend_jobs.machine_choice import Choice
from backend_jobs.recipe_machines import choose_for_recipe
from evaluator.devices import GIB, Devices
from evaluator.errors import PlanRejected
from evaluator.hardware import named_devices
from settings import ROOT, Settings
from tests.checkpoints import sound_checkpoint

CPU = Machine(name="cpu", devices=Devices(kind="cpu", name="cpu", count=8, memory_bytes=64 * GIB))
L4 = Machine(name="L4", devices=named_devices("l4"))
H100 = Machine(name="H100", devices=named_devices("8xH100"))


def choose(recipe: Path, *machines: Machine) -> Choice:
    return choose_for_recipe(machines, recipe_submission(recipe), Settings(machine_hours=5))


def test_a_training_gets_a_gpu_for_each_of_its_processes() -> None:
    choice = choose(ROOT / "recipes/sft/open-r1-distill.yaml", L4, H100, CPU)
    assert (choice.machine, choice.gpus, choice.timeout_s) == (H100, 8, 5 * 3600)
    with pytest.raises(PlanRejected, match="asks for 8 GPUs of one machine"):
        choose(ROOT / "recipes/sft/open-r1-distill.yaml", L4, CPU)


def test_a_training_of_one_process_takes_the_smallest_gpu_or_a_processor() -> None:
    assert choose(ROOT / "recipes/sft/arithmetic.yaml", H100, L4, CPU).machine == L4
    choice = choose(ROOT / "recipes/sft/arithmetic.yaml", CPU)
    assert (choice.machine, choice.gpus) == (CPU, 0)


def test_a_generation_gets_the_gpus_of_its_teachers_engines(tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    for name, content in sound_checkpoint().items():
        (teacher / name).write_bytes(content)
    recipe = yaml.safe_load((ROOT / "recipes/generate/arithmetic.yaml").read_text())
    recipe["teacher"] = {"name": str(teacher)}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    choice = choose(path, L4, CPU)
    assert (choice.machine, choice.gpus) == (L4, 1)
    recipe["teacher"] = {"name": "m", "endpoint": "http://host:8000/v1"}
    path.write_text(yaml.safe_dump(recipe))
    choice = choose(path, L4, CPU)
    assert (choice.machine, choice.gpus) == (CPU, 0)
