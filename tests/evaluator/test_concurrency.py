"""The controller of requests in flight, in virtual time."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from evaluator.concurrency import HISTORY_POINTS, Controller, Load
from evaluator.engine_metrics import read_load


class Server:
    """A server as its metrics show it, and the controller that looks at it once a second."""

    def __init__(self, *, fixed: int | None = None, most: int = 4096, kv_tokens: int | None = None) -> None:
        self.now_s, self.kv_tokens = 0.0, kv_tokens
        self.tokens = self.preemptions = self.waiting = 0
        self.kv_usage: float | None = 0.1
        self.controller = Controller(clock=lambda: self.now_s, fixed=fixed, most=most)

    @property
    def cap(self) -> int:
        return self.controller.cap

    def second(self, *, in_flight: int | None = None, preempted: int = 0, stuck: bool = False) -> None:
        """One second passes with the cap fully used, unless said otherwise."""
        self.now_s += 1.0
        self.preemptions += preempted
        self.tokens += 0 if stuck else 1000
        used = self.cap if in_flight is None else in_flight
        load = Load(
            running=used,
            waiting=self.waiting,
            kv_usage=self.kv_usage,
            preemptions=self.preemptions,
            generation_tokens=self.tokens,
            kv_tokens=self.kv_tokens,
        )
        self.controller.see(load, in_flight=used)

    def seconds(self, count: int, **options: int | bool) -> None:
        for _ in range(count):
            self.second(**options)  # type: ignore[arg-type]


def settled(cap_seconds: int = 4) -> Server:
    """A server past its slow start, at 80 % of its cache."""
    server = Server()
    server.seconds(cap_seconds)
    server.kv_usage = 0.80
    server.second()
    return server


def test_it_starts_slowly_and_grows_fast_while_the_cache_is_rather_empty() -> None:
    server = Server()
    assert server.cap == 16
    server.seconds(10)
    assert server.cap > 500


def test_slow_start_stops_where_answers_of_the_expected_length_will_fill_the_cache() -> None:
    now_s = 0.0
    controller = Controller(clock=lambda: now_s)
    controller.expect(32_768)
    for second in range(8):
        now_s += 1.0
        in_flight = controller.cap
        # A second after the start: a thousand young answers would fit, a hundred grown ones will.
        load = Load(running=in_flight, waiting=0, kv_usage=0.01, preemptions=0, generation_tokens=second)
        controller.see(replace(load, kv_tokens=900_000), in_flight=in_flight)
    assert 100 <= controller.cap <= 0.75 * 900_000 / (0.8 * 32_768 / 4)


def test_what_fits_whatever_its_length_is_sent_at_once() -> None:
    for budget, cap in ((100, 128), (750, 100), (32_768, 16)):
        server = Server(kv_tokens=100_000)
        server.controller.expect(budget)
        server.second()
        assert server.cap == cap, budget


def test_slow_start_goes_on_once_answers_prove_to_be_short() -> None:
    now_s, generated = 0.0, 0
    controller = Controller(clock=lambda: now_s)
    controller.expect(32_768)
    for _ in range(20):
        now_s += 1.0
        generated += 100 * 200
        for _ in range(100):
            controller.answered(in_flight=controller.cap)
        load = Load(
            running=controller.cap,
            waiting=0,
            kv_usage=0.05,
            preemptions=0,
            generation_tokens=generated,
            kv_tokens=900_000,
        )
        controller.see(load, in_flight=controller.cap)
    assert controller.cap > 1000


def test_past_three_quarters_of_the_cache_it_grows_by_one_percent_in_five_seconds() -> None:
    server = settled()
    before = server.cap
    server.seconds(50)
    assert before * 1.01**9 - 1 <= server.cap <= before * 1.01**11


def test_at_nine_tenths_of_the_cache_it_stays() -> None:
    server = settled()
    server.kv_usage = 0.90
    before = server.cap
    server.seconds(100)
    assert server.cap == before


def test_a_preemption_cuts_to_92_percent_once_in_thirty_seconds() -> None:
    server = settled()
    server.kv_usage = 0.95
    before = server.cap
    server.second(preempted=3)
    assert server.cap == int(before * 0.92)
    server.seconds(29, preempted=5)
    assert server.cap == int(before * 0.92)
    server.second(preempted=1)
    assert server.cap == int(before * 0.92 * 0.92)


def test_after_a_cut_it_never_starts_slowly_again() -> None:
    server = settled()
    server.second(preempted=1)
    server.kv_usage = 0.2
    before = server.cap
    server.seconds(10)
    assert server.cap <= before * 1.05**3


def test_a_cap_that_was_not_reached_does_not_grow() -> None:
    server = Server()
    server.seconds(30, in_flight=15)
    assert server.cap == 16


def test_old_news_does_not_grow_it() -> None:
    server = Server()
    server.second()
    before = server.cap
    server.seconds(30, stuck=True)
    assert server.cap == before


def test_failed_readings_change_nothing_once_there_were_good_ones() -> None:
    server = Server()
    server.seconds(2)
    before = server.cap
    for _ in range(30):
        server.now_s += 1.0
        server.controller.see(None, in_flight=before)
        server.controller.answered(in_flight=before)
    assert server.cap == before


def test_requests_that_wait_inside_the_server_stop_the_growth() -> None:
    server = Server()
    server.seconds(3)
    before = server.cap
    server.waiting = before // 4
    server.seconds(30)
    assert server.cap == before


def test_being_turned_away_brings_it_down_to_what_was_accepted() -> None:
    server = settled()
    for accepted in range(server.cap - 1, 9, -1):
        server.controller.turned_away(in_flight=accepted)
    assert server.cap == 10


def test_being_turned_away_with_everything_accepted_is_one_cut_per_episode() -> None:
    server = settled()
    before = server.cap
    for _ in range(20):
        server.controller.turned_away(in_flight=before)
    assert server.cap == int(before * 0.92)


def test_a_cut_is_from_what_was_really_in_flight() -> None:
    server = settled()
    server.second(preempted=1, in_flight=20)
    assert server.cap == int(20 * 0.92)


def test_the_cap_has_an_upper_bound() -> None:
    server = Server(most=100)
    server.seconds(60)
    assert server.cap == 100


def test_a_fixed_cap_never_moves() -> None:
    server = Server(fixed=7)
    server.seconds(20, preempted=2)
    server.controller.turned_away(in_flight=2)
    server.controller.see(None, in_flight=7)
    server.controller.answered(in_flight=7)
    assert server.cap == 7


def test_without_metrics_rounds_of_answers_double_it_up_to_a_safe_bound() -> None:
    controller = Controller(clock=lambda: 0.0)
    controller.see(None, in_flight=0)
    assert controller.cap == 64
    for _ in range(64):
        controller.answered(in_flight=controller.cap)
    assert controller.cap == 128
    for _ in range(10_000):
        controller.answered(in_flight=controller.cap)
    assert controller.cap == 128


def test_without_metrics_back_pressure_brings_it_down_and_each_round_one_up() -> None:
    controller = Controller(clock=lambda: 0.0)
    controller.see(None, in_flight=0)
    controller.turned_away(in_flight=3)
    assert controller.cap == 3
    for _ in range(3 + 4):
        controller.answered(in_flight=controller.cap)
    assert controller.cap == 5


def test_a_restarted_server_counts_anew_and_is_not_taken_for_one_that_preempted() -> None:
    server = settled()
    server.seconds(3, preempted=0)
    server.preemptions, before = 0, server.cap
    server.controller.restarted()
    server.second(preempted=5)
    assert server.cap >= before


def test_the_history_tells_every_change_with_its_reason_and_stays_small() -> None:
    server = Server()
    server.seconds(5)
    server.second(preempted=1)
    changes = [(point.why, point.cap) for point in server.controller.history]
    assert changes[0] == ("start", 16)
    assert ("slow start", 24) in changes
    assert changes[-1][0] == "preempted"
    for _ in range(2000):
        server.seconds(31, preempted=1)
        server.controller._cap = 1000.0
    history = server.controller.history
    assert len(history) <= HISTORY_POINTS
    assert (history[0].why, history[0].at_s) == ("start", 0.0)
    assert all(a.at_s <= b.at_s for a, b in itertools.pairwise(history))


PAGE = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a model, with {braces} 1"} 5.0
vllm:num_requests_running{engine="1",model_name="m"} 7.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:num_preemptions_total{engine="0",model_name="m"} 3.0
vllm:generation_tokens_total{engine="0",model_name="m"} 1.5e+06
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="1000"} 1.0
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="1",num_gpu_blocks="500"} 1.0
"""


def test_a_page_of_metrics_is_read_over_all_engines_of_a_server() -> None:
    expected = Load(running=12, waiting=2, kv_usage=0.5, preemptions=3, generation_tokens=1_500_000, kv_tokens=24_000)
    assert read_load(PAGE) == expected


@pytest.mark.parametrize("page", ["", "go_goroutines 7\n", "<html>not found</html>"])
def test_a_page_without_vllms_counts_is_no_reading(page: str) -> None:
    assert read_load(page) is None


def test_a_page_without_a_cache_is_a_reading_without_one() -> None:
    load = read_load("vllm:num_requests_running 3\nvllm:num_requests_waiting NaN\nvllm:num_preemptions_total\n")
    assert load == Load(running=3, waiting=0, kv_usage=None, preemptions=0, generation_tokens=None)
