"""When a slow server leaves what waits to faster ones."""

from __future__ import annotations

from evaluator.tail import ENOUGH, Pace, sooner_elsewhere


def pace(s_per_token: float, answers: int = 50) -> Pace:
    made = Pace()
    for _ in range(answers):
        made.see(1000, 1000 * s_per_token)
    return made


def test_a_pace_is_believed_after_some_answers_only() -> None:
    assert pace(0.01, ENOUGH - 1).s_per_token is None
    assert abs((pace(0.01, ENOUGH).s_per_token or 0) - 0.01) < 1e-9


def test_answers_without_a_length_teach_no_pace() -> None:
    made = Pace()
    made.see(0, 5.0)
    made.see(100, 0.0)
    assert made.s_per_token is None


def test_the_last_requests_wait_for_the_fast_server_and_the_many_before_them_do_not() -> None:
    # Four times slower. The fast one with 32 places: a request waits for its turn as long as 1/32 of an answer takes.
    slow, fast = pace(0.04), [(pace(0.01), 32)]
    assert sooner_elsewhere(slow, fast, waiting=0)
    assert sooner_elsewhere(slow, fast, waiting=95)  # 95 / 32 + 1 < 4
    assert not sooner_elsewhere(slow, fast, waiting=97)


def test_servers_of_nearly_the_same_pace_leave_each_other_nothing() -> None:
    assert not sooner_elsewhere(pace(0.014), [(pace(0.01), 32)], waiting=0)
    assert not sooner_elsewhere(pace(0.01), [(pace(0.04), 32)], waiting=0)


def test_a_server_alone_or_beside_strangers_leaves_nothing() -> None:
    assert not sooner_elsewhere(pace(0.04), [], waiting=0)
    assert not sooner_elsewhere(pace(0.04), [(Pace(), 32)], waiting=0)
