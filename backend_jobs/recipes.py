"""Recipes: YAML files that say what to train, on what, and how. Nothing that decides the weights has a default."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from evaluator.benchmarks import BENCHMARKS
from evaluator.errors import OpenR1Error

LARGEST_SEED = 2**32 - 1


class RecipeRejected(OpenR1Error):
    """A recipe file is missing, is not YAML, or asks for something that does not exist."""

    code = "recipe_rejected"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


class TinyModel(_Part):
    """A fresh character-level Qwen2 of 0.6 M parameters (`backend_jobs/training/tiny_model.py`)."""

    builder: Literal["tiny"]
    seed: Seed


class ArithmeticData(_Part):
    """Worked chains of digits, none of them from the benchmark (`backend_jobs/training/arithmetic_data.py`)."""

    generator: Literal["arithmetic"]
    seed: Seed
    size: Count


class SftTraining(_Part):
    """How to train. `batch_size` is in examples, `warmup_steps` and `save_every` in optimizer steps."""

    steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    schedule: Literal["constant_with_warmup", "cosine", "linear"]
    warmup_steps: Annotated[int, Field(ge=0)]
    save_every: Count
    seed: Seed


class SftRecipe(_Part):
    """Supervised fine-tuning. Its checkpoints appear on the board as `local/<run>`, one for each `save_every` steps."""

    kind: Literal["sft"]
    run: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$", max_length=64)]
    model: TinyModel
    data: ArithmeticData
    training: SftTraining
    benchmarks: Annotated[tuple[str, ...], Field(strict=False)]

    @field_validator("benchmarks")
    @classmethod
    def _known_and_unique(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in BENCHMARKS:
                near = _nearest(name, list(BENCHMARKS))
                raise ValueError(f"there is no benchmark {name!r}{near}; use some of: {', '.join(BENCHMARKS)}")
        if len(set(names)) < len(names):
            raise ValueError("a benchmark is named twice; name each once")
        return names

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps after which a checkpoint is kept: every `save_every`, and the last."""
        steps, every = self.training.steps, self.training.save_every
        return (*range(every, steps, every), steps)


Recipe = SftRecipe
KINDS: dict[str, type[Recipe]] = {"sft": SftRecipe}


def load_recipe(path: Path) -> Recipe:
    """Read one recipe file.

    Raises:
        RecipeRejected: every fault in one message, each with its key, what was expected and the nearest valid key.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise RecipeRejected(f"{path} cannot be read ({error.strerror}); give the path of a recipe file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeRejected(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise RecipeRejected(f"{path} holds {_shown(data)}, expected a mapping that begins with `kind:`")
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        near = _nearest(kind, list(KINDS)) if isinstance(kind, str) else ""
        raise RecipeRejected(f"{path}: kind is {_shown(kind)}, expected one of: {', '.join(KINDS)}{near}")
    model = KINDS[kind]
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_fault(model, dict(fault)) for fault in error.errors(include_url=False)]
        raise RecipeRejected(f"{path}: {'; '.join(faults)}") from error


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 over everything that decides the weights: 64 hex digits.

    The run's name and the benchmarks are left out: neither changes what is learned.
    """
    deciding = recipe.model_dump(mode="json", exclude={"run", "benchmarks"})
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets a key stand twice and keeps the last one in silence; here that is a fault."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} stands twice; keep one", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _fault(model: type[BaseModel], fault: dict[str, Any]) -> str:
    """One pydantic error in our words."""
    *parents, key = [str(part) for part in fault["loc"]]
    name = ".".join([*parents, key])
    if fault["type"] == "extra_forbidden":
        valid = list(_part_at(model, parents).model_fields)
        return f"{name} is not a key here{_nearest(key, valid)}; the keys are: {', '.join(valid)}"
    if fault["type"] == "missing":
        return f"{name} is missing"
    if fault["type"] == "value_error":
        return f"{name}: {fault['ctx']['error']}"
    return f"{name} is {_shown(fault['input'])}, expected {_expected(model, fault)}"


def _expected(model: type[BaseModel], fault: dict[str, Any]) -> str:
    match fault["type"]:
        case "model_type":
            keys = _part_at(model, [str(part) for part in fault["loc"]]).model_fields
            return f"a mapping with the keys: {', '.join(keys)}"
        case "tuple_type":
            return "a list: [...]"
        case "string_pattern_mismatch":
            return "letters and digits, with single dots, dashes or underscores between them"
        case "int_type":
            return "a whole number"
        case "float_type":
            return f"a number{_as_number(fault['input'])}"
    return str(fault["msg"]).removeprefix("Input should be ").removeprefix("String should ")


def _part_at(model: type[BaseModel], parents: list[str]) -> type[BaseModel]:
    for name in parents:
        part = model.model_fields[name].annotation
        assert isinstance(part, type)
        assert issubclass(part, BaseModel)
        model = part
    return model


def _nearest(name: str, valid: list[str]) -> str:
    close = get_close_matches(name, valid, n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def _as_number(value: object) -> str:
    """YAML 1.1 reads 3e-3 as text: only a number with a decimal point may have an exponent."""
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        number = None
    return "" if number is None else f"; write {number}, without quotes and with a decimal point"


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
