"""What is asked next: probes, then the longest expected, learned as answers arrive."""

from __future__ import annotations

import random
from collections import Counter

from evaluator.order import LengthOrder
from evaluator.types import Request, Sampling


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def request(problem: str, attempt: int = 0, *, key: str = "k", order: float = 0.0) -> Request:
    return Request(
        generation_key=key,
        problem_id=problem,
        attempt=attempt,
        prompt="",
        system_prompt=None,
        seed=0,
        max_tokens=100,
        sampling=Sampling(),
        order=order,
    )


def problems(names: str, attempts: int, *, key: str = "k") -> list[Request]:
    return [request(name, attempt, key=key) for attempt in range(attempts) for name in names]


def filled(requests: list[Request], **options: object) -> tuple[LengthOrder, Clock]:
    clock = Clock()
    order = LengthOrder(clock=clock, **options)  # type: ignore[arg-type]
    for each in requests:
        order.add(each)
    return order, clock


def take(order: LengthOrder, count: int) -> list[Request]:
    taken = [order.take() for _ in range(count)]
    assert None not in taken
    return [each for each in taken if each is not None]


def test_every_request_is_taken_once() -> None:
    requests = problems("abcdefgh", 16)
    order, _ = filled(requests)
    rng = random.Random(7)
    taken: list[Request] = []
    while (each := order.take()) is not None:
        taken.append(each)
        if rng.random() < 0.5:
            done = taken[rng.randrange(len(taken))]
            order.learn(done, rng.randrange(1000))
    assert Counter(id(each) for each in taken) == Counter(id(each) for each in requests)
    assert len(order) == 0


def test_every_problem_is_probed_before_any_is_asked_in_full() -> None:
    order, _ = filled(problems("abcde", 16))
    first = take(order, 20)
    assert Counter(each.problem_id for each in first) == dict.fromkeys("abcde", 4)


def test_the_longest_expected_goes_first_once_probes_have_answered() -> None:
    order, _ = filled(problems("abc", 8))
    for each in take(order, 6):
        order.learn(each, {"a": 50, "b": 900, "c": 300}[each.problem_id])
    rest = [each.problem_id for each in take(order, 18)]
    assert rest == ["b"] * 6 + ["c"] * 6 + ["a"] * 6


def test_what_an_answer_teaches_decides_the_very_next_choice() -> None:
    order, _ = filled(problems("ab", 8))
    probes = take(order, 4)
    order.learn(next(each for each in probes if each.problem_id == "b"), 10)
    order.learn(next(each for each in probes if each.problem_id == "a"), 500)
    assert take(order, 1)[0].problem_id == "a"
    order.learn([each for each in probes if each.problem_id == "b"][1], 5000)
    assert take(order, 1)[0].problem_id == "b"


def test_lengths_of_earlier_models_order_the_probes_too() -> None:
    order, _ = filled(problems("abc", 1), priors={("k", "a"): 100.0, ("k", "b"): 3000.0, ("k", "c"): 700.0})
    assert [each.problem_id for each in take(order, 3)] == ["b", "c", "a"]


def test_the_mean_of_a_benchmark_stands_in_for_problems_that_nothing_is_known_of() -> None:
    order, _ = filled(problems("a", 1, key="short") + problems("b", 1, key="long"), means={"short": 50, "long": 9000})
    assert [each.problem_id for each in take(order, 2)] == ["b", "a"]


def test_a_probe_that_is_still_under_way_counts_as_long_as_it_has_run() -> None:
    order, clock = filled(problems("abc", 8))
    probes = take(order, 6)
    clock.now_s = 1.0
    for each in probes:
        if each.problem_id != "a":
            order.learn(each, {"b": 200, "c": 100}[each.problem_id])
    clock.now_s = 60.0
    for each in take(order, 1):  # makes the order look again
        order.add(each)
    taken = [each.problem_id for each in take(order, 18)]
    assert taken[:6].count("a") >= 5


def test_a_request_that_a_server_failed_is_the_next_of_its_problem() -> None:
    order, _ = filled(problems("a", 4))
    first, second = take(order, 2)
    order.add(first)
    assert take(order, 1) == [first]
    order.learn(second, 10)
    assert len(order) == 2


def test_a_lower_order_always_goes_first() -> None:
    requests = [request("late", n, order=1.0) for n in range(3)] + [request("early", n) for n in range(3)]
    order, _ = filled(requests)
    assert [each.problem_id for each in take(order, 6)] == ["early"] * 3 + ["late"] * 3


def test_equal_expectations_keep_the_order_in_which_they_came() -> None:
    order, _ = filled([request(str(number)) for number in range(50)])
    assert [each.problem_id for each in take(order, 50)] == [str(number) for number in range(50)]


def test_a_stream_of_ever_new_problems_leaves_nothing_behind() -> None:
    order, _ = filled([])
    for number in range(5000):
        order.add(request(str(number)))
        if number >= 100:
            (each,) = take(order, 1)
            order.learn(each, 10)
    assert len(order._groups) <= 101
    assert len(order._heap) <= 400
