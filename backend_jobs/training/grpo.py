"""Group relative policy optimization with TRL, against rewards that share the board's grader."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from backend_jobs.recipe_types import ArithmeticData, GrpoRecipe, Rollouts
from backend_jobs.training.arithmetic_data import problem_rows
from backend_jobs.training.follower import Follower
from backend_jobs.training.job import TrainingJob
from backend_jobs.training.machine import Machine
from backend_jobs.training.models import sees_images
from backend_jobs.training.prompts import prompt_rows
from backend_jobs.training.scorer import BatchScorer
from backend_jobs.training.trainer_settings import adapters, common_settings, on_gpu
from evaluator.grading_pool import GraderPool


def grpo_settings(job: TrainingJob, recipe: GrpoRecipe, machine: Machine) -> GRPOConfig:
    """The recipe in TRL's words."""
    return GRPOConfig(
        **common_settings(job, machine),
        **_rollout_settings(recipe.rollouts, with_gpu=on_gpu(job, machine)),
        steps_per_generation=recipe.training.accumulate,
        reward_weights=[reward.weight for reward in recipe.rewards],
    )


def grpo_trainer(
    job: TrainingJob, recipe: GrpoRecipe, settings: GRPOConfig, model: Any, tokenizer: Any, follower: Follower
) -> tuple[GRPOTrainer, int, AbstractContextManager[Any]]:
    """(trainer, prompts, what to close when it ended: the grading processes)."""
    prompts = prompt_rows(_rows(job, recipe), recipe, tokenizer, images=sees_images(recipe), say=follower.say)
    pool = GraderPool(workers=1)
    scorer = BatchScorer(recipe, pool)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=scorer.functions(),
        args=settings,
        train_dataset=prompts,
        processing_class=tokenizer,
        peft_config=adapters(recipe.lora),
        callbacks=[follower],
    )
    scorer.ends = frozenset((*trainer.eos_token_ids, trainer._tokenizer.pad_token_id))
    follower.samples = scorer.samples
    follower.samples_every = recipe.samples_every
    return trainer, len(prompts), pool


def _rows(job: TrainingJob, recipe: GrpoRecipe) -> Dataset:
    if isinstance(recipe.data, ArithmeticData):
        return Dataset.from_list(list(problem_rows(seed=recipe.data.seed, size=recipe.data.size)))
    path = str(job.rows)
    cache = str(job.work / "cache")
    return (
        Dataset.from_parquet(path, cache_dir=cache)
        if path.endswith(".parquet")
        else Dataset.from_json(path, cache_dir=cache)
    )


def _rollout_settings(rollouts: Rollouts, *, with_gpu: bool) -> dict[str, Any]:
    engine = rollouts.engine if with_gpu else "transformers"
    settings: dict[str, Any] = {
        "num_generations": rollouts.generations,
        "num_iterations": rollouts.iterations,
        "max_completion_length": rollouts.max_completion,
        "temperature": rollouts.temperature,
        "top_p": rollouts.top_p,
        "beta": rollouts.beta,
        "epsilon": rollouts.epsilon,
        "epsilon_high": rollouts.epsilon_high,
        "loss_type": rollouts.loss,
        "scale_rewards": rollouts.scale_rewards,
        "mask_truncated_completions": rollouts.mask_truncated,
        "log_completions": False,
        "remove_unused_columns": False,
    }
    if engine == "vllm_colocate":
        settings |= {
            "use_vllm": True,
            "vllm_mode": "colocate",
            "vllm_gpu_memory_utilization": rollouts.vllm_memory,
            "vllm_max_model_length": rollouts.max_prompt + rollouts.max_completion,
            "vllm_enable_sleep_mode": True,
        }
    if engine == "vllm_server":
        settings |= {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": rollouts.vllm_url}
    return settings
