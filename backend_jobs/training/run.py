"""One training run in this process: model, data and trainer from the recipe, then every step that is left."""

from __future__ import annotations

from typing import TextIO

from datasets import disable_progress_bars

from backend_jobs.recipe_types import GrpoRecipe
from backend_jobs.training.checkpoints import complete_checkpoints
from backend_jobs.training.events import Finished, Started
from backend_jobs.training.follower import Follower
from backend_jobs.training.grpo import grpo_settings, grpo_trainer
from backend_jobs.training.job import TrainingJob
from backend_jobs.training.machine import Machine, MemoryMeter
from backend_jobs.training.models import load_model
from backend_jobs.training.sft import sft_settings, sft_trainer


def run_job(job: TrainingJob, events: TextIO) -> None:
    """Train, writing the trainer's state under `job.output`, whole checkpoints under `job.models`, events."""
    disable_progress_bars()
    machine = Machine.here()
    meter = MemoryMeter(machine)
    follower, recipe = Follower(job, events, machine), job.recipe
    # The settings come before the model: weights are shared out while they load only where sharding is already known.
    if isinstance(recipe, GrpoRecipe):
        grpo = grpo_settings(job, recipe, machine)
        model, tokenizer = load_model(job, machine)
        trainer, examples, closing = grpo_trainer(job, recipe, grpo, model, tokenizer, follower)
    else:
        sft = sft_settings(job, recipe, machine)
        model, tokenizer = load_model(job, machine)
        trainer, examples, closing = sft_trainer(job, recipe, sft, model, tokenizer, follower)
    with closing:
        complete = complete_checkpoints(job.output)
        resumed_at = int(complete[-1].name.removeprefix("checkpoint-")) if complete else 0
        follower.tell(
            Started(
                steps=job.recipe.training.steps,
                resumed_at=resumed_at,
                parameters=model.num_parameters(),
                examples=examples,
                device=machine.name,
                notes=machine.notes(job.recipe),
            )
        )
        follower.resume(complete)
        trainer.train(resume_from_checkpoint=str(complete[-1]) if complete else None)
        follower.tell(
            Finished(
                steps=trainer.state.global_step,
                tokens=int(trainer.state.num_input_tokens_seen),
                wall_seconds=follower.seconds(),
                peak_bytes=meter.peak_bytes(),
            )
        )
