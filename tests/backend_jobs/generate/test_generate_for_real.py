"""The arithmetic recipe on real vLLM: a teacher trained for a minute writes, its right answers become training data."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import yaml

from backend_jobs.datasets.sources import find_source
from backend_jobs.datasets.training_rows import training_examples
from backend_jobs.generate.job import generate
from backend_jobs.generate.recipe import load_generate_recipe, overridden
from backend_jobs.recipes import load_recipe
from backend_jobs.train import train
from evaluator.arithmetic import written_in
from leaderboard.datasets import GenerationProgress
from settings import ROOT, Settings, read_settings

RECIPES = ROOT / "recipes"


def taught(data_dir: Path) -> Path:
    """A checkpoint that has seen enough sums to get some right."""
    recipe = yaml.safe_load((RECIPES / "sft" / "arithmetic.yaml").read_text(encoding="utf-8"))
    recipe["training"] |= {"steps": 150, "save_every": 150}
    recipe["run"] = "short"
    file = data_dir / "short.yaml"
    file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    settings = Settings(data_dir=data_dir, engine_python=read_settings().engine_python)
    [ready] = train(
        load_recipe(file), settings=settings, on_event=lambda _: None, cancelled=threading.Event()
    ).checkpoints
    return ready.path


@pytest.mark.engine
@pytest.mark.training
def test_a_teacher_of_ours_writes_a_dataset_that_loads_and_can_be_trained_on(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, engine_python=read_settings().engine_python)
    recipe = load_generate_recipe(RECIPES / "generate" / "arithmetic.yaml")
    seen: list[GenerationProgress] = []
    made = generate(
        overridden(recipe, teacher__name=str(taught(tmp_path)), prompts__limit=40),
        settings,
        on_progress=seen.append,
        cancelled=threading.Event(),
    )
    report = made.report
    assert report.rows + sum(report.dropped.values()) == 160 - 3 * report.dropped.get("duplicate_problem", 0)
    assert report.rows > 0
    assert report.model is not None
    assert report.commit is not None
    assert report.commit.startswith("sha256:")
    rows = list(find_source(f"local/{recipe.run}", settings).reasoning_rows())
    assert len(rows) == report.rows
    assert all(row.verified and row.generation.finish_reason == "stop" and row.n_tokens for row in rows)
    assert {row.generation.engine for row in rows} != {None}
    assert not any(written_in(message.content) for row in rows for message in row.messages)
    example = next(training_examples(iter(rows)))
    assert example["completion"][0]["content"].startswith("<think>\n")
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(made.folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == report.rows
    assert seen[-1].cost.amount is not None
    assert seen[-1].cost.amount > 0
