"""What this machine has to run a model on."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Devices:
    """Equal accelerators of one machine, or its processor. `memory_bytes` is one device's (the machine's, for CPU)."""

    kind: str
    name: str
    count: int
    memory_bytes: int

    def __str__(self) -> str:
        return f"{self.count} x {self.name} ({self.memory_bytes / GIB:.0f} GiB{' each' if self.count > 1 else ''})"


def find_devices() -> Devices:
    """The GPUs that nvidia-smi lists, or else the processor."""
    return _gpus() or _cpu()


def _gpus() -> Devices | None:
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.rpartition(",") for line in listed if line.strip()]
    if not rows:
        return None
    smallest = min(int(row[2]) for row in rows)
    return Devices(kind="cuda", name=rows[0][0].strip(), count=len(rows), memory_bytes=smallest * (1 << 20))


def _cpu() -> Devices:
    pages, page_size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Devices(kind="cpu", name=_cpu_name(), count=len(os.sched_getaffinity(0)), memory_bytes=pages * page_size)


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.machine()])[0]
