"""The weights behind a name: looked at first, judged and planned for, and only then downloaded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from evaluator.checkpoint import ModelShape, local_checkpoint
from evaluator.errors import Cancelled
from evaluator.template import read_template
from evaluator.types import Checkpoint
from leaderboard import hub
from leaderboard.facts import stated_facts
from leaderboard.inspection import Inspection, inspect_folder, inspect_revision, templates_beside
from leaderboard.submissions import ResolvedModel, resolve_folder
from settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A checkpoint whose config, tokenizer and template are at hand; its weights are, or can be downloaded.

    `checkpoint.path` is the folder where all of it will be. `shape.weight_bytes` is the size of all weight files.
    """

    checkpoint: Checkpoint
    shape: ModelShape
    on_hub: bool


def find_weights(model: str, revision: str | None, settings: Settings) -> Weights:
    """What a name means now: a local folder as it is, a Hub id at one commit by its small files and headers.

    Raises:
        CheckpointRejected: there is no such folder or repository, or it holds nothing that can be served.
    """
    folder = Path(model)
    if folder.is_dir():
        seen = inspect_folder(folder)
        facts = stated_facts(parameters=_counted(seen), licence=None, base=None, tags=())
        return Weights(checkpoint=replace(local_checkpoint(folder), facts=facts), shape=seen.shape, on_hub=False)
    found = hub.resolve_commit(model, revision, token=settings.hub_token)
    into = settings.data_dir / "hub" / model.replace("/", "--") / found.commit
    seen = inspect_revision(found, into, token=settings.hub_token)
    facts = stated_facts(parameters=_counted(seen), licence=found.licence, base=found.base, tags=found.tags)
    checkpoint = Checkpoint(model=model, revision=revision, commit=found.commit, path=into, facts=facts)
    return Weights(checkpoint=checkpoint, shape=seen.shape, on_hub=True)


def _counted(seen: Inspection) -> int | None:
    """The parameters; unknown where several are packed into one stored number."""
    return seen.parameters if seen.quantization is None else None


def with_templates(checkpoint: Checkpoint, settings: Settings) -> Checkpoint:
    """The checkpoint with its chat template beside that of the model it was trained from."""
    assert checkpoint.path is not None
    named = checkpoint.facts.base if checkpoint.facts and checkpoint.facts.base else None
    base = named or (checkpoint.lineage.parent if checkpoint.lineage else None)
    templates = templates_beside(read_template(checkpoint.path).text, base, token=settings.hub_token)
    return replace(checkpoint, templates=templates)


def download(weights: Weights, settings: Settings, say: Callable[[str], None], cancelled: threading.Event) -> None:
    """Bring the weights of a Hub checkpoint here; those of a local one are.

    Raises:
        Cancelled: `cancelled` was set; what was downloaded stays, and the next call continues.
        CheckpointRejected: too large, no access, no space, or the Hub cannot be reached.
    """
    checkpoint = weights.checkpoint
    if not weights.on_hub or checkpoint.commit is None or checkpoint.path is None:
        return

    def show(done: int, total: int) -> None:
        if cancelled.is_set():
            raise Cancelled("the download was cancelled; what is here stays, run it again to continue")
        say(f"downloading {checkpoint.model}: {done / 1e9:.2f} of {total / 1e9:.2f} GB")

    hub.download_checkpoint(
        checkpoint.model, checkpoint.commit, checkpoint.path, token=settings.hub_token, progress=show
    )


def resolve_model(model: str, revision: str | None, settings: Settings) -> ResolvedModel:
    """The weights behind what a form names: a local folder's hash, or the Hub commit that a revision is now.

    On a Space a name is never a folder, whatever lies in the program's own.
    """
    if settings.space is None and Path(model).is_dir():
        return resolve_folder(Path(model))
    found = hub.resolve_commit(model, revision, token=settings.hub_token)
    return ResolvedModel(model=model, source=model, revision=revision, commit=found.commit)
