"""A recipe's training part in the words of transformers' TrainingArguments."""

from __future__ import annotations

import os
from typing import Any

from peft import LoraConfig

from backend_jobs.recipe_types import Lora, TinyModel
from backend_jobs.training.job import TrainingJob
from backend_jobs.training.machine import Machine

PROGRESS_EVENTS = 200
KEPT_TO_RESUME = 2
SMALL_BYTES = 40_000_000
ON_THE_CPU = "adamw_torch"
# The fused one holds no copy of all parameters while it steps.
OPTIMIZERS = {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_bnb_8bit", "paged_adamw_8bit": "paged_adamw_8bit"}


def on_gpu(job: TrainingJob, machine: Machine) -> bool:
    """Whether this run uses a GPU. A small model gains nothing from one, and so trains the same everywhere."""
    if not machine.gpu or isinstance(job.recipe.model, TinyModel) or job.weights is None:
        return False
    return sum(path.stat().st_size for path in job.weights.glob("*.safetensors")) >= SMALL_BYTES


def common_settings(job: TrainingJob, machine: Machine) -> dict[str, Any]:
    """What SFT and GRPO share."""
    training, with_gpu = job.recipe.training, on_gpu(job, machine)
    schedule: dict[str, Any] = {}
    if training.min_learning_rate_share is not None:
        schedule = {"min_lr_rate": training.min_learning_rate_share}
    if machine.tensorboard:
        os.environ["TENSORBOARD_LOGGING_DIR"] = str(job.work / "tensorboard")
    return {
        "output_dir": str(job.output),
        "max_steps": training.steps,
        "per_device_train_batch_size": training.batch_size,
        "gradient_accumulation_steps": training.accumulate,
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": training.schedule,
        "lr_scheduler_kwargs": schedule,
        "warmup_steps": training.warmup_steps,
        "weight_decay": training.weight_decay,
        "adam_beta1": training.adam_betas[0],
        "adam_beta2": training.adam_betas[1],
        "max_grad_norm": training.max_grad_norm,
        "optim": OPTIMIZERS[training.optimizer] if with_gpu else ON_THE_CPU,
        "bf16": training.precision == "bfloat16" and with_gpu,
        "gradient_checkpointing": training.gradient_checkpointing,
        "use_liger_kernel": training.liger and machine.liger,
        "use_cpu": not with_gpu,
        "seed": training.seed,
        "save_steps": training.save_every,
        "save_total_limit": KEPT_TO_RESUME,
        "logging_first_step": True,
        "logging_steps": max(1, training.steps // PROGRESS_EVENTS),
        "disable_tqdm": True,
        "report_to": ["tensorboard"] if machine.tensorboard else [],
    }


def adapters(lora: Lora | None) -> LoraConfig | None:
    """Low-rank adapters as peft wants them; None where all weights are trained."""
    if lora is None:
        return None
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        task_type="CAUSAL_LM",
    )
