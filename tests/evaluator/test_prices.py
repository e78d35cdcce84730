"""What rented machines cost."""

from __future__ import annotations

import pytest

from evaluator.devices import this_processor
from evaluator.hardware import named_devices
from evaluator.prices import FLAVORS, dollars_per_gpu_hour


@pytest.mark.parametrize(
    ("gpus", "dollars"),
    [("l40s", 1.80), ("l40sx4", 8.30 / 4), ("h200x8", 5.00), ("l40sx2", 1.80), ("rtx4090", None), ("2x8 H200", 5.00)],
)
def test_a_gpu_costs_its_share_of_the_machine_it_is_rented_in(gpus: str, dollars: float | None) -> None:
    assert dollars_per_gpu_hour(named_devices(gpus)) == dollars


def test_nobody_bills_for_this_processor() -> None:
    assert dollars_per_gpu_hour(this_processor()) is None


def test_every_flavor_is_a_machine_that_plans_know_and_they_come_cheapest_first() -> None:
    assert len({flavor.name for flavor in FLAVORS}) == len(FLAVORS)
    assert all(flavor.devices.kind == "cuda" for flavor in FLAVORS)
    costs = [flavor.dollars_per_hour for flavor in FLAVORS]
    assert costs == sorted(costs)
