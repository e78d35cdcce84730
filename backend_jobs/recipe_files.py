"""Recipe files: YAML read strictly, every fault in one message with its key and what was expected."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, Tag, ValidationError

from evaluator.errors import OpenR1Error

LARGEST_SEED = 2**32 - 1
VERBS = {"sft": "train", "grpo": "train", "generate": "generate", "mixture": "data mix"}
"""Which verb runs a recipe of each kind."""


class RecipeRejected(OpenR1Error):
    """A recipe file is missing, is not YAML, or asks for something that does not exist."""

    code = "recipe_rejected"


class Part(BaseModel):
    """A mapping of a recipe: frozen, strict, and without keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$", max_length=64)]
R = TypeVar("R", bound=BaseModel)


def recipe_data(path: Path) -> dict[str, Any]:
    """The mapping in a recipe file. Raises RecipeRejected."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise RecipeRejected(f"{path} cannot be read ({error.strerror}); give the path of a recipe file") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RecipeRejected(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise RecipeRejected(f"{path} holds {_shown(data)}, expected a mapping that begins with `kind:`")
    return data


def read_recipe(path: Path, kinds: Mapping[str, type[R]]) -> R:
    """Read one recipe file of the given kinds.

    Raises:
        RecipeRejected: every fault in one message, each with its key, what was expected and the nearest valid key.
    """
    data = recipe_data(path)
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        near = nearest(kind, list(kinds)) if isinstance(kind, str) else ""
        verb = f"; run it with `{VERBS[kind]}`" if isinstance(kind, str) and kind in VERBS else near
        raise RecipeRejected(f"{path}: kind is {_shown(kind)}, expected one of: {', '.join(kinds)}{verb}")
    model = kinds[kind]
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults = [_fault(model, dict(fault)) for fault in error.errors(include_url=False)]
        raise RecipeRejected(f"{path}: {'; '.join(faults)}") from error


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
    *parents, key = fault["loc"] or ("",)
    part, place = _part_at(model, parents)
    name = ".".join([*place, str(key)]) if fault["loc"] else ""
    match fault["type"]:
        case "extra_forbidden":
            valid = list(part.model_fields) if part else []
            return f"{name} is not a key here{nearest(str(key), valid)}; the keys are: {', '.join(valid)}"
        case "missing":
            return f"{name} is missing"
        case "value_error":
            _, place = _part_at(model, fault["loc"])
            return f"{'.'.join(place) or 'this recipe'}: {fault['ctx']['error']}"
        case "union_tag_invalid":
            tag, valid = str(fault["ctx"]["tag"]), fault["ctx"]["expected_tags"].replace("'", "").split(", ")
            return f"{name}.name is {tag!r}, which is none{nearest(tag, valid)}; they are: {', '.join(valid)}"
        case "union_tag_not_found":
            return f"{name}.name is missing"
        case "which_model" | "which_data":
            return f"{name}: {fault['msg']}"
    return f"{name} is {_shown(fault['input'])}, expected {_expected(model, fault)}"


def _expected(model: type[BaseModel], fault: dict[str, Any]) -> str:
    match fault["type"]:
        case "model_type" | "model_attributes_type":
            part, _ = _part_at(model, fault["loc"])
            return f"a mapping with the keys: {', '.join(part.model_fields if part else ())}"
        case "tuple_type":
            return "a list: [...]"
        case "string_pattern_mismatch":
            return "letters and digits, with single dots, dashes or underscores between them"
        case "int_type":
            return "a whole number"
        case "float_type":
            return f"a number{_as_number(fault['input'])}"
    return str(fault["msg"]).removeprefix("Input should be ").removeprefix("String should ")


def _part_at(model: type[BaseModel], location: Sequence[str | int]) -> tuple[type[BaseModel] | None, list[str]]:
    """The part of a recipe at a pydantic location, and the location as it stands in the file (without union tags)."""
    here: Any = model
    place: list[str] = []
    for step in location:
        members = _members(here)
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(step))
            here = field.annotation if field else None
            place.append(str(step))
        elif isinstance(step, int):
            here = next(iter(get_args(_without_none(here))), None)
            place.append(str(step))
        elif get_origin(_without_none(here)) is dict:
            here = get_args(_without_none(here))[1]
            place.append(str(step))
        elif step in members:
            here = members[str(step)]
        else:
            here = None
            place.append(str(step))
    here = _without_none(here)
    return (here if isinstance(here, type) and issubclass(here, BaseModel) else None), place


def _members(annotation: Any) -> dict[str, type[BaseModel]]:
    """The members of a tagged union by their tags; of `X | None`, nothing."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    found: dict[str, type[BaseModel]] = {}
    for member in get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ():
        kind, *notes = get_args(member) if get_origin(member) is Annotated else (member,)
        tags = [note.tag for note in notes if isinstance(note, Tag)]
        if not tags and isinstance(kind, type) and issubclass(kind, BaseModel) and "name" in kind.model_fields:
            tags = list(get_args(kind.model_fields["name"].annotation))
        found |= dict.fromkeys(tags, kind)
    return found


def _without_none(annotation: Any) -> Any:
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return kinds[0] if get_origin(annotation) in (Union, UnionType) and len(kinds) == 1 else annotation


def nearest(name: str, valid: list[str]) -> str:
    """`, did you mean 'x'?`, or nothing where no valid name is near."""
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
