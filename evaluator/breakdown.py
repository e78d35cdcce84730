"""Tables that explain a score: per group of problems, per number of tries, per letter chosen.

Counts in, points from 0 to 100 out. A group's interval is the one of a whole benchmark of that many problems: few
problems, wide interval.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluator import statistics
from evaluator.statistics import Floats

NO_LETTER = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How one problem went: its group (a subject, a level; empty for none), attempts, right ones."""

    group: str
    n: int
    correct: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupScore:
    """One group of problems. Score and interval in points."""

    group: str
    problems: int
    score: float
    ci95: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class LetterCount:
    """How often attempts chose a letter and how often it was right, over the attempts that chose any.

    `excess` is the difference in points of those attempts; `ci95` its interval, problems being the units and all
    letters of the table covered together at 95 %. None with fewer than two problems or without spread.
    """

    letter: str
    chosen: int
    right: int
    excess: float
    ci95: tuple[float, float] | None

    @property
    def biased(self) -> bool:
        """Whether the letter itself draws or repels answers, beyond what chance explains."""
        return self.ci95 is not None and not self.ci95[0] <= 0 <= self.ci95[1]


def outcomes(tallies: Sequence[Tally]) -> Floats:
    """Outcomes of shape (problems, attempts) with these counts; which attempt was right does not matter here.

    Raises:
        ValueError: the problems do not all have the same number of attempts.
    """
    attempts = {tally.n for tally in tallies}
    if len(attempts) != 1:
        raise ValueError(f"the problems have {sorted(attempts)} attempts; a score needs the same number at each")
    right = np.array([tally.correct for tally in tallies])
    return (np.arange(attempts.pop()) < right[:, None]).astype(np.float64)


def by_group(tallies: Sequence[Tally]) -> list[GroupScore]:
    """One line per group, in the order of their names; none where fewer than two groups are named."""
    groups: dict[str, list[Tally]] = defaultdict(list)
    for tally in tallies:
        groups[tally.group].append(tally)
    named = sorted(name for name in groups if name)
    if len(named) < 2:
        return []
    return [_group_score(name, outcomes(groups[name])) for name in named]


def _group_score(name: str, x: Floats) -> GroupScore:
    return GroupScore(group=name, problems=len(x), score=statistics.score(x), ci95=statistics.ci95(x))


def pass_at(tallies: Sequence[Tally]) -> list[tuple[int, float]]:
    """(k, pass@k in points) for k = 1, 2, 4, ... and all attempts; the unbiased estimator."""
    x = outcomes(tallies)
    attempts = x.shape[1]
    powers = [2**i for i in range(attempts.bit_length()) if 2**i < attempts]
    return [(k, statistics.pass_at_k(x, k)) for k in [*powers, attempts]]


def letter_counts(answers: Sequence[tuple[str, str]]) -> list[LetterCount]:
    """Letters chosen beside letters right, per letter that was ever right.

    `answers` holds per problem (letters chosen, letters right), one character per attempt, `-` for no answer. Where the
    order of the options is drawn anew for every attempt, a model that looks only at their content chooses each letter
    as often as it is right, however many of its answers are wrong: a letter chosen more often is position bias.
    """
    pairs = [_answered(chosen, right) for chosen, right in answers]
    letters = sorted({letter for _, right in answers for letter in right if letter != NO_LETTER})
    return [_letter_count(letter, pairs, len(letters)) for letter in letters]


def _answered(chosen: str, right: str) -> list[tuple[str, str]]:
    return [(c, r) for c, r in zip(chosen, right, strict=True) if c != NO_LETTER]


def _letter_count(letter: str, pairs: Sequence[Sequence[tuple[str, str]]], letters: int) -> LetterCount:
    chosen = Counter(c for problem in pairs for c, _ in problem)[letter]
    right = Counter(r for problem in pairs for _, r in problem)[letter]
    sizes = np.array([len(problem) for problem in pairs], dtype=np.float64)
    extra = np.array([sum((c == letter) - (r == letter) for c, r in problem) for problem in pairs], dtype=np.float64)
    share, ci95 = statistics.ratio(extra, sizes, tests=letters)
    return LetterCount(letter=letter, chosen=chosen, right=right, excess=share, ci95=ci95)
