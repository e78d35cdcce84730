"""Checkpoints of a run: the trainer's own folders, and those handed on. Standard library only."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from evaluator.checkpoint import LINEAGE_FILE, is_served, read_lineage
from evaluator.types import Lineage

TRAINER_STATE = "trainer_state.json"


def handed_on(models: Path) -> list[tuple[Lineage, Path]]:
    """The complete checkpoints of one run, by step. `models` is the run's folder and may not exist yet."""
    found = [(read_lineage(folder), folder) for folder in sorted(models.glob("step-*"))]
    return [(lineage, folder) for lineage, folder in found if lineage is not None]


def hand_on(trained: Path, models: Path, *, origin: Lineage, weights: Path | None = None) -> tuple[Lineage, Path]:
    """Copy what an engine may see of a trainer's checkpoint to `models/step-<9 digits>`, with its lineage.

    `origin` is the lineage but for step and tokens, which the trainer's state tells. `weights` holds the weights where
    they lie elsewhere (merged adapters). The folder appears whole or not at all, also when the power fails; one that is
    already there is left as it is.
    """
    step, tokens = _progress(trained)
    lineage = replace(origin, step=step, tokens=tokens)
    target = models / f"step-{step:09d}"
    if target.exists():
        return read_lineage(target) or lineage, target
    partial = models / f".partial-{target.name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    # What lies in `weights` takes the place of what the trainer wrote.
    for folder in dict.fromkeys((trained, weights or trained)):
        for source in folder.iterdir():
            if source.is_file() and source.name != TRAINER_STATE and is_served(source.name):
                shutil.copyfile(source, partial / source.name)
    (partial / "adapter_model.safetensors").unlink(missing_ok=True)
    (partial / LINEAGE_FILE).write_text(json.dumps(asdict(lineage), indent=2) + "\n", encoding="utf-8")
    for path in (*partial.iterdir(), partial):
        _flush(path)
    partial.rename(target)
    _flush(models)
    return lineage, target


def complete_checkpoints(output: Path) -> list[Path]:
    """The trainer's checkpoints that can be resumed from, by step; torn ones are removed.

    The trainer writes its state last, so a folder whose state can be read is whole.
    """
    complete = []
    for folder in sorted(output.glob("checkpoint-*"), key=_step_of):
        try:
            _progress(folder)
        except (OSError, ValueError, KeyError):
            # Several processes of one run may find it at the same time.
            shutil.rmtree(folder, ignore_errors=True)
        else:
            complete.append(folder)
    return complete


def _progress(trained: Path) -> tuple[int, int]:
    """(step, tokens seen) as the trainer recorded them."""
    state = json.loads((trained / TRAINER_STATE).read_text(encoding="utf-8"))
    return int(state["global_step"]), int(state["num_input_tokens_seen"])


def _step_of(folder: Path) -> int:
    found = re.fullmatch(r"checkpoint-(\d+)", folder.name)
    return int(found[1]) if found else -1


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
