"""What a training process is asked to do, as one JSON file. Standard library and recipes only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend_jobs.recipe_types import Recipe
from backend_jobs.recipes import recipe_from_json

JOB_FILE = "job.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingJob:
    """One recipe, with everything around it found: the process needs no network and no token.

    `models` gets whole checkpoints, `work` is the trainer's own folder, `events` gets one JSON line an event. `weights`
    is the folder of the model to begin with, None for a fresh tiny one; `rows` the file of prepared rows, None for
    generated ones. `parent` and `data` say in the lineage what those are.
    """

    recipe: Recipe
    recipe_hash: str
    models: Path
    work: Path
    events: Path
    weights: Path | None = None
    rows: Path | None = None
    parent: str | None = None
    data: str = ""

    @property
    def begins(self) -> Path:
        """The folder with the weights that the run begins with; for a fresh model, where the process puts them."""
        return self.weights or self.work / "begins"

    @property
    def output(self) -> Path:
        """Where the trainer keeps what it resumes from."""
        return self.work / "trainer"


def write_job(job: TrainingJob, path: Path) -> None:
    """Write the file that `read_job` reads, whole or not at all."""
    content = {field: value for field, value in asdict(job).items() if field != "recipe"}
    content["recipe"] = job.recipe.model_dump(mode="json")
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2, default=str), encoding="utf-8")
    partial.rename(path)


def read_job(path: Path) -> TrainingJob:
    """The job that `write_job` wrote."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    paths = {name: Path(data[name]) for name in ("models", "work", "events")}
    return TrainingJob(
        recipe=recipe_from_json(data["recipe"]),
        recipe_hash=data["recipe_hash"],
        parent=data["parent"],
        data=data["data"],
        weights=Path(data["weights"]) if data["weights"] else None,
        rows=Path(data["rows"]) if data["rows"] else None,
        **paths,
    )
