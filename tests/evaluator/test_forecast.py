"""What a run will take: hardware by name, tokens, hours and dollars before anything is started."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluator.checkpoint import ModelShape
from evaluator.devices import GIB, Devices
from evaluator.engine_plan import plan_engine
from evaluator.errors import PlanRejected
from evaluator.forecast import Forecast, Work, forecast
from evaluator.hardware import accelerator_of, named_devices
from evaluator.lengths import Tokens

SEVEN_B = ModelShape(
    architecture="Qwen2ForCausalLM",
    layers=28,
    hidden=3584,
    heads=28,
    kv_heads=4,
    head_dim=128,
    vocab=152_064,
    context=131_072,
    weight_bytes=15 * GIB,
)
WORK = Work(attempts=7_424, each=Tokens(mean=8_000, low=2_500, high=10_000), prompt_tokens=400, max_tokens=32_768)


@pytest.mark.parametrize(
    ("text", "nodes", "count", "name"),
    [
        ("rtx4090", 1, 1, "NVIDIA GeForce RTX 4090"),
        ("RTX 4090", 1, 1, "NVIDIA GeForce RTX 4090"),
        ("h200x8", 1, 8, "NVIDIA H200"),
        ("8xH100", 1, 8, "NVIDIA H100 80GB HBM3"),
        ("2x8 H100", 2, 8, "NVIDIA H100 80GB HBM3"),
        ("l40sx4", 1, 4, "NVIDIA L40S"),
        ("a100-40x2", 1, 2, "NVIDIA A100-SXM4-40GB"),
        ("l4", 1, 1, "NVIDIA L4"),
    ],
)
def test_hardware_is_known_by_the_names_people_use(text: str, nodes: int, count: int, name: str) -> None:
    found = named_devices(text)
    assert (found.nodes, found.count, found.name) == (nodes, count, name)
    accelerator = accelerator_of(found)
    assert accelerator is not None
    assert accelerator.name == name


@pytest.mark.parametrize("text", ["", "tpu", "h100x0", "x8", "h100 h200", "8", "2x8x3 h100"])
def test_hardware_that_is_not_known_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(PlanRejected, match="rtx4090"):
        named_devices(text)


def expected(devices: Devices, work: Work = WORK, **options: float) -> Forecast:
    plan = plan_engine(SEVEN_B, devices=devices, prompt_tokens=400, max_tokens=32_768, mean_tokens=work.each.mean)
    return forecast(work, plan, SEVEN_B, devices, dollars_per_gpu_hour=options.get("price"))


def test_tokens_are_attempts_times_length_and_the_range_is_kept() -> None:
    told = expected(named_devices("h200x8"))
    assert (told.tokens.mean, told.tokens.low, told.tokens.high) == (59_392_000, 18_560_000, 74_240_000)
    assert told.hours is not None
    usual, low, high = told.hours
    assert low < usual < high


def test_more_and_faster_gpus_take_less_time() -> None:
    hours = [expected(named_devices(name)).hours for name in ("l40sx4", "8xh100", "h200x8")]
    slow, fast, faster = (each[0] for each in hours if each is not None)
    assert slow > fast > faster


def test_cost_is_gpu_hours_times_price_and_unknown_prices_stay_unknown() -> None:
    known = expected(named_devices("h200x8"))
    assert known.gpu_hours is not None
    assert known.dollars == pytest.approx(tuple(5.0 * hours for hours in known.gpu_hours))
    assert expected(named_devices("rtx4090")).dollars is None
    priced = expected(named_devices("rtx4090"), price=0.5)
    assert priced.gpu_hours is not None
    assert priced.dollars == pytest.approx(tuple(0.5 * hours for hours in priced.gpu_hours))


def test_a_gpu_that_is_not_in_the_table_has_tokens_and_no_hours() -> None:
    told = expected(Devices(kind="cuda", name="Unheard of", count=1, memory_bytes=80 * GIB))
    assert (told.hours, told.dollars, told.attempts) == (None, None, 7_424)


def test_the_time_allows_for_the_last_long_answer() -> None:
    few = replace(WORK, attempts=8)
    told = expected(named_devices("h200x8"), few)
    assert told.hours is not None
    assert told.hours[0] > 0.02, "one answer of the whole budget takes minutes however many GPUs there are"
