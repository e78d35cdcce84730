"""The command line of a training process: alone, or several through accelerate, on one machine or many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backend_jobs.recipe_types import Launch
from backend_jobs.recipes import RecipeRejected
from evaluator.devices import find_devices
from settings import ROOT, Settings

VISIBLE = "CUDA_VISIBLE_DEVICES"
CONFIGS = ROOT / "recipes" / "accelerate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """This machine's place among `machines` that train together; `address` is host:port of the first."""

    machines: int
    rank: int
    address: str


def check_devices(launch: Launch | None, settings: Settings, place: Place | None) -> None:
    """Refuse what this machine has too few GPUs for. Raises RecipeRejected."""
    if launch is None:
        return
    machines = place.machines if place else 1
    if launch.processes % machines:
        raise RecipeRejected(
            f"launch.processes {launch.processes} cannot be shared by {machines} machines; give a multiple of them"
        )
    wanted = launch.processes // machines
    found = find_devices(dict(settings.child_environment).get(VISIBLE))
    here = 0 if found.kind == "cpu" else found.count
    if here < wanted:
        raise RecipeRejected(
            f"launch.processes asks for {wanted} GPUs on this machine, which has {here}; lower it, train on --machines "
            "several, or try the recipe here with --smoke"
        )


def launch_command(launch: Launch | None, python: str, job: Path, place: Place | None = None) -> list[str]:
    """The command that trains. Several processes are started by accelerate, with the recipe's configuration."""
    if launch is None:
        return [python, "-m", "backend_jobs.training", str(job)]
    command = [python, "-m", "accelerate.commands.launch"]
    command += ["--config_file", str(CONFIGS / f"{launch.config}.yaml")]
    command += ["--num_processes", str(launch.processes)]
    if place is not None:
        host, _, port = place.address.partition(":")
        command += ["--num_machines", str(place.machines), "--machine_rank", str(place.rank)]
        command += ["--main_process_ip", host, "--main_process_port", port or "29500"]
    return [*command, "--module", "backend_jobs.training", str(job)]
