"""A wrong recipe fails within seconds, before any weights are there, and says what to write instead."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from backend_jobs.launching import Place, check_devices, launch_command
from backend_jobs.recipe_checks import preflight
from backend_jobs.recipe_types import GrpoRecipe, Launch
from backend_jobs.recipes import RecipeRejected, load_recipe
from backend_jobs.smoke import ROWS
from backend_jobs.train import train
from backend_jobs.training_data import find_data, write_rows
from evaluator.errors import OpenR1Error
from settings import ROOT, Settings

RECIPES = ROOT / "recipes"
SECONDS = 20.0
"""Far more than it takes; a machine may be busy."""


def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", benchmark_mirror=ROWS, engine_python="/nowhere/python")


def refused(tmp_path: Path, name: str, changes: dict[str, str]) -> str:
    """What is said of a recipe of the repository with these changes, before any process is started."""
    text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    began = time.monotonic()
    with pytest.raises(OpenR1Error) as caught:
        begin(path, settings(tmp_path))
    assert time.monotonic() - began < SECONDS
    assert not (tmp_path / "data" / "hub").exists()
    assert not list((tmp_path / "data").rglob("*.log"))
    return str(caught.value)


def begin(path: Path, where: Settings) -> None:
    train(load_recipe(path), settings=where, on_event=lambda _: None, cancelled=threading.Event(), alone=True)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        (
            "grpo/mini-r1",
            {"generations: 8": "generation: 8"},
            "rollouts.generation is not a key here, did you mean 'generations'?",
        ),
        (
            "grpo/mini-r1",
            {"generations: 8": "generations: 7"},
            "write for example batch_size: 63, accumulate: 1, or generations: 8",
        ),
        (
            "grpo/mini-r1",
            {"iterations: 1": "iterations: 4"},
            "write save_every: 24",
        ),
        ("grpo/mini-r1", {"{nums}": "{numbers}"}, "prompt.user names the column 'numbers', which the data do not have"),
        ("grpo/mini-r1", {"numbers: nums": "numbers: num"}, "did you mean 'nums'?; the columns are: nums, target"),
        ("grpo/mini-r1", {"Countdown-Tasks-3to4": "Countdown-Tasks-9"}, "Countdown-Tasks-9"),
        ("grpo/mini-r1", {"split: train": "split: tain"}, "has no file for split 'tain'"),
        ("grpo/mini-r1", {"max_completion: 1024": "max_completion: 65536"}, "write max_completion: 32512"),
        ("grpo/mini-r1", {"warmup_steps: 14": "warmup_steps: 450"}, "leaves nothing of 450 steps; write for example"),
        ("grpo/mini-r1", {"vllm_memory: 0.5\n": "\n"}, "vllm_memory belongs to engine vllm_colocate"),
        ("grpo/simplerl", {"extra_info.answer": "extra_info.solution"}, "prompt.gold.column names the column"),
        ("grpo/simplerl", {"  gold: {column: extra_info.answer}\n": ""}, "write prompt.gold: {column: ...}"),
        ("grpo/gsm8k-five-rewards", {'"####"': '"!!!!"'}, "prompt.gold finds no answer in the first row's column"),
        ("grpo/arithmetic", {"step: 300": "step: 77"}, "nothing of it is here: train it first"),
        (
            "sft/openthoughts",
            {"open-thoughts/OpenThoughts-114k": "openai/gsm8k\n  config: main"},
            "name its column of messages in data.messages",
        ),
        ("sft/open-r1-distill", {"messages: messages": "messages: massages"}, "did you mean 'messages'?"),
        ("sft/open-r1-distill", {"max_length: 32768": "max_length: 40000"}, "write max_length: 32768"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_is_loaded(
    tmp_path: Path, name: str, changes: dict[str, str], said: str
) -> None:
    assert said in refused(tmp_path, name, changes)


def test_a_reward_that_counts_beyond_the_answers_end_is_refused(tmp_path: Path) -> None:
    reward = "{name: soft_overlong, weight: 1.0, max_tokens: 4096, margin_tokens: 512}"
    said = refused(tmp_path, "grpo/mini-r1", {"{name: mini_r1_format, weight: 1.0}": reward})
    assert "but answers end at max_completion 1024; write max_tokens: 1024" in said


def test_a_reward_that_the_prompt_makes_impossible_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, "grpo/mini-r1", {"mini_r1_format": "strict_xml"})
    assert "no answer could ever earn it" in said


@pytest.mark.parametrize("path", sorted((RECIPES / "grpo").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_reward_of_every_recipe_tells_a_planted_right_answer_from_a_wrong_one(path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(path)
    assert isinstance(recipe, GrpoRecipe)
    if path.stem == "arithmetic":
        pytest.skip("continues from a checkpoint that only a run makes; its rewards are tested with that run")
    given = preflight(recipe, settings(tmp_path)).rewards
    assert set(given) == {reward.name for reward in recipe.rewards}
    assert all(right > wrong for right, wrong in given.values())


def test_rows_are_written_once_in_the_order_that_the_recipe_asks_for(tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES / "grpo" / "mini-r1.yaml")
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"rows": 5})})
    found = find_data(recipe, settings(tmp_path))
    path = write_rows(recipe, found, tmp_path)
    assert path is not None
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 5
    assert all(set(row) == {"nums", "target"} for row in rows)
    unshuffled = recipe.model_copy(update={"data": recipe.data.model_copy(update={"shuffle_seed": None})})
    (tmp_path / "other").mkdir()
    other = write_rows(unshuffled, found, tmp_path / "other")
    assert other is not None
    assert other.read_text() != path.read_text()
    assert write_rows(unshuffled, found, tmp_path) == path


def test_several_processes_are_started_by_accelerate_with_a_configuration_that_exists() -> None:
    for path in sorted([*(RECIPES / "sft").glob("*.yaml"), *(RECIPES / "grpo").glob("*.yaml")]):
        launch = load_recipe(path).launch
        command = launch_command(launch, "python", Path("job.json"))
        assert command[:2] == ["python", "-m"]
        if launch is not None:
            assert Path(command[command.index("--config_file") + 1]).is_file()
            assert command[command.index("--num_processes") + 1] == str(launch.processes)


def test_the_machines_of_a_run_share_its_processes_evenly(tmp_path: Path) -> None:
    launch, place = Launch(processes=12, config="zero3"), Place(machines=2, rank=1, address="first:29500")
    command = launch_command(launch, "python", Path("job.json"), place)
    assert command[command.index("--machine_rank") + 1] == "1"
    assert command[command.index("--main_process_ip") + 1] == "first"
    with pytest.raises(RecipeRejected, match="cannot be shared by 5 machines"):
        check_devices(launch, settings(tmp_path), replace(place, machines=5))
