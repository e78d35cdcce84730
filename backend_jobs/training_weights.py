"""The weights that a run begins with, on this machine, and how its lineage names them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend_jobs import weights as hub_weights
from backend_jobs.known_models import weights_folder
from backend_jobs.recipe_types import HubModel, Model, TinyModel
from evaluator.checkpoint import local_checkpoint
from settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Begins:
    """`folder` is None for a fresh tiny model; `parent` is `model@commit`, or None where nothing came before."""

    folder: Path | None = None
    parent: str | None = None


def find_weights(model: Model, settings: Settings, say: Callable[[str], None], cancelled: threading.Event) -> Begins:
    """Find the weights, downloading those of the Hub once, at the commit that the revision stands for.

    Raises:
        RecipeRejected, CheckpointRejected: they are not there, or hold nothing that can be loaded.
        Cancelled: `cancelled` was set while downloading.
    """
    if isinstance(model, TinyModel):
        return Begins()
    if isinstance(model, HubModel):
        found = hub_weights.find_weights(model.repo, model.revision, settings)
        hub_weights.download(found, settings, say, cancelled)
        checkpoint = found.checkpoint
        return Begins(folder=checkpoint.path, parent=f"{checkpoint.model}@{checkpoint.commit}")
    folder = weights_folder(model, settings)
    here = local_checkpoint(folder)
    return Begins(folder=folder.resolve(), parent=f"{here.model}@{here.revision or here.commit}")
