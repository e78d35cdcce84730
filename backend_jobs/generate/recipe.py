"""What a generation recipe may say. Nothing that decides a row has a default; a filter that is not named is off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from backend_jobs.recipe_files import Count, Part, RecipeRejected, RunName, Seed, nearest, read_recipe
from evaluator.benchmarks import BENCHMARKS

Share = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "zh", "ja", "ko", "ru", "ar", "hi")


class Prompts(Part):
    """Where problems come from: a dataset's columns, or a generator of ours.

    `problem`, `answer`, `id`, `source`, `options` and `tests` name columns; a dot goes into a column's parts
    (`choices.text`). `where` keeps rows whose column holds one of the values. In `template`, `{problem}` and
    `{options}` (lettered lines) are replaced; other braces stay as they are.
    """

    dataset: str | None = None
    generator: Literal["arithmetic"] | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    problem: str = "problem"
    answer: str | None = None
    id: str | None = None
    source: str | None = None
    options: str | None = None
    tests: str | None = None
    where: dict[str, Annotated[tuple[str | int | bool, ...], Field(strict=False)]] = Field(default_factory=dict)
    license: str | None = None
    seed: Seed | None = None
    limit: Count | None = None
    template: str
    system: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.dataset is None) == (self.generator is None):
            raise ValueError("name a `dataset`, or a `generator`, and not both")
        if self.generator is not None and (self.seed is None or self.limit is None):
            raise ValueError("a generator needs a `seed` and a `limit`: how many problems to draw")
        if "{problem}" not in self.template:
            raise ValueError("template lacks {problem}, so no problem would be asked")
        if ("{options}" in self.template) != (self.options is not None):
            raise ValueError("template's {options} and the column `options` belong together: give both or neither")
        return self


class Teacher(Part):
    """Who writes. `name` is a Hub id, a folder, or with `endpoint` the name that it serves.

    `local/<run>` is a model that was trained here, after `step` of its steps or all of them.
    """

    name: str
    step: Count | None = None
    revision: str | None = None
    endpoint: str | None = None
    tensor_parallel_size: Count | None = None


class Decoding(Part):
    """Every parameter of sampling. `max_tokens` is the answer budget; `seed` draws every sample's own seed."""

    samples: Count
    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: Annotated[int, Field(ge=0)] = 0
    min_p: Share = 0.0
    max_tokens: Count
    seed: Seed


class Verify(Part):
    """How answers are checked: `math` and `letter` by the evaluator's grader, `code` by a sandbox, or not at all.

    `sandbox` is the address of a Piston server, `language` and `version` what it runs (`*` is any version).
    """

    kind: Literal["math", "letter", "code", "none"]
    sandbox: str | None = None
    language: str | None = None
    version: str = "*"
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0

    @model_validator(mode="after")
    def _code_needs_a_language(self) -> Self:
        if self.kind == "code" and self.language is None:
            raise ValueError("code needs the `language` that the sandbox runs")
        return self


class Bounds(Part):
    """Tokens that an answer may have, both bounds included."""

    least: Count | None = None
    most: Count | None = None


class PassRate(Part):
    """Problems are kept whose share of right samples lies strictly between the two."""

    above: Annotated[float, Field(ge=-1, le=1)]
    below: Annotated[float, Field(ge=0, le=2)]


class Filters(Part):
    """What is dropped, each with a reason of its own. See `backend_jobs/datasets/filters.py`."""

    verified: bool = False
    """Keep only what was checked and is right."""
    thought: bool = False
    """Drop answers without a closed thought."""
    complete: bool = False
    """Drop answers that the token budget cut off."""
    tokens: Bounds | None = None
    repetition: Share | None = None
    """Drop answers of which more than this share is repetition."""
    languages: Names | None = None
    """Drop answers that are mostly in another language."""
    pass_rate: PassRate | None = None
    duplicates: bool = False
    """Drop problems that came before, and an answer that the same problem has already."""
    decontaminate: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Drop problems that overlap with these benchmarks."""
    per_problem: Count | None = None
    """Keep at most so many answers of one problem, the shortest ones."""

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        for name in self.decontaminate:
            if name not in BENCHMARKS:
                raise ValueError(f"there is no benchmark {name!r}{nearest(name, list(BENCHMARKS))}")
        for name in self.languages or ():
            if name not in LANGUAGES:
                raise ValueError(f"language {name!r} is not told apart here; use some of: {', '.join(LANGUAGES)}")
        return self


class Price(Part):
    """What the teacher costs: its machines by the hour, or its answers by the million tokens; in `currency`."""

    per_hour: Annotated[float, Field(ge=0)] = 0.0
    per_million_tokens: Annotated[float, Field(ge=0)] = 0.0
    currency: str = "USD"


class Output(Part):
    """Where rows go. `hub` is a dataset repository that gets every `push_every` shards, private unless `public`."""

    rows_per_shard: Count = 5000
    hub: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    public: bool = False
    push_every: Count = 10


class GenerateRecipe(Part):
    """Prompts, a teacher, checks and filters: one dataset, `datasets/<run>` in the data folder."""

    kind: Literal["generate"]
    run: RunName
    prompts: Prompts
    teacher: Teacher
    decoding: Decoding
    verify: Verify
    filters: Filters
    price: Price = Price()
    output: Output = Output()

    @model_validator(mode="after")
    def _filters_have_what_they_need(self) -> Self:
        checked = self.verify.kind != "none"
        if (self.filters.verified or self.filters.pass_rate) and not checked:
            raise ValueError(
                "filters.verified and filters.pass_rate need answers that are checked: verify.kind is none"
            )
        wanted = {"math": "answer", "letter": "answer", "code": "tests"}.get(self.verify.kind)
        if wanted and self.prompts.dataset and getattr(self.prompts, wanted) is None:
            raise ValueError(f"verify.kind {self.verify.kind} needs the column prompts.{wanted}")
        return self


def load_generate_recipe(path: Path) -> GenerateRecipe:
    """Read one generation recipe. Raises RecipeRejected with every fault in one message."""
    return read_recipe(path, {"generate": GenerateRecipe})


def overridden(recipe: GenerateRecipe, **changes: Any) -> GenerateRecipe:
    """The recipe with flags of the command line in place: names are `part__key`; None changes nothing.

    Raises:
        RecipeRejected: the outcome is no valid recipe.
    """
    data = recipe.model_dump(mode="json")
    for name, value in changes.items():
        if value is not None:
            part, _, key = name.partition("__")
            data[part][key] = value
    try:
        return GenerateRecipe.model_validate(data)
    except ValueError as error:
        raise RecipeRejected(f"the flags do not fit the recipe {recipe.run}: {error}") from error
