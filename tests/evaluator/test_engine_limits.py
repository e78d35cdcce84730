"""What an engine may take follows from its plan, and leaves the machine something to live on."""

from __future__ import annotations

from dataclasses import replace

from evaluator.devices import GIB
from evaluator.engine_limits import PATIENCE, SHORTEST_S, memory_limit, time_limit_s
from evaluator.engine_plan import plan_engine
from evaluator.forecast import Forecast, Work
from evaluator.lengths import Tokens
from tests.evaluator.test_engine_plan import H100X8, LAPTOP, shape

TINY = shape(layers=2, hidden=128, heads=2, kv_heads=1, head_dim=64, weight_bytes=2 << 20)
WORK = Work(attempts=2000, each=Tokens(mean=9_000, low=4_000, high=16_000), prompt_tokens=300, max_tokens=32_768)


def test_on_the_processor_weights_count_twice_and_the_cache_once() -> None:
    plan = plan_engine(TINY, devices=LAPTOP, prompt_tokens=100, max_tokens=128)
    assert memory_limit(plan, TINY, 24 * GIB) == 2 * TINY.weight_bytes + plan.kv_cache_bytes + 6 * GIB


def test_a_machines_last_tenth_is_never_an_engines() -> None:
    plan = plan_engine(TINY, devices=LAPTOP, prompt_tokens=100, max_tokens=128)
    assert memory_limit(plan, TINY, 4 * GIB) == int(0.9 * 4 * GIB)
    assert memory_limit(replace(plan, replicas=2), TINY, 4 * GIB) == int(0.9 * 4 * GIB) // 2


def test_a_gpus_cache_is_not_main_memory() -> None:
    seven = shape()
    plan = plan_engine(seven, devices=H100X8, prompt_tokens=300, max_tokens=32_768, tensor_parallel_size=2)
    assert memory_limit(plan, seven, 2048 * GIB) == 2 * seven.weight_bytes + 2 * 16 * GIB


def test_the_time_is_far_beyond_the_longest_that_is_expected() -> None:
    expected = Forecast(attempts=2000, tokens=WORK.each, parallel=64, hours=(1.0, 0.5, 2.0))
    assert time_limit_s(WORK, expected) == PATIENCE * 2 * 3600


def test_unknown_hardware_may_take_the_whole_budget_at_a_crawl_but_not_for_ever() -> None:
    unknown = Forecast(attempts=2000, tokens=WORK.each, parallel=64)
    assert time_limit_s(WORK, unknown) == 2000 * 32_768 / 20
    assert time_limit_s(replace(WORK, attempts=1, max_tokens=16), unknown) == SHORTEST_S
