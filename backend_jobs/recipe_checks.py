"""What is checked before a training run costs anything: within seconds, before any weights are there or loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend_jobs.evaluate_job import grading_workers
from backend_jobs.known_models import model_config
from backend_jobs.prompting import gold_of, opened_answer
from backend_jobs.recipe_types import GrpoRecipe, Recipe
from backend_jobs.recipes import RecipeRejected
from backend_jobs.rewards.judging import check_rewards
from backend_jobs.training_data import FoundData, find_data
from evaluator.grading_pool import GraderPool
from settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Preflight:
    """A recipe that can run. `rewards` holds what each reward gave to a planted right and a planted wrong answer."""

    data: FoundData
    rewards: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def preflight(recipe: Recipe, settings: Settings) -> Preflight:
    """Check a recipe against its data, its model's context and its rewards.

    Raises:
        RecipeRejected: two settings contradict each other, or a column is not there.
        RewardBlind: a reward does not tell a right answer from a wrong one.
        DatasetRejected, DatasetUnavailable, CheckpointRejected: the data or the model are not there.
    """
    found = find_data(recipe, settings)
    check_context(recipe, settings)
    if not isinstance(recipe, GrpoRecipe):
        return Preflight(data=found)
    gold = gold_of(found.first, recipe.prompt.gold)
    if recipe.prompt.gold is not None and gold is None:
        raise RecipeRejected(
            f"prompt.gold finds no answer in the first row's column {recipe.prompt.gold.column!r}; "
            "does `after` or `before` fit the data?"
        )
    with GraderPool(workers=grading_workers()) as pool:
        given = check_rewards(recipe.rewards, found.first, gold, opened=opened_answer(recipe.prompt.opens), pool=pool)
    return Preflight(data=found, rewards=given)


def check_context(recipe: Recipe, settings: Settings) -> None:
    """What is trained on must fit the model's context. Raises RecipeRejected."""
    context = model_config(recipe, settings).context
    if isinstance(recipe, GrpoRecipe):
        rollouts = recipe.rollouts
        wanted = rollouts.max_prompt + rollouts.max_completion
        if wanted > context:
            raise RecipeRejected(
                f"max_prompt {rollouts.max_prompt} + max_completion {rollouts.max_completion} = {wanted} tokens do not "
                f"fit the model's context of {context}; write max_completion: {max(1, context - rollouts.max_prompt)}"
            )
    elif recipe.training.max_length is not None and recipe.training.max_length > context:
        raise RecipeRejected(
            f"training.max_length {recipe.training.max_length} does not fit the model's context of {context}; "
            f"write max_length: {context}"
        )
