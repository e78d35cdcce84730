"""Recipe files: every one loads, and every fault says what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_jobs.recipes import KINDS, RecipeRejected, load_recipe, recipe_hash
from evaluator.benchmarks import BENCHMARKS

RECIPES = sorted(path for kind in KINDS for path in (Path(__file__).parents[2] / "recipes" / kind).glob("*.yaml"))
DEMO = next(path for path in RECIPES if path.parts[-2:] == ("sft", "arithmetic.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_in_the_repository_loads(path: Path) -> None:
    if path.parent.name == "generate":
        pytest.skip("tests/backend_jobs/generate/test_recipes.py loads it")
    recipe = load_recipe(path)
    assert recipe.kind == path.parent.name
    assert set(recipe.benchmarks) <= set(BENCHMARKS)


def test_the_demonstration_keeps_four_checkpoints() -> None:
    assert load_recipe(DEMO).checkpoint_steps == (150, 300, 450, 600)


def test_the_last_step_is_always_kept(tmp_path: Path) -> None:
    recipe = load_recipe(_changed(tmp_path, "save_every: 150", "save_every: 250"))
    assert recipe.checkpoint_steps == (250, 500, 600)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("steps: 600", "step: 600", "training.step is not a key here, did you mean 'steps'?"),
        ("  steps: 600\n", "", "training.steps is missing"),
        ("batch_size: 64", "batchsize: 64", "did you mean 'batch_size'?"),
        (
            "run: arith",
            "name: x\nrun: arith",
            "the keys are: kind, run, model, data, benchmarks, launch, lora, hub, training",
        ),
        ("kind: sft", "kind: stf", "kind is 'stf', expected one of: sft, grpo, did you mean 'sft'?"),
        ("kind: sft", "", "kind is nothing, expected one of: sft"),
        ("builder: tiny", "builder: big", "model.builder is 'big', expected 'tiny'"),
        ("learning_rate: 0.002", "learning_rate: 3e-3", "write 0.003, without quotes and with a decimal point"),
        ("learning_rate: 0.002", "learning_rate: fast", "training.learning_rate is 'fast', expected a number"),
        ("learning_rate: 0.002", "learning_rate: .nan", "learning_rate is nan, expected a finite number"),
        ("steps: 600", "steps: yes", "training.steps is True, expected a whole number"),
        ("size: 38400", "size: 0", "data.size is 0, expected greater than or equal to 1"),
        ("run: arithmetic-demo", "run: ../up", "run is '../up', expected letters and digits"),
        ("[arithmetic]", "[arithmetik]", "there is no benchmark 'arithmetik', did you mean 'arithmetic'?"),
        ("[arithmetic]", "[arithmetic, arithmetic]", "named twice"),
        ("[arithmetic]", "arithmetic", "benchmarks is 'arithmetic', expected a list"),
        ("schedule: cosine", "schedule: cosin", "expected 'constant', 'constant_with_warmup', 'cosine'"),
        (
            "builder: tiny\n  family: qwen2\n  seed: 0",
            "tiny",
            "model: a model is named by one of: builder, repo, folder",
        ),
        ("generator: arithmetic", "seed: 3\n  generator: arithmetic", "the key 'seed' stands twice"),
        ("kind: sft", "kind: [sft", "is not valid YAML"),
    ],
)
def test_a_fault_is_named_with_what_to_write_instead(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = _changed(tmp_path, old, new)
    with pytest.raises(RecipeRejected) as caught:
        load_recipe(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_are_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(DEMO.read_text().replace("steps: 600", "steps: 0").replace("size: 38400", "size: x"))
    with pytest.raises(RecipeRejected, match=r"data\.size is 'x'.*training\.steps is 0"):
        load_recipe(path)


@pytest.mark.parametrize("text", ["", "- sft\n", "sft\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeRejected, match="expected a mapping"):
        load_recipe(tmp_path / "r.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeRejected, match=r"none\.yaml cannot be read \(No such file or directory\)"):
        load_recipe(tmp_path / "none.yaml")


def test_yaml_cannot_build_objects(tmp_path: Path) -> None:
    path = _changed(tmp_path, "kind: sft", "kind: !!python/object/apply:os.getcwd []")
    with pytest.raises(RecipeRejected, match="not valid YAML"):
        load_recipe(path)


def test_the_hash_covers_what_decides_the_weights_and_nothing_else(tmp_path: Path) -> None:
    demo = recipe_hash(load_recipe(DEMO))
    assert len(demo) == 64
    for old, new in [("run: arithmetic-demo", "run: other"), ("[arithmetic]", "[]"), ("# The", "# A")]:
        assert recipe_hash(load_recipe(_changed(tmp_path, old, new))) == demo
    for old, new in [("steps: 600", "steps: 601"), ("size: 38400", "size: 38401"), ("seed: 1", "seed: 2")]:
        assert recipe_hash(load_recipe(_changed(tmp_path, old, new))) != demo


def _changed(folder: Path, old: str, new: str) -> Path:
    text = DEMO.read_text(encoding="utf-8")
    assert old in text
    path = folder / "recipe.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path
