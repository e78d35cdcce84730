"""Every generation recipe in the repository loads; a fault says what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend_jobs.datasets.mixture import load_mixture
from backend_jobs.datasets.readers import DATASETS
from backend_jobs.generate.recipe import load_generate_recipe, overridden
from backend_jobs.recipe_files import RecipeRejected, recipe_data
from settings import ROOT

FOLDER = ROOT / "recipes" / "generate"
RECIPES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads(path: Path) -> None:
    if recipe_data(path)["kind"] == "mixture":
        assert {part.dataset for part in load_mixture(path).parts} == set(DATASETS)
    else:
        recipe = load_generate_recipe(path)
        assert "\n" in recipe.prompts.template or recipe.prompts.generator
        assert recipe.filters.decontaminate or recipe.verify.kind == "code"


def test_the_lettered_template_has_its_lines() -> None:
    template = load_generate_recipe(FOLDER / "science_letters.yaml").prompts.template
    assert "\n{problem}\n" in template
    assert template.endswith("\n{options}")


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = (FOLDER / "openr1_math.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "recipe.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  samples: 2", "  samples: 0", "decoding.samples is 0, expected greater than or equal to 1"),
        ("  samples: 2", "  sampels: 2", "decoding.sampels is not a key here, did you mean 'samples'?"),
        ("  answer: answer\n", "", "verify.kind math needs the column prompts.answer"),
        ("  kind: math", "  kind: none", "filters.verified and filters.pass_rate need answers that are checked"),
        ("math_500,", "math_50,", "there is no benchmark 'math_50', did you mean 'math_500'?"),
        ("languages: [en]", "languages: [tlh]", "language 'tlh' is not told apart here"),
        ("{problem}", "problem", "template lacks {problem}"),
        ("  dataset: AI-MO/NuminaMath-1.5", "  seed: 1", "name a `dataset`, or a `generator`, and not both"),
        (
            "kind: generate",
            "kind: generation",
            "kind is 'generation', expected one of: generate, did you mean 'generate'?",
        ),
        ("run: openr1-math", "run: ../escape", "run is '../escape', expected letters and digits"),
    ],
)
def test_a_fault_says_what_to_write(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeRejected) as refused:
        load_generate_recipe(changed(tmp_path, old, new))
    assert message in str(refused.value)


def test_flags_replace_what_the_recipe_says() -> None:
    recipe = load_generate_recipe(FOLDER / "openr1_math.yaml")
    flags = overridden(recipe, teacher__name="owner/other", teacher__endpoint=None, prompts__limit=5)
    assert (flags.teacher.name, flags.teacher.endpoint, flags.prompts.limit) == ("owner/other", None, 5)
    assert flags.decoding == recipe.decoding
