"""The launcher that the settings name, and how a job finds its machine there."""

from __future__ import annotations

from pathlib import Path

from backend_jobs.dispatch import ChooseMachine
from backend_jobs.launchers.local import LocalLauncher
from backend_jobs.launchers.types import Launcher, LaunchRefused
from backend_jobs.machine_choice import Choice, choose, need_of
from backend_jobs.recipe_machines import choose_for_recipe
from evaluator.devices import find_devices
from evaluator.errors import PlanRejected
from leaderboard.board import Board
from leaderboard.stores import ON_THE_HUB, is_on_the_hub
from leaderboard.types import JobKind, JobRecord
from settings import ROOT, Settings, whole_environment

LOCAL, HF_JOBS, RAY = "local", "hf-jobs", "ray"
SAME_FILES = (LOCAL, RAY)
"""Places that read this machine's files: recipes, local checkpoints."""


def make_launcher(name: str, settings: Settings) -> Launcher:
    """The place of a name. Raises LaunchRefused where a setting is missing; says which."""
    if name == HF_JOBS:
        return _hf_jobs(settings)
    if name == RAY:
        return _ray(settings)
    if name == LOCAL:
        visible = dict(settings.child_environment).get("CUDA_VISIBLE_DEVICES")
        return LocalLauncher(settings.data_dir / "launches", find_devices(visible), whole_environment())
    raise LaunchRefused(f"there is no place called {name!r}: set OPEN_R1_LAUNCHER to {LOCAL}, {HF_JOBS} or {RAY}")


def kinds_of(launcher: Launcher) -> tuple[JobKind, ...]:
    """What can run there: recipes name files, which another machine does not have."""
    return tuple(JobKind) if launcher.name in SAME_FILES else (JobKind.EVALUATE,)


def chooser(launcher: Launcher, settings: Settings, board: Board) -> ChooseMachine:
    """How a job finds its machine: here nothing is to be chosen, elsewhere what its plan fits and costs least."""

    def here(_: JobRecord) -> Choice:
        (machine,) = launcher.machines()
        return Choice(machine=machine, gpus=0, hours=0.0, dollars=None, timeout_s=settings.machine_hours * 3600)

    def elsewhere(job: JobRecord) -> Choice:
        submission = job.submission
        if submission.kind is not JobKind.EVALUATE:
            return choose_for_recipe(launcher.machines(), submission, settings)
        if launcher.name not in SAME_FILES and submission.source and submission.source != submission.model:
            raise PlanRejected(
                f"{submission.source} is a folder of this machine, which {launcher.name} cannot read: push it to the "
                "Hub and submit it under its name there"
            )
        return choose(launcher.machines(), need_of(submission, settings, board), longest_h=settings.machine_hours)

    return here if launcher.name == LOCAL else elsewhere


def _hf_jobs(settings: Settings) -> Launcher:
    # Late: nobody else needs the Hub's client for this.
    from backend_jobs.launchers.hf_jobs import HfJobsLauncher

    if not is_on_the_hub(settings.store):
        raise LaunchRefused(
            f"a Job on the Hub cannot read the store {settings.store}: keep the board in a dataset "
            f"(--store {ON_THE_HUB}OWNER/NAME)"
        )
    wanted = {
        "HF_TOKEN": settings.hub_token,
        "OPEN_R1_RENT_NAMESPACE": settings.rent_namespace,
        "OPEN_R1_JOBS_IMAGE": settings.jobs_image,
    }
    missing = [name for name, value in wanted.items() if not value]
    if missing:
        raise LaunchRefused(f"Hugging Face Jobs need {', '.join(missing)}; docs/machines.md says what each is")
    return HfJobsLauncher(
        token=settings.hub_token,
        namespace=settings.rent_namespace or "",
        board=board_label(settings.store),
        image=settings.jobs_image or "",
        folder=settings.jobs_folder,
    )


def _ray(settings: Settings) -> Launcher:
    # Late: Ray need not be installed where nobody uses it.
    from backend_jobs.launchers.ray import RayLauncher

    if not settings.ray_jobs:
        raise LaunchRefused("a Ray cluster's Jobs need OPEN_R1_RAY_JOBS, such as http://HEAD:8265 (docs/machines.md)")
    store = settings.store if is_on_the_hub(settings.store) else str(Path(settings.store).resolve())
    return RayLauncher(
        address=settings.ray_jobs,
        board=board_label(store),
        folder=str(ROOT),
        python=str(ROOT / ".venv" / "bin" / "python"),
    )


def board_label(store: str) -> str:
    """A board's name as a label: what it rents is told by it from what others rent in the same account."""
    return "".join(letter if letter.isalnum() else "-" for letter in store.removeprefix(ON_THE_HUB)).strip("-").lower()
