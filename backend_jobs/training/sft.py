"""Supervised fine-tuning with TRL."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from backend_jobs.recipe_types import ArithmeticData, SftRecipe
from backend_jobs.training.arithmetic_data import training_examples
from backend_jobs.training.follower import Follower
from backend_jobs.training.job import TrainingJob
from backend_jobs.training.machine import Machine
from backend_jobs.training.trainer_settings import adapters, common_settings


def sft_settings(job: TrainingJob, recipe: SftRecipe, machine: Machine) -> SFTConfig:
    """The recipe in TRL's words."""
    return SFTConfig(
        **common_settings(job, machine),
        include_num_input_tokens_seen="non_padding",
        max_length=recipe.training.max_length,
        packing=recipe.training.packing,
    )


def sft_trainer(
    job: TrainingJob, recipe: SftRecipe, settings: SFTConfig, model: Any, tokenizer: Any, follower: Follower
) -> tuple[SFTTrainer, int, AbstractContextManager[Any]]:
    """(trainer, examples, what to close when it ended)."""
    examples = _examples(job, recipe)
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=examples,
        processing_class=tokenizer,
        peft_config=adapters(recipe.lora),
        callbacks=[follower],
    )
    return trainer, len(examples), nullcontext()


def _examples(job: TrainingJob, recipe: SftRecipe) -> Dataset:
    """Prompt and completion, each a list of messages; the loss is on the completion alone."""
    if isinstance(recipe.data, ArithmeticData):
        return Dataset.from_list(list(training_examples(seed=recipe.data.seed, size=recipe.data.size)))
    return Dataset.from_json(str(job.rows), keep_in_memory=False, cache_dir=str(job.work / "cache"))
