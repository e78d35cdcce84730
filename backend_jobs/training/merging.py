"""Adapters merged into the weights they adapt, so that a checkpoint can be served by itself."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel

MERGED = "merged"


def merged_folder(trained: Path, base: Path) -> Path:
    """A folder with the whole weights of a trainer's adapter checkpoint, made beside it on the CPU; returns it.

    `base` is the folder of the adapted model. Merging apart leaves the weights in training untouched: taking adapters
    out again would round them, and a resumed run would no longer be the same.
    """
    target = trained / MERGED
    if target.exists():
        return target
    partial = trained / f".{MERGED}"
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    PeftModel.from_pretrained(model, trained).merge_and_unload().save_pretrained(partial)
    partial.rename(target)
    return target
