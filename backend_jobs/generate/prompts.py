"""Problems as a stream: a dataset's rows through the recipe's columns and template, or a generator of ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from backend_jobs.datasets.licenses import UNKNOWN
from backend_jobs.datasets.source import Source
from backend_jobs.datasets.types import DatasetRejected, Dropped
from backend_jobs.generate.recipe import Prompts
from backend_jobs.training.arithmetic_data import training_chains

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One problem, ready to ask. `number` is its place in the source, from 0; `flaw` says why it cannot be asked.

    `target` is the right answer; `tests` the cases for a program, as JSON; either None where the recipe names none.
    """

    number: int
    id: str
    problem: str
    text: str
    source: str
    license: str
    target: str | None = None
    tests: str | None = None
    flaw: Dropped | None = None

    def to_bytes(self) -> bytes:
        """For the spool; `from_bytes` reads it."""
        return json.dumps(asdict(self), ensure_ascii=False).encode(errors="surrogatepass")

    @classmethod
    def from_bytes(cls, data: bytes) -> Prompt:
        """What `to_bytes` wrote."""
        values = json.loads(data.decode(errors="surrogatepass"))
        flaw = values.pop("flaw")
        return cls(**values, flaw=None if flaw is None else Dropped(**flaw))


def read_prompts(recipe: Prompts, source: Source | None) -> Iterator[Prompt]:
    """Every problem of a recipe, in the source's order. A row that cannot be asked comes with its flaw.

    Raises:
        DatasetRejected: a column that the recipe names does not exist at all, or the source cannot be read.
    """
    found = _generated(recipe) if source is None else _of_rows(recipe, source)
    return islice(found, recipe.limit)


def _generated(recipe: Prompts) -> Iterator[Prompt]:
    assert recipe.seed is not None
    for number, chain in enumerate(training_chains(recipe.seed)):
        yield Prompt(
            number=number,
            id=str(number),
            problem=chain.question,
            text=recipe.template.replace("{problem}", chain.question),
            source="arithmetic",
            license=recipe.license or "apache-2.0",
            target=str(chain.answer),
        )


def _of_rows(recipe: Prompts, source: Source) -> Iterator[Prompt]:
    place, first = 0, True
    for number, row in source.rows():
        if first:
            _check_columns(recipe, row, source.name)
            first = False
        if all(_value(row, column) in values for column, values in recipe.where.items()):
            yield _prompt(recipe, row, number, place, source)
            place += 1


def _check_columns(recipe: Prompts, row: Mapping[str, Any], name: str) -> None:
    named = [recipe.problem, recipe.answer, recipe.id, recipe.source, recipe.options, recipe.tests, *recipe.where]
    for column in named:
        if column is not None and column.partition(".")[0] not in row:
            raise DatasetRejected(f"{name} has no column {column!r}, which the recipe names; it has: {sorted(row)}")


def _prompt(recipe: Prompts, row: Mapping[str, Any], number: int, place: int, source: Source) -> Prompt:
    problem = _value(row, recipe.problem)
    target, tests = _given(row, recipe.answer), _given(row, recipe.tests)
    options = _lettered(_value(row, recipe.options)) if recipe.options else ""
    flaw = None
    if not isinstance(problem, str) or not problem.strip():
        flaw = Dropped(reason="unusable", detail=f"row {number}: {recipe.problem} holds no text")
    elif options is None:
        flaw = Dropped(reason="unusable", detail=f"row {number}: {recipe.options} is no list of up to 26 texts")
    elif (recipe.answer and target is None) or (recipe.tests and tests is None):
        flaw = Dropped(reason="unusable", detail=f"row {number}: {recipe.answer or recipe.tests} is empty")
    problem = problem if isinstance(problem, str) else ""
    text = recipe.template.replace("{options}", options or "").replace("{problem}", problem)
    given_id = _value(row, recipe.id) if recipe.id else None
    return Prompt(
        number=place,
        id=str(number if given_id is None else given_id),
        problem=problem,
        text=text,
        source=str((recipe.source and _value(row, recipe.source)) or source.name),
        license=recipe.license or source.license or UNKNOWN,
        target=target,
        tests=tests,
        flaw=flaw,
    )


def _value(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column, or of a part of it (`choices.text`); None where there is none."""
    value: Any = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _given(row: Mapping[str, Any], column: str | None) -> str | None:
    """A column as text: texts and numbers as they are, anything else as JSON; None where nothing is given."""
    value = None if column is None else _value(row, column)
    if value is None or value == "":
        return None
    return str(value) if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)


def _lettered(options: Any) -> str | None:
    """Options as lines `A) ...`; None where they are no list of texts."""
    if not isinstance(options, list) or not 2 <= len(options) <= len(LETTERS):
        return None
    return "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))


def fingerprint(problem: str) -> int:
    """63 bits that two problems share when they differ in case and white space alone."""
    plain = " ".join(problem.lower().split())
    return int.from_bytes(hashlib.blake2b(plain.encode(errors="surrogatepass"), digest_size=8).digest()) >> 1
