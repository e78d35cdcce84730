"""The simulated server: what it must share with vLLM's scheduler, whatever its speeds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.kv_cache import KvCache
from benchmarks.simulator import HostCache, Server, ServerShape


def shape(kv_blocks: int = 64, **changes: object) -> ServerShape:
    sizes = {"kv_blocks": kv_blocks, "step_s": 0.01, "sequence_s": 0.001, "context_s": 0.0, "prefill_s": 0.0001}
    return ServerShape(**(sizes | changes))  # type: ignore[arg-type]


def run(server: Server, lengths: list[tuple[int, int]], in_flight: int) -> list[int]:
    """A closed loop; the numbers of the requests in the order in which they ended."""
    feed, flying, ended = iter(enumerate(lengths)), 0, []
    while True:
        while flying < in_flight and (taken := next(feed, None)) is not None:
            number, (prompt, output) = taken
            server.submit(number, prompt=prompt, output=output)
            flying += 1
        if server.idle:
            return ended
        done = server.advance(float("inf"))
        flying -= len(done)
        ended += [sequence.number for sequence in done]


LENGTHS = st.lists(st.tuples(st.integers(1, 120), st.integers(1, 300)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 40), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.1]))
def test_every_request_ends_with_all_its_tokens_and_every_block_comes_back(
    lengths: list[tuple[int, int]], in_flight: int, prefix_caching: bool, host: bool, watermark: float
) -> None:
    kept = HostCache(tokens=10_000, token_s=1e-5) if host else None
    server = Server(shape(prefix_caching=prefix_caching, host=kept, watermark=watermark))
    assert sorted(run(server, lengths, in_flight)) == list(range(len(lengths)))
    assert server.generated == sum(output for _, output in lengths)
    assert server.cache.free == server.shape.kv_blocks


def test_alone_a_request_takes_its_prefill_and_one_step_for_each_further_token() -> None:
    server = Server(shape())
    run(server, [(100, 50)], 1)
    assert server.now == pytest.approx(0.01 + 100 * 0.0001 + 49 * (0.01 + 0.001))


def test_steps_taken_together_take_as_long_as_steps_taken_one_by_one() -> None:
    lengths = [(30 + 7 * i, 40 + 13 * i) for i in range(12)]
    at_once, in_pieces = Server(shape(40, context_s=1e-5)), Server(shape(40, context_s=1e-5))
    for server in (at_once, in_pieces):
        for number, (prompt, output) in enumerate(lengths):
            server.submit(number, prompt=prompt, output=output)
    while not at_once.idle:
        at_once.advance(float("inf"))
    while not in_pieces.idle:
        in_pieces.advance(in_pieces.now + 1e-9)
    assert in_pieces.now == pytest.approx(at_once.now)
    assert (in_pieces.steps, in_pieces.preemptions) == (at_once.steps, at_once.preemptions)
    assert at_once.preemptions > 0


def test_a_lack_of_blocks_preempts_the_youngest_which_ends_last() -> None:
    server = Server(shape(8))
    for number in range(3):
        server.submit(number, prompt=32, output=60)
    ended: list[int] = []
    while not server.idle:
        ended += [sequence.number for sequence in server.advance(float("inf"))]
    assert ended == [0, 1, 2]
    assert server.preemptions > 0


def test_a_watermark_and_fewer_in_flight_both_avoid_preemptions() -> None:
    lengths = [(16, 200)] * 30
    counts = []
    for in_flight, watermark in ((30, 0.0), (30, 0.2), (4, 0.0)):
        server = Server(shape(64, watermark=watermark))
        run(server, lengths, in_flight)
        counts.append(server.preemptions)
    assert counts[0] > counts[1]
    assert counts[2] == 0


def test_what_nobody_took_is_found_again_and_the_last_blocks_go_first() -> None:
    cache = KvCache(10, 16, prefix_caching=True)
    cache.take(6)
    cache.give_back(7, 6, full=5)
    assert (cache.free, cache.found(7)) == (10, 5)
    cache.take(4)  # those that have been free for longest
    assert cache.found(7) == 5
    cache.take(3)  # the partial block and two of the others
    assert cache.found(7) == 3
    cache.reuse(7, 3)
    assert cache.free == 0


def test_reading_back_is_quicker_than_recomputing_over_a_fast_link_only() -> None:
    lengths = [(64, 400)] * 12
    walls = {}
    for name, token_s in (("recompute", None), ("fast", 1e-6), ("slow", 0.05)):
        host = None if token_s is None else HostCache(tokens=100_000, token_s=token_s)
        server = Server(shape(64, prefix_caching=False, prefill_s=0.002, host=host))
        run(server, lengths, 12)
        walls[name] = server.now
    assert walls["fast"] < walls["recompute"] < walls["slow"]
