"""The statistics against closed forms, exhaustive enumeration, simulation, and properties that must always hold."""

from __future__ import annotations

from itertools import combinations, product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from evaluator import statistics as s
from evaluator.types import Statistics

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 8))
OUTCOMES = SHAPES.flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 1), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


def beta_outcomes(generator: np.random.Generator, problems: int, attempts: int, mean: float) -> np.ndarray:
    """Attempts at problems whose difficulty is Beta-distributed around a mean."""
    difficulty = generator.beta(mean * 1.2, (1 - mean) * 1.2, size=(problems, 1))
    return (generator.random((problems, attempts)) < difficulty).astype(int)


# Scores and errors


def test_score_is_the_mean_of_problem_means_in_points() -> None:
    assert s.score([[1, 1, 0, 0], [1, 0, 0, 0]]) == pytest.approx(37.5)


def test_question_error_is_the_standard_error_of_problem_means() -> None:
    # Means 1, 0.5, 0: variance 0.25, over 3 problems.
    assert s.stderr_questions([[1, 1], [1, 0], [0, 0]]) == pytest.approx(100 * sqrt(0.25 / 3))


def test_decoding_error_sums_the_variance_within_problems() -> None:
    # Within-problem variances 0, 1/2, 0; two attempts; three problems.
    assert s.stderr_decoding([[1, 1], [1, 0], [0, 0]]) == pytest.approx(100 * sqrt(0.5 / 2) / 3)


def test_decoding_error_is_unknown_with_one_attempt_and_zero_where_attempts_agree() -> None:
    assert s.stderr_decoding([[1], [0]]) is None
    assert s.stderr_decoding([[1, 1], [0, 0]]) == 0


def test_copying_one_greedy_output_ten_times_does_not_shrink_the_question_error() -> None:
    once = [[1], [0], [1], [0], [1]]
    assert s.stderr_questions(np.repeat(once, 10, axis=1)) == pytest.approx(s.stderr_questions(once))


def test_decoding_error_is_what_repeating_the_run_really_shows() -> None:
    generator = np.random.default_rng(7)
    chances = generator.random((40, 1))
    draws = generator.random((2000, 40, 8)) < chances
    spread = draws.mean(axis=(1, 2)).std(ddof=1) * 100
    told = np.mean([s.stderr_decoding(draw) for draw in draws[:200]])
    assert told == pytest.approx(spread, rel=0.06)


def test_one_problem_says_nothing_of_other_problems() -> None:
    assert s.ci95([[1, 1, 1, 0]]) == (0.0, 100.0)
    assert s.stderr_questions([[1, 1, 1, 0]]) == 50.0


@pytest.mark.parametrize("bad", [[], [[]], [1, 0], [[0.5]], [[2]], [[float("nan")]]])
def test_outcomes_that_are_not_a_table_of_zeros_and_ones_are_refused(bad: list[object]) -> None:
    with pytest.raises(ValueError, match=r"outcomes"):
        s.score(bad)


# The interval


def wilson(m: float, n: float, z: float) -> tuple[float, float]:
    centre = (m + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(m * (1 - m) / n + z * z / (4 * n * n))
    return 100 * (centre - half), 100 * (centre + half)


def test_interval_is_wilson_at_the_effective_size_with_a_t_quantile() -> None:
    outcomes = [[1, 1], [1, 0], [0, 0], [1, 1]]
    m, variance = 0.625, np.var([1, 0.5, 0, 1], ddof=1)
    p = (4 * m + 1) / 6
    v = (3 * variance + 2 * p * (1 - p)) / 5
    n_eff = m * (1 - m) / (v / 4)
    assert s.ci95(outcomes) == pytest.approx(wilson(m, n_eff, 3.182446305284263))


def test_a_score_of_zero_or_a_hundred_keeps_an_honest_interval() -> None:
    low, high = s.ci95(np.zeros((30, 64)))
    assert low == 0
    assert high == pytest.approx(wilson(0, 30, 2.045229642132703)[1])
    assert s.ci95(np.ones((30, 64))) == pytest.approx((100 - high, 100))


def test_effective_size_never_exceeds_the_attempts_there_are() -> None:
    # Every problem at exactly one half: without the bound the spread of the means would suggest endless certainty.
    low, high = s.ci95([[1, 0]] * 4)
    assert (low, high) == pytest.approx(wilson(0.5, 8, 3.182446305284263))


@pytest.mark.parametrize("concentration", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("attempts", [1, 8, 64])
@pytest.mark.parametrize("problems", [30, 198])
def test_interval_covers_the_true_score_in_simulation(problems: int, attempts: int, concentration: float) -> None:
    # The whole grid with 20,000 runs per cell, beside other intervals: benchmarks/interval_coverage.py.
    generator = np.random.default_rng(11)
    for mean in (0.05, 0.5, 0.97):
        difficulty = generator.beta(mean * concentration, (1 - mean) * concentration, (3000, problems))
        means = generator.binomial(attempts, difficulty) / attempts
        low, high = s.intervals(means, draws=problems * attempts)
        covered = ((low <= 100 * mean) & (100 * mean <= high)).mean()
        assert covered >= 0.925, mean
        assert problems < 198 or covered <= 0.975, mean


def test_many_intervals_at_once_are_the_same_intervals() -> None:
    means = np.random.default_rng(3).binomial(4, 0.4, (2, 5, 30)) / 4
    means[0, 0], means[1, 4] = 0.0, 1.0
    low, high = s.intervals(means, draws=120)
    assert low.shape == high.shape == (2, 5)
    for place in np.ndindex(2, 5):
        assert (low[place], high[place]) == s.interval(means[place], draws=120)


@settings(max_examples=200, deadline=None)
@given(OUTCOMES)
def test_interval_holds_the_score_and_stays_within_the_scale(outcomes: list[list[int]]) -> None:
    low, high = s.ci95(outcomes)
    assert 0 <= low <= s.score(outcomes) + 1e-9
    assert s.score(outcomes) - 1e-9 <= high <= 100


@settings(max_examples=200, deadline=None)
@given(OUTCOMES)
def test_right_and_wrong_are_mirror_images(outcomes: list[list[int]]) -> None:
    flipped = 1 - np.array(outcomes)
    low, high = s.ci95(outcomes)
    assert s.ci95(flipped) == pytest.approx((100 - high, 100 - low))
    assert s.stderr_questions(flipped) == pytest.approx(s.stderr_questions(outcomes))


@settings(max_examples=100, deadline=None)
@given(OUTCOMES, st.randoms(use_true_random=False))
def test_order_of_problems_and_attempts_changes_nothing(outcomes: list[list[int]], random: object) -> None:
    shuffled = [sorted(row, key=lambda _: random.random()) for row in outcomes]  # type: ignore[attr-defined]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    a, b = s.describe(outcomes, maj_at_n=0), s.describe(shuffled, maj_at_n=0)
    assert (b.score, b.stderr_questions, b.pass_at_n) == pytest.approx((a.score, a.stderr_questions, a.pass_at_n))
    assert b.ci95 == pytest.approx(a.ci95)
    assert b.stderr_decoding == pytest.approx(a.stderr_decoding)


# pass@k and maj@n


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_pass_at_k_equals_the_share_of_subsets_with_a_right_answer(k: int) -> None:
    attempts = [1, 0, 0, 1, 0]
    subsets = list(combinations(attempts, k))
    assert s.pass_at_k([attempts], k) == pytest.approx(100 * sum(map(any, subsets)) / len(subsets))


@settings(max_examples=100, deadline=None)
@given(OUTCOMES)
def test_pass_at_one_is_the_score_and_pass_at_k_rises_with_k(outcomes: list[list[int]]) -> None:
    values = [s.pass_at_k(outcomes, k) for k in range(1, len(outcomes[0]) + 1)]
    assert values[0] == pytest.approx(s.score(outcomes))
    assert values == sorted(values)
    assert values[-1] == pytest.approx(100 * np.mean([any(row) for row in outcomes]))


@pytest.mark.parametrize("k", [0, -1, 3])
def test_pass_at_more_than_the_attempts_there_are_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=r"there are 2"):
        s.pass_at_k([[1, 0]], k)


def test_the_most_frequent_answer_decides_maj_at_n() -> None:
    assert s.majority_score([["7", "7", "8"]], [[1, 1, 0]]) == 100
    assert s.majority_score([["8", "8", "7"]], [[0, 0, 1]]) == 0


def test_ties_score_their_expectation() -> None:
    assert s.majority_score([["7", "7", "8", "8"]], [[1, 1, 0, 0]]) == 50
    assert s.majority_score([["7", "8", "9"]], [[1, 0, 0]]) == pytest.approx(100 / 3)


def test_attempts_without_an_answer_do_not_vote() -> None:
    assert s.majority_score([["7", None, None, None]], [[1, 0, 0, 0]]) == 100
    assert s.majority_score([[None, None]], [[0, 0]]) == 0


# Two models


def test_paired_comparison_matches_its_formulas() -> None:
    a, b = [[1, 1], [1, 1], [1, 0], [0, 0]], [[1, 0], [0, 0], [1, 0], [0, 0]]
    d = np.array([0.5, 1, 0, 0])
    compared = s.compare(a, b)
    assert compared.difference == pytest.approx(37.5)
    assert compared.stderr == pytest.approx(100 * d.std(ddof=1) / 2)
    # t quantiles for 3 degrees at 97.5 % and 80 %.
    assert compared.detectable == pytest.approx((3.182446305284263 + 0.978472312308064) * (compared.stderr or 0))
    half = 3.182446305284263 * (compared.stderr or 0)
    assert compared.ci95 == pytest.approx((37.5 - half, 37.5 + half))


def test_permutation_p_value_equals_the_enumeration_of_all_signs() -> None:
    generator = np.random.default_rng(3)
    a, b = generator.integers(0, 2, (9, 4)), generator.integers(0, 2, (9, 4))
    d = a.mean(axis=1) - b.mean(axis=1)
    sums = [abs(np.dot(signs, d)) for signs in product((1, -1), repeat=9)]
    assert s.compare(a, b).p_value == pytest.approx(np.mean([total >= abs(d.sum()) - 1e-9 for total in sums]))


def test_with_many_problems_random_signs_come_close_to_all_signs() -> None:
    generator = np.random.default_rng(5)
    a, b = generator.integers(0, 2, (16, 1)), generator.integers(0, 2, (16, 5))
    d = a.mean(axis=1) - b.mean(axis=1)
    assert (d != 0).sum() > s.EXACT_FLIPS
    signs = 1 - 2 * ((np.arange(2**16)[:, None] >> np.arange(16)) & 1)
    exact = np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-9)
    assert s.compare(a, b).p_value == pytest.approx(exact, abs=0.015)


def test_comparison_with_itself_shows_nothing() -> None:
    x = [[1, 0], [0, 1], [1, 1]]
    compared = s.compare(x, x)
    assert (compared.difference, compared.p_value, compared.detectable) == (0, 1, None)
    assert compared.ci95 is None


def test_comparison_over_one_problem_has_no_error() -> None:
    compared = s.compare([[1, 1]], [[0, 0]])
    assert (compared.difference, compared.stderr, compared.p_value) == (100, None, 1)


def test_models_with_different_attempts_compare_but_different_problems_do_not() -> None:
    assert s.compare([[1, 0], [1, 1]], [[1], [0]]).difference == pytest.approx(25)
    with pytest.raises(ValueError, match=r"only equal problems"):
        s.compare([[1], [0]], [[1]])


@settings(max_examples=50, deadline=None)
@given(OUTCOMES, OUTCOMES)
def test_comparison_is_antisymmetric(a: list[list[int]], b: list[list[int]]) -> None:
    count = min(len(a), len(b))
    forth, back = s.compare(a[:count], b[:count]), s.compare(b[:count], a[:count])
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.p_value == pytest.approx(back.p_value)
    assert 0 < forth.p_value <= 1


def test_a_difference_of_the_detectable_size_is_found_four_times_in_five() -> None:
    generator = np.random.default_rng(19)
    base = 0.1 + 0.6 * generator.random((60, 1))

    def compared(shift: float) -> s.Comparison:
        return s.compare(generator.random((60, 8)) < base + shift, generator.random((60, 8)) < base)

    told = np.mean([compared(0.08).detectable or 0 for _ in range(25)]) / 100
    draws = [compared(told) for _ in range(150)]
    found = np.mean([abs(draw.difference) > 2.0009953780883 * (draw.stderr or 0) for draw in draws])
    assert found == pytest.approx(0.8, abs=0.1)


def run(score: float, error: float | None) -> Statistics:
    return Statistics(
        score=score, stderr_questions=5, stderr_decoding=error, ci95=(0, 100), pass_at_n=score, maj_at_n=score
    )


def test_two_runs_agree_within_their_decoding_errors() -> None:
    # 1.96 * sqrt(3^2 + 4^2) = 9.8
    assert s.agree(run(50, 3), run(59.8, 4))
    assert not s.agree(run(50, 3), run(59.9, 4))
    assert s.agree(run(50, 0), run(50, 0))


def test_runs_of_one_attempt_cannot_be_said_to_agree() -> None:
    with pytest.raises(ValueError, match=r"2 attempts or more"):
        s.agree(run(50, None), run(50, 1))


# Ranks


def test_clearly_different_models_get_single_ranks_and_equal_ones_share() -> None:
    generator = np.random.default_rng(2)
    difficulty = generator.random(200)
    means = [np.clip(difficulty * factor, 0, 1) for factor in (0.3, 0.9, 0.6)]
    assert s.rank_intervals(means) == [(3, 3), (1, 1), (2, 2)]
    assert s.rank_intervals([means[0], means[0], means[1]]) == [(2, 3), (2, 3), (1, 1)]


def test_a_model_alone_is_first_and_one_problem_ranks_nobody() -> None:
    assert s.rank_intervals([[0.5, 0.25]]) == [(1, 1)]
    assert s.rank_intervals([[1.0], [0.0], [0.5]]) == [(1, 3)] * 3


def test_a_constant_lead_counts_only_with_enough_problems() -> None:
    assert s.rank_intervals([np.ones(3), np.zeros(3)]) == [(1, 2), (1, 2)]
    assert s.rank_intervals([np.ones(30), np.zeros(30)]) == [(1, 1), (2, 2)]


def by_hand(means: np.ndarray) -> list[tuple[int, int]]:
    """Rank intervals as they are defined: every pair's own t test, Holm's correction one step at a time."""
    models, problems = means.shape
    ranks = []
    for i in range(models):
        p_values, ahead = [], []
        for j in range(models):
            d = means[j] - means[i]
            if j != i:
                stderr = d.std(ddof=1) / sqrt(problems)
                apart = abs(d.mean()) > 1e-12
                constant = 2.0 ** (1 - problems) if apart else 1.0
                p_values.append(2 * special.stdtr(problems - 1, -abs(d.mean()) / stderr) if stderr > 1e-9 else constant)
                ahead.append(d.mean() > 0)
        rejected = s.holm(p_values)
        better = sum(r and a for r, a in zip(rejected, ahead, strict=True))
        worse = sum(r and not a for r, a in zip(rejected, ahead, strict=True))
        ranks.append((1 + better, models - worse))
    return ranks


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 10_000))
def test_ranks_are_those_of_paired_t_tests_with_holms_correction(models: int, problems: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    ability = generator.random((models, 1))
    means = (generator.random((models, problems, 4)) < ability[:, :, None]).mean(axis=2)
    means[0] = means[-1]
    assert s.rank_intervals(means) == by_hand(means)


def test_ranks_do_not_depend_on_how_many_models_are_compared_at_once() -> None:
    generator = np.random.default_rng(5)
    models = 2 * s.MODELS_AT_ONCE + 3
    means = (generator.random((models, 20, 2)) < generator.random((models, 1, 1))).mean(axis=2)
    order = generator.permutation(len(means))
    shuffled = s.rank_intervals(means[order])
    whole = s.rank_intervals(means)
    assert [whole[place] for place in order] == shuffled


def test_holm_rejects_step_by_step_and_stops_at_the_first_failure() -> None:
    assert s._holm(np.array([0.04, 0.01, 0.02])).tolist() == [True, True, True]
    assert s._holm(np.array([0.04, 0.03, 0.01])).tolist() == [False, False, True]
    assert s._holm(np.array([0.02, 0.02, 0.06])).tolist() == [False, False, False]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 10_000))
def test_rank_intervals_hold_the_observed_rank(models: int, problems: int, seed: int) -> None:
    means = np.random.default_rng(seed).integers(0, 5, (models, problems)) / 4
    averages = means.mean(axis=1)
    for own, (best, worst) in zip(averages, s.rank_intervals(means), strict=True):
        strictly_better = int((averages > own + 1e-9).sum())
        at_least_as_good = int((averages >= own - 1e-9).sum())
        assert 1 <= best <= strictly_better + 1
        assert at_least_as_good <= worst <= models


def test_equal_models_are_rarely_called_different() -> None:
    generator = np.random.default_rng(23)
    difficulty = generator.beta(1, 1, (60, 1))
    wrong = 0
    for _ in range(200):
        means = [(generator.random((60, 4)) < difficulty).mean(axis=1) for _ in range(4)]
        wrong += any(ranks != (1, 4) for ranks in s.rank_intervals(means))
    # Holm holds 5 % per model; four models share their pairs, so the family stays well below four times that.
    assert wrong / 200 <= 0.15
