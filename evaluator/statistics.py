"""The statistics of a measurement, and the only module that imports scipy.

Shapes: outcomes are (N problems, K attempts) of 0 and 1; a problem's mean is the share of its attempts that are right.
Units: everything returned is in points from 0 to 100, p-values and ranks aside. Repeats of one problem are not
independent problems, so no error here divides by N * K alone.

Sources: Miller, arXiv 2411.00640 (errors of an evaluation, paired differences); Chen et al., arXiv 2107.03374 (pass@k);
Wilson, JASA 22 (1927) (the interval); Holm, Scand. J. Statist. 6 (1979) (many comparisons).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluator.types import Statistics

Floats = NDArray[np.float64]

POINTS = 100.0
LEVEL = 0.05
POWER = 0.80
NORMAL_975 = 1.96
WIDEST_STDDEV = 50.0
EXACT_FLIPS = 14
RANDOM_FLIPS = 20_000
MODELS_AT_ONCE = 64
"""Rows of the table of pairs that are in memory at a time: all pairs of 10,000 models would need gigabytes."""
NO_SPREAD = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Model a minus model b over the same problems, in points.

    `stderr` is None with one problem. `ci95` is the paired t interval of the difference, `detectable` the smallest true
    difference that these problems would have shown at the 5 % level in 80 % of such comparisons; both are None where
    no spread was seen (one problem, or every problem differs equally), for then nothing tells what they could show.
    """

    difference: float
    stderr: float | None
    ci95: tuple[float, float] | None
    p_value: float
    detectable: float | None
    problems: int


def describe(outcomes: ArrayLike, *, maj_at_n: float) -> Statistics:
    """Every number of one measurement. `maj_at_n` comes from `majority_score`, which needs the answers."""
    x = checked(outcomes)
    return Statistics(
        score=score(x),
        stderr_questions=stderr_questions(x),
        stderr_decoding=stderr_decoding(x),
        ci95=ci95(x),
        pass_at_n=pass_at_k(x, x.shape[1]),
        maj_at_n=maj_at_n,
    )


def checked(outcomes: ArrayLike) -> Floats:
    """Outcomes as floats of shape (N, K), N and K at least 1.

    Raises:
        ValueError: another shape, or a value that is neither 0 nor 1.
    """
    x = np.asarray(outcomes, dtype=np.float64)
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"outcomes have shape {x.shape}, expected (problems, attempts), at least one of each")
    if not np.isin(x, (0.0, 1.0)).all():
        raise ValueError("outcomes hold a value that is neither 0 nor 1; grade every attempt first")
    return x


def score(outcomes: ArrayLike) -> float:
    """pass@1: the mean of the problem means."""
    return float(checked(outcomes).mean(axis=1).mean()) * POINTS


def stderr_questions(outcomes: ArrayLike) -> float:
    """sqrt(var(m_i, ddof=1) / N): how far another set of such problems could move the score.

    With one problem the spread between problems is unknown: the largest that values from 0 to 100 can have, 50, is
    returned. It is 0 where all problem means are equal; `ci95` is what stays honest there.
    """
    means = checked(outcomes).mean(axis=1)
    if means.size == 1:
        return WIDEST_STDDEV
    return sqrt(float(means.var(ddof=1)) / means.size) * POINTS


def stderr_decoding(outcomes: ArrayLike) -> float | None:
    """sqrt(sum_i var_j(x_ij, ddof=1) / K) / N: how far sampling the same problems again could move the score.

    None with one attempt per problem, which says nothing of it.
    """
    x = checked(outcomes)
    problems, attempts = x.shape
    if attempts == 1:
        return None
    within = float(np.sum(x.var(axis=1, ddof=1)))
    return float(sqrt(within / attempts) / problems * POINTS)


def ci95(outcomes: ArrayLike) -> tuple[float, float]:
    """The 95 % interval of the score over such problems. See `interval`."""
    x = checked(outcomes)
    return interval(x.mean(axis=1), draws=x.size)


def interval(means: ArrayLike, *, draws: int) -> tuple[float, float]:
    """A Wilson interval with an effective sample size, in points.

    `means` are N problem means in [0, 1], `draws` the attempts behind them all (N * K). The effective size is the
    number of independent coin tosses that would spread as the problem means do, their variance drawn a little towards
    a binomial one (as Agresti and Coull do with the mean), held within [1, draws], and N where the mean is 0 or 1. The
    t quantile with N - 1 degrees stands for the normal one. One problem says nothing of other problems: (0, 100).
    """
    low, high = intervals(np.asarray(means, dtype=np.float64), draws=draws)
    return float(low), float(high)


def intervals(means: Floats, *, draws: int) -> tuple[Floats, Floats]:
    """`interval` of many measurements at once: means of shape (..., N) to lower and upper bounds of shape (...)."""
    count = means.shape[-1]
    m = np.clip(means.mean(axis=-1), 0.0, 1.0)
    if count == 1:
        return np.zeros_like(m), np.full_like(m, POINTS)
    effective = _effective_size(m, means.var(axis=-1, ddof=1), count, draws)
    z2 = _t_quantile(1 - LEVEL / 2, count - 1) ** 2 / effective
    centre = (m + z2 / 2) / (1 + z2)
    half = np.sqrt(z2 * m * (1 - m) + z2 * z2 / 4) / (1 + z2)
    low = np.where(m == 0, 0.0, np.maximum(centre - half, 0.0))
    high = np.where(m == 1, 1.0, np.minimum(centre + half, 1.0))
    return low * POINTS, high * POINTS


def _effective_size(m: Floats, variance: Floats, count: int, draws: int) -> Floats:
    p = (count * m + 1) / (count + 2)
    v = ((count - 1) * variance + 2 * p * (1 - p)) / (count + 1)
    effective = np.clip(m * (1 - m) * count / v, 1.0, float(draws))
    return np.where((m == 0) | (m == 1), float(count), effective)


def pass_at_k(outcomes: ArrayLike, k: int) -> float:
    """The chance that one of k attempts is right, in points: mean of 1 - C(n - c, k) / C(n, k) over the problems.

    Unbiased (Chen et al.), and exact: binomials are integers.

    Raises:
        ValueError: k is below 1 or above the attempts there are.
    """
    x = checked(outcomes)
    n = x.shape[1]
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs at least {k} attempts per problem, and k from 1; there are {n}")
    correct = x.sum(axis=1).astype(int).tolist()
    return sum(1 - comb(n - c, k) / comb(n, k) for c in correct) / len(correct) * POINTS


def majority_score(labels: Sequence[Sequence[Hashable | None]], outcomes: ArrayLike) -> float:
    """maj@n over all n attempts, in points.

    `labels` name each attempt's answer up to equality, shape (N, K); None does not vote. The answer with the most votes
    counts; a tie scores its expectation, the mean over the tied answers; a problem without votes scores 0.
    """
    x = checked(outcomes)
    shares = [_majority(votes, right) for votes, right in zip(labels, x.tolist(), strict=True)]
    return sum(shares) / len(shares) * POINTS


def _majority(votes: Sequence[Hashable | None], right: Sequence[float]) -> float:
    counts: Counter[Hashable] = Counter()
    hits: Counter[Hashable] = Counter()
    for vote, hit in zip(votes, right, strict=True):
        if vote is not None:
            counts[vote] += 1
            hits[vote] += int(hit)
    if not counts:
        return 0.0
    most = max(counts.values())
    tied = [hits[label] / most for label, count in counts.items() if count == most]
    return sum(tied) / len(tied)


def ratio(parts: Floats, wholes: Floats, *, tests: int = 1) -> tuple[float, tuple[float, float] | None]:
    """sum(parts) / sum(wholes) over N problems, in points, and its t interval by linearization, problems as units.

    `tests` is the number of such intervals that are to hold together at 95 % (Bonferroni). The interval is None where
    no spread was seen. Source: Cochran, Sampling Techniques (1977), section 6.4.
    """
    count, total = parts.size, float(wholes.sum())
    if total == 0:
        return 0.0, None
    share = float(parts.sum()) / total
    if count < 2:
        return share * POINTS, None
    residuals = parts - share * wholes
    stderr = sqrt(count / (count - 1) * float(residuals @ residuals)) / total
    if stderr <= NO_SPREAD:
        return share * POINTS, None
    half = _t_quantile(1 - LEVEL / (2 * tests), count - 1) * stderr
    return share * POINTS, ((share - half) * POINTS, (share + half) * POINTS)


def compare(a: ArrayLike, b: ArrayLike, *, seed: int = 0) -> Comparison:
    """The paired comparison of two models, outcomes (N, K_a) and (N, K_b) over the same N problems in one order.

    The p-value is two-sided, from flipping the signs of the problem differences: exact where at most 14 problems
    differ, else from 20,000 draws of a generator with this seed, counting the observed one.

    Raises:
        ValueError: the two do not have the same number of problems.
    """
    x, y = checked(a), checked(b)
    if len(x) != len(y):
        raise ValueError(f"the models have {len(x)} and {len(y)} problems; only equal problems can be paired")
    d = x.mean(axis=1) - y.mean(axis=1)
    count, difference = d.size, float(d.mean()) * POINTS
    stderr = sqrt(float(d.var(ddof=1)) / count) * POINTS if count > 1 else None
    ci95 = detectable = None
    if stderr is not None and stderr > NO_SPREAD * POINTS:
        two_sided = _t_quantile(1 - LEVEL / 2, count - 1)
        ci95 = (difference - two_sided * stderr, difference + two_sided * stderr)
        detectable = (two_sided + _t_quantile(POWER, count - 1)) * stderr
    return Comparison(
        difference=difference,
        stderr=stderr,
        ci95=ci95,
        p_value=_sign_flip_p(d, seed),
        detectable=detectable,
        problems=count,
    )


def _sign_flip_p(d: Floats, seed: int) -> float:
    """Share of sign patterns whose sum is at least as far from 0 as the observed one. Ties count as far."""
    d = d[np.abs(d) > NO_SPREAD]
    observed = abs(float(d.sum())) - 1e-9
    if d.size <= EXACT_FLIPS:
        patterns = (np.arange(2**d.size)[:, None] >> np.arange(d.size)) & 1
        return float((np.abs((1 - 2 * patterns) @ d) >= observed).mean())
    signs = np.random.default_rng(seed).integers(0, 2, size=(RANDOM_FLIPS, d.size), dtype=np.int8) * 2.0 - 1.0
    far = int((np.abs(signs @ d) >= observed).sum())
    return (far + 1) / (RANDOM_FLIPS + 1)


def agree(a: Statistics, b: Statistics) -> bool:
    """Whether two runs of one plan agree: |difference| <= 1.96 sqrt(se_a^2 + se_b^2) of their decoding errors.

    Raises:
        ValueError: a run has one attempt per problem, so its decoding error is unknown.
    """
    if a.stderr_decoding is None or b.stderr_decoding is None:
        raise ValueError("a run with one attempt per problem has no decoding error; measure with 2 attempts or more")
    allowed = NORMAL_975 * sqrt(a.stderr_decoding**2 + b.stderr_decoding**2)
    return abs(a.score - b.score) <= allowed + 1e-9


def within_resampling(
    difference: float, *, stderr: float | None, attempts: int, other_attempts: int | None
) -> bool | None:
    """Whether asking the same problems again explains the gap to a score that somebody else reports.

    `stderr` is our decoding error over `attempts` attempts per problem; None makes the answer None. The other run's
    error follows from it if both measured one model alike: it falls with the square root of the attempts. Where theirs
    are unknown, the other run counts as one attempt per problem, the widest it could be.
    """
    if stderr is None:
        return None
    both = stderr * sqrt(1 + attempts / (other_attempts or 1))
    return abs(difference) <= NORMAL_975 * both + 1e-9


def widest_ci95(score: float, problems: int) -> tuple[float, float]:
    """The interval of a score in points of which only the number of problems is known.

    That of `ci95` where every problem is either always or never solved: no number of attempts could leave a wider one.
    """
    right = min(problems, max(0, round(score / POINTS * problems)))
    exact = np.zeros((problems, 1))
    exact[:right] = 1.0
    low, high = ci95(exact)
    # The score need not be a whole number of problems: the interval moves with it.
    moved = score - right / problems * POINTS
    return max(0.0, low + moved), min(POINTS, high + moved)


def shares(counts: Sequence[tuple[ArrayLike, ArrayLike]]) -> Floats:
    """Problem means of M models from their counts (right, attempts), each of N problems: shape (M, N)."""
    means: Floats = np.stack([np.asarray(right, dtype=np.float64) / np.asarray(n) for right, n in counts])
    return means


def rank_intervals(means: ArrayLike) -> list[tuple[int, int]]:
    """The ranks that each of M models may hold, (best, worst), 1 being the highest score.

    `means` has shape (M models, N problems): problem means over the same problems under one protocol. Each model is
    compared with the other M - 1 by paired t tests, Holm's correction at 5 % over those M - 1. Its ranks run from
    1 + (models significantly better) to M - (models significantly worse).
    """
    m = np.asarray(means, dtype=np.float64)
    if m.ndim != 2 or m.size == 0:
        raise ValueError(f"means have shape {m.shape}, expected (models, problems), at least one of each")
    count, problems = m.shape
    if count == 1 or problems == 1:
        # One problem shows no spread: whatever differs there has a p-value of 1.
        return [(1, count)] * count
    averages = m.mean(axis=1)
    centred = m - averages[:, None]
    own = np.einsum("ij,ij->i", centred, centred) / (problems - 1)
    limits = _holm_limits(count, problems)
    ranks = []
    for start in range(0, count, MODELS_AT_ONCE):
        block = slice(start, start + MODELS_AT_ONCE)
        difference = averages[None, :] - averages[block, None]
        variance = own[None, :] + own[block, None] - centred[block] @ centred.T * (2 / (problems - 1))
        t = _paired_t(difference, variance, problems)
        apart = t >= limits[_holm_rejections(t, limits)][:, None]
        better = (apart & (difference > 0)).sum(axis=1)
        worse = (apart & (difference < 0)).sum(axis=1)
        ranks += [(1 + int(ahead), count - int(behind)) for ahead, behind in zip(better, worse, strict=True)]
    return ranks


def _paired_t(difference: Floats, variance: Floats, problems: int) -> Floats:
    """Absolute t of paired tests; of a model with itself 0.

    Without spread in the differences a t test has no scale: models that differ by the same amount everywhere get the t
    that belongs to the sign-flip p-value 2^(1 - N), equal models 0.
    """
    size = np.abs(difference)
    constant = -float(_special().stdtrit(problems - 1, 2.0**-problems))
    spread = variance > NO_SPREAD
    scale = np.sqrt(np.where(spread, variance, 1.0) / problems)
    return np.where(spread, size / scale, np.where(size > NO_SPREAD, constant, 0.0))


def _holm_limits(count: int, problems: int) -> Floats:
    """The least absolute t that Holm's procedure rejects once r of the M - 1 hypotheses are, for r from 0 to M - 1."""
    left = np.maximum(np.arange(count - 1, -1, -1), 1)
    limits: Floats = -_special().stdtrit(problems - 1, LEVEL / (2 * left))
    return limits


def _holm_rejections(t: Floats, limits: Floats) -> NDArray[np.intp]:
    """How many hypotheses of each row Holm's step-down procedure rejects at 5 %.

    Whatever passes the limit after r rejections passes every limit before it too, so all of it may be rejected at once:
    the procedure ends where that rejects nothing more. A few passes instead of a sort.
    """
    rejected = np.zeros(len(t), dtype=np.intp)
    while True:
        more = (t >= limits[rejected][:, None]).sum(axis=1)
        if (more == rejected).all():
            return rejected
        rejected = more


def holm(p_values: Sequence[float]) -> list[bool]:
    """Which of several hypotheses Holm's step-down procedure rejects at 5 %, in their order."""
    return [bool(rejected) for rejected in _holm(np.asarray(p_values, dtype=np.float64))]


def _holm(p: Floats) -> NDArray[np.bool_]:
    """Which of these hypotheses Holm's step-down procedure rejects at 5 %."""
    order = np.argsort(p, kind="stable")
    passed = p[order] <= LEVEL / np.arange(p.size, 0, -1)
    rejected = np.zeros(p.size, dtype=np.bool_)
    rejected[order] = np.logical_and.accumulate(passed)
    return rejected


@lru_cache(maxsize=256)
def _t_quantile(probability: float, degrees: int) -> float:
    return float(_special().stdtrit(degrees, probability))


@lru_cache(maxsize=1)
def _special() -> Any:
    # A fifth of a second to import: only a process that computes an interval pays for it.
    from scipy import special

    return special
