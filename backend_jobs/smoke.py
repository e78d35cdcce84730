"""A recipe's first two steps on this machine: a tiny model of the same family, a few rows, short answers.

Everything else is the recipe's own: what fails here would fail at full size.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from backend_jobs.recipe_types import GrpoRecipe, HubModel, Recipe, TinyModel
from settings import Settings

STEPS = 2
SFT_TOKENS = 256
PROMPT_TOKENS = 2_048
"""A tiny model has a token for every character."""
ANSWER_TOKENS = 16
ROWS = Path(__file__).with_name("training") / "smoke_rows"
"""Hand-written rows in each dataset's schema, laid out as a mirror of the Hub."""
OVERRIDDEN = frozenset(
    {"model", "training.steps", "training.max_length", "rollouts.max_prompt", "rollouts.max_completion"}
)


def smoke_recipe(recipe: Recipe) -> Recipe:
    """The recipe with another model, fewer steps and shorter texts: `OVERRIDDEN`, and nothing else."""
    family = recipe.model.family if isinstance(recipe.model, HubModel | TinyModel) else "qwen2"
    model = TinyModel(builder="tiniest", family=family, seed=0)
    if isinstance(recipe, GrpoRecipe):
        rollouts = recipe.rollouts.model_copy(
            update={"max_prompt": PROMPT_TOKENS, "max_completion": min(ANSWER_TOKENS, recipe.rollouts.max_completion)}
        )
        training = recipe.training.model_copy(update={"steps": STEPS})
        return recipe.model_copy(update={"model": model, "rollouts": rollouts, "training": training})
    length = min(SFT_TOKENS, recipe.training.max_length or SFT_TOKENS)
    shorter = recipe.training.model_copy(update={"steps": STEPS, "max_length": length})
    return recipe.model_copy(update={"model": model, "training": shorter})


def smoke_settings(settings: Settings) -> Settings:
    """Settings under which the rows here stand in for every dataset, and nothing touches a real run."""
    return replace(settings, benchmark_mirror=ROWS, data_dir=settings.data_dir / "smoke")
