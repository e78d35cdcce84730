"""What is known of models beside their scores: size, kind, licence, base, day of release. Unknown stays unknown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from evaluator.errors import OpenR1Error
from evaluator.types import Lineage, ModelFacts, ModelKind

KIND_TAGS: Mapping[ModelKind, frozenset[str]] = {
    ModelKind.RL: frozenset({"grpo", "rl", "rlvr", "ppo", "dapo", "gspo", "rloo", "reinforcement-learning"}),
    ModelKind.DISTILLED: frozenset({"distillation", "distilled", "distill", "knowledge-distillation"}),
    ModelKind.SFT: frozenset({"sft", "supervised-fine-tuning"}),
}
"""Tags of model cards that name a way of training, the last step of a usual training first."""
METHOD_KINDS = {"sft": ModelKind.SFT, "grpo": ModelKind.RL}
MODEL_FILE = Path(__file__).resolve().parent / "data" / "models.jsonl"


class FactsUnreadable(OpenR1Error):
    """A line of the file of known models does not describe a model."""

    code = "facts_unreadable"


@lru_cache(maxsize=4)
def known_models(path: Path = MODEL_FILE) -> Mapping[str, ModelFacts]:
    """Facts that authors published on their model cards, by the model's name in lower case.

    Raises:
        FactsUnreadable: a line is not JSON, or a field is missing, unknown or of another type; names file and line.
    """
    known = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            data = json.loads(line)
            name = str(data.pop("model")).lower()
            if unknown := data.keys() - {field.name for field in fields(ModelFacts)}:
                raise FactsUnreadable(f"{path.name} line {number} has fields that no model has: {sorted(unknown)}")
            known[name] = TypeAdapter(ModelFacts).validate_python(data)
        except (ValueError, LookupError, AttributeError, TypeError, ValidationError) as error:
            raise FactsUnreadable(f"{path.name} line {number} does not describe a model: {error!r}") from error
    return known


def stated_facts(*, parameters: int | None, licence: str | None, base: str | None, tags: Iterable[str]) -> ModelFacts:
    """What files and card of a model say. `tags` are the card's; the last step named there is the model's kind."""
    words = {tag.lower() for tag in tags}
    kind = next((kind for kind, names in KIND_TAGS.items() if words & names), None)
    return ModelFacts(parameters=parameters, kind=kind, licence=licence, base=base)


def trained_facts(lineage: Lineage | None) -> ModelFacts | None:
    """What a run of ours says of its checkpoints; None for weights from elsewhere."""
    if lineage is None:
        return None
    return ModelFacts(kind=METHOD_KINDS.get(lineage.method or ""), base=lineage.parent)


def merged(*sources: ModelFacts | None) -> ModelFacts:
    """Each fact from the first source that knows it."""
    there = [source for source in sources if source is not None]
    return ModelFacts(
        **{
            field.name: next((value for source in there if (value := getattr(source, field.name)) is not None), None)
            for field in fields(ModelFacts)
        }
    )
