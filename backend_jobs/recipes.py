"""Training recipes: what to train, on what, and how. Nothing that decides the weights has a default."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from backend_jobs.recipe_files import RecipeRejected, read_recipe
from backend_jobs.recipe_types import KINDS, GrpoRecipe, Recipe

__all__ = ["KINDS", "Recipe", "RecipeRejected", "load_recipe", "recipe_from_json", "recipe_hash"]

NOT_DECIDING = {"run", "benchmarks", "samples_every", "hub"}


def load_recipe(path: Path) -> Recipe:
    """Read one training recipe.

    Raises:
        RecipeRejected: every fault in one message, each with its key, what was expected and the nearest valid key.
    """
    recipe = read_recipe(path, KINDS)
    _check_numbers(recipe, path)
    return recipe


def _check_numbers(recipe: Recipe, path: Path) -> None:
    """Numbers that are each fine and contradict one another. Raises RecipeRejected."""
    training = recipe.training
    if training.warmup_steps >= training.steps:
        raise RecipeRejected(
            f"{path}: training.warmup_steps {training.warmup_steps} leaves nothing of {training.steps} steps; "
            f"write for example warmup_steps: {max(0, training.steps // 10)}"
        )
    if not isinstance(recipe, GrpoRecipe):
        return
    for reward in recipe.rewards:
        limit = getattr(reward, "max_tokens", None)
        if limit is not None and limit > recipe.rollouts.max_completion:
            raise RecipeRejected(
                f"{path}: the reward {reward.name} counts up to {limit} tokens, but answers end at max_completion "
                f"{recipe.rollouts.max_completion}; write max_tokens: {recipe.rollouts.max_completion}"
            )


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 over everything that decides the weights: 64 hex digits.

    The run's name, its benchmarks, what is kept for reading and where checkpoints go are left out: they do not change
    what is learned.
    """
    deciding = recipe.model_dump(mode="json", exclude=NOT_DECIDING)
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def recipe_from_json(data: dict[str, Any]) -> Recipe:
    """The recipe that `model_dump(mode="json")` wrote."""
    return KINDS[str(data["kind"])].model_validate_json(json.dumps(data))
