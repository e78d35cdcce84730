"""The model and tokenizer that a run begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

from backend_jobs.recipe_types import GrpoRecipe, HubModel, Recipe, TinyModel
from backend_jobs.training.job import TrainingJob
from backend_jobs.training.machine import Machine
from backend_jobs.training.tiny_families import SIZES, tiny_of_family

IMAGES = "qwen2_vl"


def load_model(job: TrainingJob, machine: Machine) -> tuple[Any, Any]:
    """(model, tokenizer or processor). Nothing is fetched, and no code of a checkpoint runs."""
    recipe = job.recipe
    if isinstance(recipe.model, TinyModel):
        model, reader = tiny_of_family(recipe.model.family, seed=recipe.model.seed, size=SIZES[recipe.model.builder])
        # TRL loads the reference model, and merging the adapted one, from where the model came from.
        if recipe.lora or (isinstance(recipe, GrpoRecipe) and recipe.rollouts.beta):
            model.save_pretrained(job.begins)
            model.config._name_or_path = str(job.begins)
        return model, reader
    assert job.weights is not None
    return _from_folder(job.weights, recipe, machine)


def sees_images(recipe: Recipe) -> bool:
    """Whether the recipe's model reads images beside text."""
    return isinstance(recipe.model, TinyModel | HubModel) and recipe.model.family == IMAGES


def _from_folder(folder: Path, recipe: Recipe, machine: Machine) -> tuple[Any, Any]:
    torch.manual_seed(recipe.training.seed)
    loader = AutoModelForImageTextToText if sees_images(recipe) else AutoModelForCausalLM
    dtype, attention = torch.float32, "sdpa"
    if isinstance(recipe.model, HubModel) and machine.gpu:
        dtype, attention = getattr(torch, recipe.model.dtype), recipe.model.attention
    model = loader.from_pretrained(folder, dtype=dtype, attn_implementation=attention, local_files_only=True)
    reader = AutoProcessor if sees_images(recipe) else AutoTokenizer
    processor = reader.from_pretrained(folder, local_files_only=True)
    if isinstance(recipe.model, HubModel) and recipe.model.chat_template is not None:
        processor.chat_template = recipe.model.chat_template
    if isinstance(recipe.model, HubModel) and recipe.model.eos_token is not None:
        inner = getattr(processor, "tokenizer", processor)
        inner.eos_token = recipe.model.eos_token
        model.generation_config.eos_token_id = inner.eos_token_id
    return model, processor
