"""Adapters merged into the weights they adapt, so that a checkpoint can be served by itself."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import AutoPeftModelForCausalLM

MERGED = "merged"


def merged_folder(trained: Path, base: Path | None) -> Path:
    """A folder with the whole weights of a trainer's adapter checkpoint, made beside it on the CPU; returns it.

    `base` is the folder of the adapted model; the trainer's files (tokenizer, templates) are taken as they are.
    """
    target = trained / MERGED
    if target.exists():
        return target
    partial = trained / f".{MERGED}"
    model = AutoPeftModelForCausalLM.from_pretrained(
        trained, config=None, base_model_name_or_path=str(base) if base else None, dtype=torch.float32
    )
    model.merge_and_unload().save_pretrained(partial)
    partial.rename(target)
    return target
