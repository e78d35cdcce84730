"""What this machine can do for a run, and what a recipe asks for that it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from backend_jobs.recipe_types import GrpoRecipe, HubModel, Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The devices of this process and the optional packages beside TRL."""

    name: str
    gpu: bool
    liger: bool
    tensorboard: bool

    @classmethod
    def here(cls) -> Machine:
        """What there is."""
        gpu = torch.cuda.is_available()
        return cls(
            name=torch.cuda.get_device_name(0) if gpu else "cpu",
            gpu=gpu,
            liger=gpu and find_spec("liger_kernel") is not None,
            tensorboard=find_spec("tensorboard") is not None or find_spec("tensorboardX") is not None,
        )

    def notes(self, recipe: Recipe) -> tuple[str, ...]:
        """What the recipe asks for and this machine does in another way; each is told when the run begins."""
        said = []
        if recipe.training.liger and not self.liger:
            said.append("liger kernels are not used: they need a GPU and the package liger-kernel")
        if not self.gpu:
            if recipe.training.precision == "bfloat16":
                said.append("trains in float32: bfloat16 is for a GPU")
            if recipe.training.optimizer != "adamw":
                said.append("uses AdamW with 32-bit state: 8-bit state is for a GPU")
            if isinstance(recipe, GrpoRecipe) and recipe.rollouts.engine != "transformers":
                said.append("transformers draws the answers: vLLM beside a trainer is for a GPU")
            if isinstance(recipe.model, HubModel) and recipe.model.attention == "flash_attention_2":
                said.append("attention is torch's own: flash attention is for a GPU")
        return tuple(said)


class MemoryMeter:
    """The most memory that this process takes from now on: on the GPU where there is one, else of its own pages."""

    def __init__(self, machine: Machine) -> None:
        self._gpu = machine.gpu
        self._before = 0 if machine.gpu else _pages("VmRSS")

    def peak_bytes(self) -> int:
        """Since the meter was made."""
        return int(torch.cuda.max_memory_allocated()) if self._gpu else _pages("VmHWM") - self._before


def _pages(what: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{what}:")[2].split()[0]) * 1024


def code_version() -> str:
    """The software that trains, as the lineage of a checkpoint names it."""
    from backend_jobs.training.sources import sources_hash

    return f"trl {version('trl')}, transformers {version('transformers')}, torch {version('torch')}, {sources_hash()}"
