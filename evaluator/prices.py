"""What rented machines cost: the list prices of Hugging Face Jobs, with their source and date.

A launcher asks the Hub for the prices of the day; this table is for plans that are made without a network, and for the
machines that a plan names (`--gpus l40sx4`). A machine costs what its flavor costs, not the sum of its GPUs: four L40S
are dearer together than alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from evaluator.devices import Devices
from evaluator.hardware import accelerator_of, named_devices

SOURCE = "https://huggingface.co/docs/hub/jobs-pricing"
AS_OF = "2025-11"


@dataclass(frozen=True, kw_only=True, slots=True)
class Flavor:
    """A machine of Hugging Face Jobs. `gpus` is how its hardware is called here; dollars are for the whole machine."""

    name: str
    gpus: str
    dollars_per_hour: float

    @property
    def devices(self) -> Devices:
        """Its GPUs, as plans see them."""
        return named_devices(self.gpus)


FLAVORS = (
    Flavor(name="l4x1", gpus="l4", dollars_per_hour=0.80),
    Flavor(name="a10g-small", gpus="a10g", dollars_per_hour=1.00),
    Flavor(name="a10g-large", gpus="a10g", dollars_per_hour=1.50),
    Flavor(name="l40sx1", gpus="l40s", dollars_per_hour=1.80),
    Flavor(name="a100-large", gpus="a100", dollars_per_hour=2.50),
    Flavor(name="a10g-largex2", gpus="a10gx2", dollars_per_hour=3.00),
    Flavor(name="l4x4", gpus="l4x4", dollars_per_hour=3.80),
    Flavor(name="h200", gpus="h200", dollars_per_hour=5.00),
    Flavor(name="a10g-largex4", gpus="a10gx4", dollars_per_hour=5.00),
    Flavor(name="l40sx4", gpus="l40sx4", dollars_per_hour=8.30),
    Flavor(name="h200x2", gpus="h200x2", dollars_per_hour=10.00),
    Flavor(name="a100x4", gpus="a100x4", dollars_per_hour=10.00),
    Flavor(name="h200x4", gpus="h200x4", dollars_per_hour=20.00),
    Flavor(name="a100x8", gpus="a100x8", dollars_per_hour=20.00),
    Flavor(name="l40sx8", gpus="l40sx8", dollars_per_hour=23.50),
    Flavor(name="h200x8", gpus="h200x8", dollars_per_hour=40.00),
)
"""Cheapest first."""


def dollars_per_gpu_hour(devices: Devices) -> float | None:
    """What one GPU of such machines costs an hour: the flavor's where there is one of that many GPUs.

    Else the price of one such GPU alone; None where nobody rents it out by this table.
    """
    accelerator = accelerator_of(devices)
    if accelerator is None or devices.kind == "cpu":
        return None
    same = [flavor for flavor in FLAVORS if flavor.devices.name == accelerator.name]
    as_many = [flavor for flavor in same if flavor.devices.count == devices.count]
    found = (as_many or [flavor for flavor in same if flavor.devices.count == 1])[:1]
    return found[0].dollars_per_hour / found[0].devices.count if found else None
