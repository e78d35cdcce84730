"""Accelerators by the names people use (`h200x8`, `2x8 H100`, `rtx4090`): memory and speed, for plans.

Memory is what nvidia-smi shows, bandwidth and dense bfloat16 speed are the makers' figures. What they cost is in
`evaluator/prices.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from evaluator.devices import Devices
from evaluator.errors import PlanRejected

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """One GPU. `bandwidth` in bytes/s, `speed` in bfloat16 operations/s."""

    name: str
    memory_mib: int
    bandwidth: float
    speed: float


ACCELERATORS = {
    "b200": Accelerator(name="NVIDIA B200", memory_mib=183_359, bandwidth=8.0e12, speed=2250e12),
    "h200": Accelerator(name="NVIDIA H200", memory_mib=143_771, bandwidth=4.8e12, speed=989e12),
    "h100": Accelerator(name="NVIDIA H100 80GB HBM3", memory_mib=81_559, bandwidth=3.35e12, speed=989e12),
    "a100": Accelerator(name="NVIDIA A100-SXM4-80GB", memory_mib=81_920, bandwidth=2.04e12, speed=312e12),
    "a100-40": Accelerator(name="NVIDIA A100-SXM4-40GB", memory_mib=40_960, bandwidth=1.56e12, speed=312e12),
    "l40s": Accelerator(name="NVIDIA L40S", memory_mib=46_068, bandwidth=0.864e12, speed=362e12),
    "a10g": Accelerator(name="NVIDIA A10G", memory_mib=23_028, bandwidth=0.60e12, speed=70e12),
    "l4": Accelerator(name="NVIDIA L4", memory_mib=23_034, bandwidth=0.30e12, speed=121e12),
    "rtx4090": Accelerator(name="NVIDIA GeForce RTX 4090", memory_mib=24_564, bandwidth=1.008e12, speed=165e12),
    "rtx5090": Accelerator(name="NVIDIA GeForce RTX 5090", memory_mib=32_607, bandwidth=1.79e12, speed=209e12),
    "rtx3090": Accelerator(name="NVIDIA GeForce RTX 3090", memory_mib=24_576, bandwidth=0.936e12, speed=71e12),
}
CPU_BANDWIDTH, CPU_SPEED = 15e9, 0.2e12  # two cores of a rented server, as measured with the demonstration model
BEFORE = re.compile(r"(?:(?:(?P<nodes>\d+)x)?(?P<count>\d+)x?)?")  # 8xh100, 2x8h100
AFTER = re.compile(r"(?:x(?P<count>\d+))?(?:x(?P<nodes>\d+))?")  # h200x8


def named_devices(text: str) -> Devices:
    """The machines that a name means: `rtx4090`, `h200x8`, `8xH100`, `2x8 H100` (two nodes of eight).

    Raises:
        PlanRejected: no such accelerator; the message lists those that are known.
    """
    plain = re.sub(r"[\s_]+", "", text.lower()).removeprefix("nvidia")
    for name in sorted(ACCELERATORS, key=len, reverse=True):
        before, found, after = plain.partition(name)
        how_many = (BEFORE.fullmatch(before) if not after else AFTER.fullmatch(after)) if found else None
        if how_many and not (before and after) and "0" not in how_many.groups():
            accelerator = ACCELERATORS[name]
            return Devices(
                kind="cuda",
                name=accelerator.name,
                count=int(how_many["count"] or 1),
                memory_bytes=accelerator.memory_mib * MIB,
                nodes=int(how_many["nodes"] or 1),
            )
    raise PlanRejected(
        f"no accelerator is known as {text!r}; write NAME, NAMExCOUNT or NODESxCOUNT NAME with a name of: "
        f"{', '.join(ACCELERATORS)}"
    )


def accelerator_of(devices: Devices) -> Accelerator | None:
    """What is known of the speed of some devices; None for a GPU that the table does not have."""
    if devices.kind == "cpu":
        return Accelerator(name=devices.name, memory_mib=0, bandwidth=CPU_BANDWIDTH, speed=CPU_SPEED)
    name = devices.name.lower().replace(" ", "")
    by_length = sorted(ACCELERATORS.items(), key=lambda item: -len(item[0]))
    exact = next((each for each in ACCELERATORS.values() if each.name == devices.name), None)
    return exact or next((each for key, each in by_length if key in name), None)
