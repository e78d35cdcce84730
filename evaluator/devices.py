"""What this machine has to run a model on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30
# A container's memory limit, as control groups of version 2 and 1 tell it.
CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Devices:
    """Equal accelerators of one machine, or its processor. `memory_bytes` is one device's (the machine's, for CPU).

    `count` is per node; plans may be made for several `nodes`.
    """

    kind: str
    name: str
    count: int
    memory_bytes: int
    nodes: int = 1

    def __str__(self) -> str:
        nodes = f"{self.nodes} x " if self.nodes > 1 else ""
        each = " each" if self.count > 1 and self.kind != "cpu" else ""
        return f"{nodes}{self.count} x {self.name} ({self.memory_bytes / GIB:.0f} GiB{each})"


def find_devices(visible: str | None = None) -> Devices:
    """The GPUs that nvidia-smi lists, or else the processor. `visible` is CUDA_VISIBLE_DEVICES where it is set."""
    return _gpus(visible) or this_processor()


def _gpus(visible: str | None) -> Devices | None:
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    return gpus_from(listed, visible)


def gpus_from(listed: Sequence[str], visible: str | None) -> Devices | None:
    """The devices in nvidia-smi's lines of `name, MiB`, as far as engines may see them. None where there are none.

    A device whose memory is not told (`[N/A]`) cannot be planned for and is left out.
    """
    rows = [line.rpartition(",") for line in listed]
    gpus = [(name.strip(), int(size)) for name, _, size in rows if size.strip().isdigit()]
    if visible is not None:
        wanted = [item.strip() for item in visible.split(",") if item.strip() not in ("", "-1")]
        if all(item.isdigit() for item in wanted):
            gpus = [gpus[int(item)] for item in wanted if int(item) < len(gpus)]
        else:
            gpus = gpus[: len(wanted)]  # named by UUID, which this query does not list
    if not gpus:
        return None
    smallest = min(size for _, size in gpus)
    return Devices(kind="cuda", name=gpus[0][0], count=len(gpus), memory_bytes=smallest * (1 << 20))


def this_processor() -> Devices:
    """The processor of this machine, with the memory that this container may use."""
    cores = len(os.sched_getaffinity(0))
    return Devices(kind="cpu", name=_cpu_name(), count=cores, memory_bytes=machine_memory())


def machine_memory() -> int:
    """Bytes of main memory that this machine has, or that this container may use."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *(int(text) for path in CONTAINER_LIMITS if (text := _read(path)).isdigit())])


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.machine()])[0]
