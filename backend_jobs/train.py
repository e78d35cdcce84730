"""Training as a job: starts the training process in the engine's environment and follows it to its end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from backend_jobs.launching import Place, check_devices, launch_command
from backend_jobs.recipe_checks import preflight
from backend_jobs.recipes import Recipe, RecipeRejected, recipe_hash
from backend_jobs.training.checkpoints import handed_on
from backend_jobs.training.events import CheckpointReady, Finished, Note, Started, TrainEvent, from_line
from backend_jobs.training.job import JOB_FILE, TrainingJob, read_job, write_job
from backend_jobs.training_data import write_rows
from backend_jobs.training_weights import find_weights
from evaluator.errors import Cancelled, OpenR1Error
from evaluator.process import SupervisedProcess, clean_environment
from settings import ROOT, Settings

POLL_S = 0.2
RECIPE_FILE = "recipe.json"
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
    # Threads that spin while they wait halve the speed of whatever shares the cores with the training.
    "OMP_WAIT_POLICY": "PASSIVE",
}


class TrainingFailed(OpenR1Error):
    """The training process ended before its last step. Carries its last log lines."""

    code = "training_failed"

    def __init__(self, message: str, *, log_tail: str = "") -> None:
        super().__init__(message)
        self.log_tail = log_tail


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """A finished run. `resumed_at` is the step that this call continued from; `checkpoints` are all of the run's."""

    run: str
    recipe_hash: str
    checkpoints: tuple[CheckpointReady, ...]
    resumed_at: int
    wall_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFolders:
    """Where a run keeps its things: `models` gets the checkpoints that others may use, `work` is the trainer's own."""

    models: Path
    work: Path


def run_folders(settings: Settings, run: str) -> RunFolders:
    """The two folders of one run, absolute; they need not exist."""
    data = settings.data_dir.resolve()
    return RunFolders(models=data / "models" / run, work=data / "training" / run)


def train(
    recipe: Recipe,
    *,
    settings: Settings,
    on_event: Callable[[TrainEvent], None],
    cancelled: threading.Event,
    place: Place | None = None,
    alone: bool = False,
) -> TrainResult:
    """Train one recipe to its end, continuing where an earlier call was stopped, however it was.

    Every checkpoint of the run is told to `on_event` once per call, those of earlier calls too: whoever was killed
    before acting on one hears of it again. What this starts ends with it, also when this process is killed. `place` is
    this machine's among several; `alone` trains in one process whatever the recipe's `launch` says.

    Raises:
        RecipeRejected, RewardBlind, DatasetRejected, CheckpointRejected: the recipe cannot run; nothing was started.
        TrainingFailed: the process failed; carries its last log lines. Calling again resumes.
        Cancelled: `cancelled` was set. Checkpoints stay; calling again resumes.
    """
    began = monotonic()
    folders = run_folders(settings, recipe.run)
    _check_same_recipe(recipe, folders)
    checkpoints = _checkpoints(folders)
    if {ready.step for ready in checkpoints} >= set(recipe.checkpoint_steps):
        for ready in checkpoints:
            on_event(ready)
        resumed_at = recipe.training.steps
    else:
        if not alone:
            check_devices(recipe.launch, settings, place)
        job = prepare_job(recipe, folders, settings, cancelled, on_event)
        launch = None if alone else recipe.launch
        command = launch_command(launch, settings.engine_python, folders.work / JOB_FILE, place)
        resumed_at = _run_process(
            job, command, settings, on_event, cancelled, quiet=place is not None and place.rank > 0
        )
    return TrainResult(
        run=recipe.run,
        recipe_hash=recipe_hash(recipe),
        checkpoints=_checkpoints(folders),
        resumed_at=resumed_at,
        wall_seconds=monotonic() - began,
    )


def prepare_job(
    recipe: Recipe,
    folders: RunFolders,
    settings: Settings,
    cancelled: threading.Event,
    on_event: Callable[[TrainEvent], None],
) -> TrainingJob:
    """Check the recipe, then find its weights and write its rows: the training process needs no network.

    Raises: as `train`, before anything was started.
    """
    noted = folders.work / JOB_FILE
    if noted.exists():
        # A run keeps the weights and rows that it began with, wherever a branch has moved since.
        job = replace(read_job(noted), events=_next_start(folders.work))
        write_job(job, noted)
        return job
    checked = preflight(recipe, settings)
    for name, (right, wrong) in checked.rewards.items():
        on_event(
            Note(step=0, message=f"the reward {name} gives a planted right answer {right:g}, a wrong one {wrong:g}")
        )
    begins = find_weights(recipe.model, settings, lambda line: on_event(Note(step=0, message=line)), cancelled)
    _keep_recipe(recipe, folders)
    job = TrainingJob(
        recipe=recipe,
        recipe_hash=recipe_hash(recipe),
        models=folders.models,
        work=folders.work,
        events=_next_start(folders.work),
        weights=begins.folder,
        rows=write_rows(recipe, checked.data, folders.work),
        parent=begins.parent,
        data=checked.data.described,
    )
    write_job(job, noted)
    return job


def _run_process(
    job: TrainingJob,
    command: list[str],
    settings: Settings,
    on_event: Callable[[TrainEvent], None],
    cancelled: threading.Event,
    *,
    quiet: bool,
) -> int:
    """Start the training process and follow it; returns the step that it continued from.

    `quiet`: another machine writes the events of this run.
    """
    log = job.events.with_suffix(".log")
    environment = clean_environment(dict(settings.child_environment), job.work / "home", ENVIRONMENT)
    resumed_at, finished = 0, False
    process = SupervisedProcess(command, log=log, environment=environment, folder=ROOT)
    try:
        for event in _follow(process, job.events, cancelled):
            if isinstance(event, Started):
                resumed_at = event.resumed_at
            finished = finished or isinstance(event, Finished)
            on_event(event)
        if not finished and not (quiet and process.exit_status() == 0):
            raise TrainingFailed(
                f"the training of {job.recipe.run} ended early (exit status {process.exit_status()}); the last lines "
                f"of {log} say why; started again, it continues from its last checkpoint",
                log_tail=process.log_tail(),
            )
    finally:
        process.stop()
    return resumed_at


def _follow(process: SupervisedProcess, events: Path, cancelled: threading.Event) -> Iterator[TrainEvent]:
    """Events as they are written, until the process has ended. Raises Cancelled."""
    with events.open(encoding="utf-8") as stream:
        unfinished = ""
        while True:
            # Asked before reading: what was written until then is read below.
            ended = process.exit_status() is not None
            *lines, unfinished = (unfinished + stream.read()).split("\n")
            yield from map(from_line, lines)
            if ended:
                return
            if cancelled.wait(POLL_S):
                raise Cancelled("the training was cancelled; its checkpoints stay, and started again it continues")


def _next_start(work: Path) -> Path:
    """The (empty) event file of this start, beside which its log will lie; those of earlier starts are kept."""
    folder = work / "starts"
    folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(path.stem) for path in folder.glob("*.jsonl")), default=0)
    events = folder / f"{number:03d}.jsonl"
    events.touch()
    return events


def _check_same_recipe(recipe: Recipe, folders: RunFolders) -> None:
    """Refuse to mix two recipes in one run."""
    known = {lineage.recipe_hash for lineage, _ in handed_on(folders.models)}
    noted = folders.work / RECIPE_FILE
    if noted.exists():
        known.add(str(json.loads(noted.read_text(encoding="utf-8"))["recipe_hash"]))
    others = known - {recipe_hash(recipe)}
    if others:
        raise RecipeRejected(
            f"the run {recipe.run} was trained with another recipe (hash {min(others)[:12]}, this one has "
            f"{recipe_hash(recipe)[:12]}); give this one another `run`, or delete {folders.models} and {folders.work}"
        )


def _keep_recipe(recipe: Recipe, folders: RunFolders) -> None:
    """Note the recipe of a run that begins."""
    folders.work.mkdir(parents=True, exist_ok=True)
    noted = folders.work / RECIPE_FILE
    partial = noted.with_suffix(".partial")
    content = {"recipe_hash": recipe_hash(recipe), "recipe": recipe.model_dump(mode="json")}
    partial.write_text(json.dumps(content, indent=2), encoding="utf-8")
    partial.rename(noted)


def _checkpoints(folders: RunFolders) -> tuple[CheckpointReady, ...]:
    return tuple(
        CheckpointReady(step=lineage.step, tokens=lineage.tokens or 0, path=folder)
        for lineage, folder in handed_on(folders.models)
    )
