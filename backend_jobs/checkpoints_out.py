"""Every checkpoint of a training finds its way to the board: from its folder here, or as a revision on the Hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from backend_jobs.pushing import WAITS, Pushed, Pusher, model_repository
from backend_jobs.recipes import Recipe
from backend_jobs.train import run_folders
from backend_jobs.training.events import CheckpointReady
from evaluator.checkpoint import checkpoint_revision
from evaluator.types import Lineage
from leaderboard.contracts import JobQueue
from leaderboard.hub_store import Waits
from leaderboard.store import StoreUnusable, VersionConflict
from leaderboard.submissions import ResolvedModel, SubmissionRejected, check_submission, resolve_folder
from leaderboard.types import JobRecord
from settings import Settings

Say = Callable[[str], None]


@contextmanager
def to_the_board(
    recipe: Recipe,
    settings: Settings,
    queue: JobQueue | None,
    *,
    say: Say,
    submitted_by: str = "local",
    waits: Waits = WAITS,
    endpoint: str | None = None,
) -> Iterator[Callable[[CheckpointReady], None]]:
    """What to call with each checkpoint. Where the recipe has `hub`, it is pushed, and submitted once it is there.

    At the end of the block what is still on its way is waited for; where the block fails, or is cancelled, it is not.

    Raises:
        RecipeRejected, PushRefused, PushLater: before anything is trained, the repository cannot be written to.
        NotPushed: at the end, the Hub did not take everything.
    """

    def submit(weights: ResolvedModel, lineage: Lineage | None) -> None:
        if queue is not None:
            say(submitted_line(queue, weights, recipe.benchmarks, lineage=lineage, submitted_by=submitted_by))

    if recipe.hub is None:
        yield lambda ready: submit(resolve_folder(ready.path), None)
        return

    def arrived(pushed: Pushed) -> None:
        revision = checkpoint_revision(pushed.lineage)
        say(f"{pushed.repo} has {revision}: {pushed.commit}")
        submit(
            ResolvedModel(model=pushed.repo, source=pushed.repo, revision=revision, commit=pushed.commit),
            pushed.lineage,
        )

    repository = model_repository(recipe, settings, endpoint)
    pusher = Pusher(recipe, repository, run_folders(settings, recipe.run), arrived=arrived, say=say, waits=waits)
    try:
        yield lambda ready: pusher.send(ready.path)
    except BaseException:
        pusher.stop()
        raise
    pusher.finish()


def submitted_line(
    queue: JobQueue, weights: ResolvedModel, benchmarks: Sequence[str], *, lineage: Lineage | None, submitted_by: str
) -> str:
    """Submit a checkpoint and say what became of it. A refusal is a line too: the training goes on."""
    name = weights.revision or weights.model
    try:
        submitted = _submit(queue, weights, benchmarks, lineage=lineage, submitted_by=submitted_by)
    except (SubmissionRejected, StoreUnusable, VersionConflict) as refused:
        return f"{name} is not submitted: {refused}"
    return f"{name} is {'submitted' if submitted else 'known to the board'}"


def _submit(
    queue: JobQueue, weights: ResolvedModel, benchmarks: Sequence[str], *, lineage: Lineage | None, submitted_by: str
) -> JobRecord | None:
    """None where the board knows it: a training that was resumed announces its earlier checkpoints again."""
    known = any(job.submission.commit == weights.commit for job in queue.jobs())
    if known or not benchmarks:
        return None
    form = {"model": weights.source, "benchmarks": list(benchmarks)}
    checked = check_submission(form, local_mode=True, resolve=lambda *_: weights, submitted_by=submitted_by)
    return queue.submit(replace(checked, lineage=lineage))
