"""The demonstration: an empty board trains a small model here and measures its checkpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from backend_jobs.generate.recipe import load_generate_recipe
from backend_jobs.recipe_files import recipe_data
from backend_jobs.recipes import load_recipe
from leaderboard.contracts import JobQueue
from leaderboard.submissions import new_job_id
from leaderboard.types import JobKind, JobRecord, Submission

DEMO_RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "sft" / "arithmetic.yaml"


def queue_demo(queue: JobQueue) -> JobRecord | None:
    """Queue the demonstration training where nothing was ever submitted; None otherwise."""
    return (
        None if queue.jobs() else queue.submit(training_submission(DEMO_RECIPE, note="Demonstration of the whole loop"))
    )


class Demonstration:
    """Queues the demonstration once, as soon as the store can be read: called by the clock until it is done."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue, self._done = queue, False

    def turn(self) -> None:
        """Queue it, or find that it is not needed. Raises StoreUnusable where neither can be known yet."""
        if not self._done:
            queue_demo(self._queue)
            self._done = True


def recipe_submission(recipe: Path, *, note: str = "", submitted_by: str = "local") -> Submission:
    """The job of one recipe file, whatever its kind. Raises RecipeRejected where the file is no recipe of a job."""
    if recipe_data(recipe).get("kind") != "generate":
        return training_submission(recipe, note=note, submitted_by=submitted_by)
    return Submission(
        id=new_job_id(),
        kind=JobKind.GENERATE,
        model=f"local/{load_generate_recipe(recipe).run}",
        recipe=str(recipe.resolve()),
        submitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        submitted_by=submitted_by,
        note=note,
    )


def training_submission(recipe: Path, *, note: str = "", submitted_by: str = "local") -> Submission:
    """A training job for one recipe file. Raises RecipeRejected where the file is not a recipe."""
    return Submission(
        id=new_job_id(),
        kind=JobKind.TRAIN,
        model=f"local/{load_recipe(recipe).run}",
        recipe=str(recipe),
        submitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        submitted_by=submitted_by,
        note=note,
    )
