"""Mixtures: one training set from several datasets, by weights, caps and a seed, in constant memory.

Every row gets a random place from the seed, its dataset and its number alone, so the same recipe makes the same set in
the same order on any machine. A sort on disk puts the rows where they belong.
"""

from __future__ import annotations

import heapq
import pickle
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from backend_jobs.datasets.convert import write_dataset
from backend_jobs.datasets.source import Source
from backend_jobs.datasets.sources import find_source
from backend_jobs.datasets.statistics import token_count
from backend_jobs.datasets.types import DatasetRejected, ReasoningRow
from backend_jobs.recipe_files import Count, Part, RunName, Seed, read_recipe
from leaderboard.datasets import DatasetReport
from settings import Settings


class MixturePart(Part):
    """One dataset of a mixture. `weight` is the share of its rows that is drawn, `cap` the most rows of it."""

    dataset: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    weight: Annotated[float, Field(gt=0, le=1)] = 1.0
    cap: Count | None = None
    verified: bool = False
    """Only rows that were checked and are right."""
    most_tokens: Count | None = None


class MixtureRecipe(Part):
    """Datasets that become one. Licences travel with the rows; mixing them warns and never refuses."""

    kind: Literal["mixture"]
    run: RunName
    seed: Seed
    parts: Annotated[tuple[MixturePart, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _each_part_once(self) -> Self:
        names = [(part.dataset, part.config, part.split) for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError("a dataset stands twice among the parts; name each once, with a larger weight or cap")
        return self


def load_mixture(path: Path) -> MixtureRecipe:
    """Read one mixture recipe. Raises RecipeRejected."""
    return read_recipe(path, {"mixture": MixtureRecipe})


def mix(recipe: MixtureRecipe, out: Path, settings: Settings) -> DatasetReport:
    """Write a mixture as a dataset into an empty folder. The report's warnings say what its licences ask for.

    Raises:
        DatasetRejected: a part cannot be read, gives no rows, or the folder is not empty.
        RowRejected: a row does not fit its dataset's form.
    """
    if out.exists() and any(out.iterdir()):
        raise DatasetRejected(f"{out} is not empty: name a new folder, so that no two datasets mix")
    made = [f"A mixture with seed {recipe.seed}:"]
    with tempfile.TemporaryDirectory(prefix="mixture-") as folder, closing(_sorter(Path(folder))) as rows:
        for part in recipe.parts:
            source = find_source(part.dataset, settings, config=part.config, split=part.split, revision=part.revision)
            taken = _take(part, source, recipe.seed, rows)
            if not taken:
                raise DatasetRejected(f"{part.dataset} gives no row to this mixture: check its weight and filters")
            made.append(f"* {part.dataset} (`{source.commit}`): {taken:,} rows, weight {part.weight:g}")
        return write_dataset(_in_order(rows), out, made="\n".join(made))


def _take(part: MixturePart, source: Source, seed: int, rows: sqlite3.Connection) -> int:
    """Hand a part's rows to the sort; returns how many."""
    chosen = _capped(part, source, seed)
    taken = 0
    for number, row in enumerate(source.reasoning_rows()):
        place = _place(part, seed, number)
        if _wanted(part, row, place) and (chosen is None or number in chosen):
            key = f"{place:.17f} {part.dataset} {part.config} {part.split} {number:012d}"
            rows.execute("INSERT INTO rows VALUES (?, ?)", (key, pickle.dumps(row)))
            taken += 1
    return taken


def _capped(part: MixturePart, source: Source, seed: int) -> set[int] | None:
    """The numbers of the `cap` wanted rows with the smallest places: a fixed, random choice. None without a cap."""
    if part.cap is None:
        return None
    places = ((_place(part, seed, number), number, row) for number, row in enumerate(source.reasoning_rows()))
    wanted = ((place, number) for place, number, row in places if _wanted(part, row, place))
    return {number for _, number in heapq.nsmallest(part.cap, wanted)}


def _wanted(part: MixturePart, row: ReasoningRow, place: float) -> bool:
    if place >= part.weight or (part.verified and row.verified is not True):
        return False
    return part.most_tokens is None or token_count(row) <= part.most_tokens


def _place(part: MixturePart, seed: int, number: int) -> float:
    """A number from 0 to 1 that depends on nothing but these."""
    text = f"{seed}\0{part.dataset}\0{part.config}\0{part.split}\0{number}".encode()
    return int.from_bytes(blake2b(text, digest_size=7).digest()) / 2**56


def _sorter(folder: Path) -> sqlite3.Connection:
    database = sqlite3.connect(folder / "rows.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("CREATE TABLE rows (place TEXT PRIMARY KEY, row BLOB NOT NULL) STRICT, WITHOUT ROWID")
    return database


def _in_order(rows: sqlite3.Connection) -> Iterator[ReasoningRow]:
    for (data,) in rows.execute("SELECT row FROM rows ORDER BY place"):
        yield pickle.loads(data)
