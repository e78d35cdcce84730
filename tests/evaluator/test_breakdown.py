"""Tables that explain a score: groups, pass@k, letters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import statistics
from evaluator.breakdown import Tally, by_group, letter_counts, outcomes, pass_at

TALLIES = st.lists(st.integers(0, 8), min_size=1, max_size=20).map(
    lambda counts: [Tally(group=f"g{c % 3}", n=8, correct=c) for c in counts]
)


def tally(group: str, correct: int, n: int = 4) -> Tally:
    return Tally(group=group, n=n, correct=correct)


def test_counts_become_outcomes_with_the_same_means() -> None:
    assert outcomes([tally("", 3), tally("", 0)]).tolist() == [[1, 1, 1, 0], [0, 0, 0, 0]]


def test_problems_with_different_attempts_have_no_common_score() -> None:
    with pytest.raises(ValueError, match=r"\[2, 4\] attempts"):
        outcomes([tally("", 1, n=2), tally("", 1, n=4)])


def test_each_group_has_the_score_and_interval_of_its_own_problems() -> None:
    algebra, geometry = by_group([tally("Geometry", 1), tally("Algebra", 4), tally("Geometry", 3), tally("", 0)])
    assert (algebra.group, algebra.problems, algebra.score) == ("Algebra", 1, 100)
    assert algebra.ci95 == (0, 100)
    assert (geometry.group, geometry.problems, geometry.score) == ("Geometry", 2, 50)
    assert geometry.ci95 == statistics.ci95([[1, 0, 0, 0], [1, 1, 1, 0]])


def test_a_benchmark_without_groups_has_no_table_of_them() -> None:
    assert by_group([tally("", 1), tally("", 2)]) == []
    assert by_group([tally("Algebra", 1), tally("Algebra", 2)]) == []


@settings(max_examples=100, deadline=None)
@given(TALLIES)
def test_groups_weighted_by_their_problems_give_the_score(tallies: list[Tally]) -> None:
    groups = by_group(tallies)
    if groups:
        weighted = sum(g.score * g.problems for g in groups) / len(tallies)
        assert weighted == pytest.approx(statistics.score(outcomes(tallies)))


@pytest.mark.parametrize(
    ("attempts", "ks"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8, 16, 32, 64])]
)
def test_pass_at_k_is_told_for_powers_of_two_up_to_all_attempts(attempts: int, ks: list[int]) -> None:
    found = pass_at([tally("", 1, n=attempts), tally("", 0, n=attempts)])
    assert [k for k, _ in found] == ks
    assert found[0][1] == pytest.approx(50 / attempts)
    assert found[-1][1] == 50


# Letters


def shuffled(
    rng: np.random.Generator, *, problems: int, prefer_a: float, accuracy: float = 0.5
) -> list[tuple[str, str]]:
    """A model that says A with chance `prefer_a`, and otherwise looks at the content."""
    answers = []
    for _ in range(problems):
        right = rng.choice(list("ABCD"), 8)
        honest = [r if rng.random() < accuracy else rng.choice([x for x in "ABCD" if x != r]) for r in right]
        chosen = ["A" if rng.random() < prefer_a else letter for letter in honest]
        answers.append(("".join(chosen), "".join(right)))
    return answers


def test_letters_are_counted_over_the_attempts_that_answered() -> None:
    a, b = letter_counts([("AA-B", "ABAB"), ("AAAA", "ABBB")])
    assert (a.letter, a.chosen, a.right) == ("A", 6, 2)
    assert a.excess == pytest.approx(100 * 4 / 7)
    assert (b.letter, b.chosen, b.right) == ("B", 1, 5)
    assert a.excess + b.excess == pytest.approx(0)


def test_a_model_that_prefers_a_letter_is_noticed() -> None:
    found = letter_counts(shuffled(np.random.default_rng(1), problems=198, prefer_a=0.2))
    assert found[0].biased
    assert found[0].excess > 10


def test_a_model_that_reads_the_options_is_rarely_called_biased() -> None:
    rng = np.random.default_rng(2)
    runs = [letter_counts(shuffled(rng, problems=60, prefer_a=0.0, accuracy=0.3)) for _ in range(200)]
    assert sum(any(count.biased for count in run) for run in runs) <= 20


def test_a_model_that_is_always_right_or_never_answers_is_not_biased() -> None:
    assert not any(count.biased for count in letter_counts([("ABCD", "ABCD")] * 5))
    silent = letter_counts([("----", "ABCD")] * 5)
    assert [(count.chosen, count.right, count.ci95) for count in silent] == [(0, 0, None)] * 4


def test_the_error_of_a_ratio_matches_repeated_sampling() -> None:
    rng = np.random.default_rng(5)
    covered = []
    for _ in range(800):
        wholes = rng.integers(1, 9, 100).astype(float)
        parts = rng.binomial(wholes.astype(int), rng.beta(2, 2, 100)).astype(float)
        _, ci95 = statistics.ratio(parts, wholes)
        covered.append(ci95 is not None and ci95[0] <= 50 <= ci95[1])
    assert 0.925 <= np.mean(covered) <= 0.975


def test_a_ratio_without_spread_or_without_problems_has_no_interval() -> None:
    assert statistics.ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0])) == (50, None)
    assert statistics.ratio(np.array([1.0]), np.array([2.0])) == (50, None)
    assert statistics.ratio(np.array([0.0]), np.array([0.0])) == (0, None)
