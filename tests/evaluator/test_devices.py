"""What this machine has to run a model on."""

from __future__ import annotations

import pytest

from evaluator.devices import Devices, find_devices, gpus_from

LINES = [f"NVIDIA H100 80GB HBM3, {81_559 - index}" for index in range(8)]


@pytest.mark.parametrize(("visible", "count"), [(None, 8), ("0", 1), ("2,3", 2), ("GPU-aa,GPU-bb", 2), ("0,99", 1)])
def test_only_the_gpus_that_an_engine_will_see_are_planned_for(visible: str | None, count: int) -> None:
    devices = gpus_from(LINES, visible)
    assert devices is not None
    assert (devices.kind, devices.name, devices.count) == ("cuda", "NVIDIA H100 80GB HBM3", count)


def test_the_smallest_memory_counts() -> None:
    devices = gpus_from(LINES, "1,5")
    assert devices is not None
    assert devices.memory_bytes == (81_559 - 5) << 20


@pytest.mark.parametrize(("lines", "visible"), [([], None), (["NVIDIA X, [N/A]"], None), (LINES, ""), (LINES, "-1")])
def test_no_gpu_that_can_be_used_means_the_processor(lines: list[str], visible: str | None) -> None:
    assert gpus_from(lines, visible) is None


def test_the_processor_has_cores_and_no_more_memory_than_the_machine() -> None:
    devices = find_devices("")
    assert isinstance(devices, Devices)
    assert devices.kind == "cpu"
    assert devices.count >= 1
    assert devices.memory_bytes > 0
