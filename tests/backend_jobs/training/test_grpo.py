"""SFT, then GRPO from its checkpoint: real runs of a few steps, killed with SIGKILL in the middle and resumed."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from backend_jobs.recipe_types import Recipe
from backend_jobs.recipes import load_recipe
from backend_jobs.train import TrainingFailed, run_folders, train
from backend_jobs.training.events import CheckpointReady, Sampled, Started, Stepped, TrainEvent
from backend_jobs.training.job import JOB_FILE
from evaluator.checkpoint import local_checkpoint
from settings import ROOT, Settings, read_settings

NEVER = threading.Event()
SFT_STEPS, GRPO_STEPS, SAVE_EVERY = 6, 6, 2


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return replace(read_settings(), data_dir=tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def parent(settings: Settings) -> list[TrainEvent]:
    return run(sft(settings.data_dir, "parent"), settings)


@pytest.fixture(scope="module")
def undisturbed(settings: Settings, parent: list[TrainEvent]) -> list[TrainEvent]:
    return run(grpo(settings.data_dir, "undisturbed"), settings)


@pytest.mark.training
def test_grpo_tells_its_rewards_lengths_and_answers(undisturbed: list[TrainEvent]) -> None:
    steps = [event for event in undisturbed if isinstance(event, Stepped)]
    assert [step.step for step in steps] == list(range(1, GRPO_STEPS + 1))
    wanted = {"reward", "reward/accuracy", "reward/format", "completion_tokens", "truncated", "entropy", "kl"}
    assert wanted <= steps[-1].metrics.keys()
    assert steps[-1].hours > 0
    sampled = next(event for event in undisturbed if isinstance(event, Sampled))
    assert sampled.samples[0].completion.startswith("<think>\n")
    assert "What is" in sampled.samples[0].prompt
    assert int(sampled.samples[0].gold or "x") is not None


@pytest.mark.training
def test_the_lineage_names_parent_data_and_code(undisturbed: list[TrainEvent]) -> None:
    ready = next(event for event in undisturbed if isinstance(event, CheckpointReady))
    lineage = local_checkpoint(ready.path).lineage
    assert lineage is not None
    assert lineage.parent == "local/parent@parent-step-000000006"
    assert lineage.data == "arithmetic, seed 2, 64 problems"
    assert "trl" in (lineage.code or "")
    assert (lineage.hours or 0) > 0


@pytest.mark.training
@pytest.mark.parametrize("kind", ["sft", "grpo"])
def test_a_run_that_was_killed_in_the_middle_goes_on_as_if_it_had_not_been(
    kind: str, settings: Settings, parent: list[TrainEvent], undisturbed: list[TrainEvent]
) -> None:
    """For GRPO too: every optimizer step draws new answers, so every checkpoint lies between two generations."""
    recipe = sft(settings.data_dir, "killed-sft") if kind == "sft" else grpo(settings.data_dir, "killed-grpo")
    whole = parent if kind == "sft" else undisturbed
    before = killed_after(recipe, settings, step=SAVE_EVERY + 1)
    after = run(recipe, settings)
    started = next(event for event in after if isinstance(event, Started))
    # A busy machine may take a few steps more before the kill arrives; it is a checkpoint before the end all the same.
    assert started.resumed_at in range(SAVE_EVERY, recipe.training.steps, SAVE_EVERY)
    losses = loss_curve(before) | loss_curve(after)
    assert losses == loss_curve(whole)
    last = f"step-{recipe.training.steps:09d}"
    name = "parent" if kind == "sft" else "undisturbed"
    same = run_folders(settings, name).models / last / "model.safetensors"
    assert (run_folders(settings, recipe.run).models / last / "model.safetensors").read_bytes() == same.read_bytes()


@pytest.mark.training
def test_adapters_are_merged_into_a_checkpoint_that_can_be_served(settings: Settings, parent: list[TrainEvent]) -> None:
    path = settings.data_dir / "lora.yaml"
    text = (
        grpo_text("lora")
        .replace("steps: 6", "steps: 2")
        .replace("benchmarks:", "lora: {rank: 4, alpha: 8, dropout: 0.0, targets: [q_proj, v_proj]}\nbenchmarks:")
    )
    path.write_text(text, encoding="utf-8")
    events = run(load_recipe(path), settings)
    ready = next(event for event in events if isinstance(event, CheckpointReady))
    names = {file.name for file in ready.path.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
    assert not [name for name in names if "adapter" in name]
    base = run_folders(settings, "parent").models / f"step-{SFT_STEPS:09d}"
    assert (ready.path / "model.safetensors").stat().st_size == (base / "model.safetensors").stat().st_size


def run(recipe: Recipe, settings: Settings) -> list[TrainEvent]:
    events: list[TrainEvent] = []
    train(recipe, settings=settings, on_event=events.append, cancelled=NEVER)
    return events


def killed_after(recipe: Recipe, settings: Settings, *, step: int) -> list[TrainEvent]:
    """What a run told until its training process was killed with SIGKILL, once it had done so many steps."""
    events: list[TrainEvent] = []
    job = str(run_folders(settings, recipe.run).work / JOB_FILE)

    def kill(event: TrainEvent) -> None:
        events.append(event)
        if isinstance(event, Stepped) and event.step == step:
            for process in trainers(job):
                os.kill(process, signal.SIGKILL)

    with pytest.raises(TrainingFailed):
        train(recipe, settings=settings, on_event=kill, cancelled=NEVER)
    return events


def trainers(job: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
            continue
        if job.encode() in words and b"backend_jobs.training" in words and b"-m" in words[:2]:
            found.append(int(entry.name))
    assert found
    return found


def loss_curve(events: list[TrainEvent]) -> dict[int, tuple[float, float]]:
    return {event.step: (event.loss, event.learning_rate) for event in events if isinstance(event, Stepped)}


def sft(folder: Path, name: str) -> Recipe:
    text = (ROOT / "recipes" / "sft" / "arithmetic.yaml").read_text(encoding="utf-8")
    return load_recipe(
        changed(
            folder / f"{name}.yaml",
            text,
            {
                "run: arithmetic-demo": f"run: {name}",
                "steps: 600": f"steps: {SFT_STEPS}",
                "warmup_steps: 20": "warmup_steps: 1",
                "size: 38400": "size: 64",
                "batch_size: 64": "batch_size: 8",
                "save_every: 150": f"save_every: {SAVE_EVERY}",
            },
        )
    )


def grpo_text(name: str) -> str:
    text = (ROOT / "recipes" / "grpo" / "arithmetic.yaml").read_text(encoding="utf-8")
    for old, new in {
        "run: arithmetic-grpo": f"run: {name}",
        "run: arithmetic-demo": "run: parent",
        "step: 300": f"step: {SFT_STEPS}",
        "steps: 240": f"steps: {GRPO_STEPS}",
        "warmup_steps: 5": "warmup_steps: 1",
        "size: 30720": "size: 64",
        "batch_size: 128": "batch_size: 16",
        "save_every: 80": f"save_every: {SAVE_EVERY}",
        "max_completion: 80": "max_completion: 12",
        "beta: 0.0": "beta: 0.04",
        "  - {name: accuracy, weight: 1.0}": "  - {name: accuracy, weight: 1.0}\n  - {name: format, weight: 0.5}",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def grpo(folder: Path, name: str) -> Recipe:
    return load_recipe(changed(folder / f"{name}.yaml", grpo_text(name), {}))


def changed(path: Path, text: str, changes: dict[str, str]) -> Path:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path
