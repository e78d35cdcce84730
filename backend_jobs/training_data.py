"""The rows that a recipe trains on: found and checked before anything heavy, then written for the training."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from backend_jobs.datasets.readers import ALSO_KNOWN_AS, DATASETS
from backend_jobs.datasets.source import Source
from backend_jobs.datasets.sources import find_source
from backend_jobs.datasets.training_rows import training_examples
from backend_jobs.prompting import fields, value_at
from backend_jobs.recipe_files import RecipeRejected, nearest
from backend_jobs.recipe_types import ArithmeticData, GrpoRecipe, HubData, Recipe
from backend_jobs.training.arithmetic_data import problem_rows
from settings import Settings

ROWS_FILE = "rows.jsonl"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundData:
    """What a recipe's `data` stands for. `source` is None for generated rows; `first` is the first row."""

    described: str
    first: Mapping[str, Any]
    source: Source | None = None


def find_data(recipe: Recipe, settings: Settings) -> FoundData:
    """Find the recipe's rows and check the columns that it names against the first one; reads no more than that.

    Raises:
        DatasetRejected, DatasetUnavailable: the dataset, config or split is not there, or cannot be reached.
        RecipeRejected: a column that the recipe names is not there.
    """
    data = recipe.data
    if isinstance(data, ArithmeticData):
        first = next(problem_rows(seed=data.seed, size=1))
        found = FoundData(described=f"arithmetic, seed {data.seed}, {data.size} problems", first=first)
    else:
        source = find_source(
            data.dataset, settings, config=data.config, split=data.split, revision=data.revision or None
        )
        _, row = next(source.rows(), (0, None))
        if row is None:
            raise RecipeRejected(f"data.dataset {data.dataset} has no rows in split {data.split!r}")
        where = " ".join(part for part in (data.config, data.split) if part)
        found = FoundData(described=f"{data.dataset}@{source.commit} {where}", first=row, source=source)
    _check_columns(recipe, found.first)
    return found


def write_rows(recipe: Recipe, found: FoundData, work: Path) -> Path | None:
    """The rows as the training process reads them, written once; None for generated rows."""
    if found.source is None:
        return None
    path = work / ROWS_FILE
    if path.exists():
        return path
    assert isinstance(recipe.data, HubData)
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as stream:
        for row in _chosen(_rows(recipe, found.source), recipe.data):
            stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    partial.rename(path)
    return path


def columns_of(recipe: Recipe) -> dict[str, str]:
    """The columns that a recipe reads, each with the place of the recipe that names it."""
    if not isinstance(recipe, GrpoRecipe):
        column = recipe.data.messages if isinstance(recipe.data, HubData) else None
        return {column: "data.messages"} if column else {}
    named = dict.fromkeys(fields(recipe.prompt.user), "prompt.user")
    if recipe.prompt.gold:
        named[recipe.prompt.gold.column] = "prompt.gold.column"
    if recipe.prompt.image:
        named[recipe.prompt.image] = "prompt.image"
    for reward in recipe.rewards:
        named |= dict.fromkeys(reward.columns, f"the reward {reward.name}")
    return named


def _check_columns(recipe: Recipe, row: Mapping[str, Any]) -> None:
    for column, place in columns_of(recipe).items():
        try:
            value_at(row, column)
        except KeyError:
            there = sorted(row)
            raise RecipeRejected(
                f"{place} names the column {column!r}, which the data do not have{nearest(column, there)}; "
                f"the columns are: {', '.join(there)}"
            ) from None
    if not isinstance(recipe, GrpoRecipe) and isinstance(recipe.data, HubData) and not recipe.data.messages:
        _check_layout(recipe.data.dataset, row)


def _check_layout(dataset: str, row: Mapping[str, Any]) -> None:
    """Without a column of messages, the dataset must be one that is known, or of the project's own schema."""
    known = ALSO_KNOWN_AS.get(dataset, dataset) in DATASETS
    if not known and "reasoning" not in row:
        raise RecipeRejected(
            f"{dataset} is not a dataset whose layout is known here ({', '.join(DATASETS)}); name its column of "
            f"messages in data.messages; the columns are: {', '.join(sorted(row))}"
        )


def _rows(recipe: Recipe, source: Source) -> Iterator[dict[str, Any]]:
    assert isinstance(recipe.data, HubData)
    if isinstance(recipe, GrpoRecipe):
        wanted = sorted({name.partition(".")[0] for name in columns_of(recipe)})
        yield from ({name: _storable(row[name]) for name in wanted} for _, row in source.rows())
    elif recipe.data.messages:
        yield from (_conversation(row[recipe.data.messages]) for _, row in source.rows())
    else:
        yield from training_examples(source.reasoning_rows())


def _chosen(rows: Iterator[dict[str, Any]], data: HubData) -> Iterator[dict[str, Any]]:
    """The rows in the order that the recipe asks for, no more than it asks for."""
    if data.shuffle_seed is None:
        return islice(rows, data.rows)
    everything = list(rows)
    random.Random(data.shuffle_seed).shuffle(everything)
    return islice(iter(everything), data.rows)


def _conversation(messages: list[dict[str, str]]) -> dict[str, Any]:
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
    return {"prompt": turns[:-1], "completion": turns[-1:]}


def _storable(value: Any) -> Any:
    """A value as JSON can hold it: an image's bytes as base64."""
    if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
        return {"base64": base64.b64encode(value["bytes"]).decode("ascii")}
    return value
