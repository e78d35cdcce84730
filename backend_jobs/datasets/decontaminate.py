"""Does a training problem overlap with a benchmark? Eight words in a row, as Open-R1 asks, and a check of the wording.

* `ngram`: eight words in a row, lower case, that a benchmark problem has too (Open-R1's `decontaminate.py`, after s1).
  It misses problems of fewer words, other LaTeX for the same formula, and other numbers in between. Words that several
  benchmark problems share ("where m and n are relatively prime positive integers") are stock phrases, not evidence.
* `same`: the problem without its formatting, numbers and all, is a benchmark problem's.
* `wording`: what is left without formatting and with every number made `#` is nearly a benchmark problem's: the share
  of three-token pieces that two problems have in common (Jaccard), weighted by how rare a piece is among the
  benchmarks, reaches `WORDING_OVERLAP`. So a reworded number or another way of writing a formula does not hide it.
* `expression`: an expression of the `arithmetic` benchmark is written somewhere in the text.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from evaluator.arithmetic import written_in

NGRAM_WORDS = 8
PIECE_TOKENS = 3
WORDING_OVERLAP = 0.5
LEAST_PIECES = 5
"""Shorter problems ("Compute $\\sin 60^\\circ$.") say too little without their numbers: `same` alone judges them."""

LAYOUT = re.compile(
    r"\\(?:left|right|displaystyle|tfrac|dfrac|quad|qquad|text|mathrm|mathbf|textbf|mbox|operatorname|begin|end|hspace"
    r"|vspace|bigl?|bigr?|Bigl?|Bigr?|limits|,|;|!|:| )(?![a-zA-Z])"
)
FRACTION = re.compile(r"\\[dtc]?frac")
TOKEN = re.compile(r"[a-z]+|[0-9]+|[^\sa-z0-9]")
NUMBER_WORD = re.compile(
    r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundred|thousand"
)
NOISE = frozenset("{}$\\.,;:!?'\"`*~_[]()|&-–—#")
SPELLINGS = {"cdot": "*", "times": "*", "leq": "<", "geq": ">", "le": "<", "ge": ">", "div": "/"}


class Overlap(StrEnum):
    """How a problem was found; the module says what each means."""

    NGRAM = "ngram"
    SAME = "same"
    WORDING = "wording"
    EXPRESSION = "expression"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contamination:
    """A benchmark problem that a text overlaps with. `problem_id` is empty for an expression."""

    benchmark: str
    problem_id: str
    overlap: Overlap
    share: float = 1.0

    def __str__(self) -> str:
        """As a row's detail says it: never the benchmark's text."""
        return f"{self.benchmark} {self.problem_id} ({self.overlap}, {self.share:.2f})".replace("  ", " ")


class Decontaminator:
    """Knows benchmarks' problems, {benchmark: {problem id: text}}; `expressions` adds those of `arithmetic`."""

    def __init__(self, problems: Mapping[str, Mapping[str, str]], *, expressions: bool = False) -> None:
        self._expressions = expressions
        self._names = [(benchmark, key) for benchmark, texts in problems.items() for key in texts]
        texts = [problems[benchmark][key] for benchmark, key in self._names]
        grams = [word_grams(text) for text in texts]
        stock = Counter(gram for found in grams for gram in found)
        self._grams = {gram: n for n, found in enumerate(grams) for gram in found if stock[gram] == 1}
        self._same = {" ".join(tokens(text)): n for n, text in reversed(list(enumerate(texts)))}
        self._pieces = [pieces(text) for text in texts]
        known = Counter(piece for found in self._pieces for piece in found)
        self._weight = {piece: math.log(1 + len(texts) / n) for piece, n in known.items()}
        self._new_weight = math.log(1 + len(texts)) if texts else 1.0
        self._whole = [sum(self._weight[piece] for piece in found) for found in self._pieces]
        self._having: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for n, found in enumerate(self._pieces):
            for piece in found if len(found) >= LEAST_PIECES else ():
                self._having[piece].append(n)

    def check(self, problem: str) -> Contamination | None:
        """The benchmark problem that a training problem overlaps with; None for a clean one. About 0.2 ms."""
        if not self._names and not self._expressions:
            return None
        return next((hit for check in self._checks() if (hit := check(problem))), None)

    def check_text(self, text: str) -> Contamination | None:
        """What of a whole answer must not be in the data either: an expression of the arithmetic benchmark."""
        written = written_in(text) if self._expressions else []
        return self._expression(written) if written else None

    def _checks(self) -> Iterable[Callable[[str], Contamination | None]]:
        return self._by_ngram, self._by_text, self._by_wording, self.check_text

    def _by_ngram(self, problem: str) -> Contamination | None:
        hit = next((self._grams[gram] for gram in word_grams(problem) if gram in self._grams), None)
        return None if hit is None else self._found(hit, Overlap.NGRAM)

    def _by_text(self, problem: str) -> Contamination | None:
        hit = self._same.get(" ".join(tokens(problem)))
        return None if hit is None else self._found(hit, Overlap.SAME)

    def _by_wording(self, problem: str) -> Contamination | None:
        own = pieces(problem)
        if len(own) < LEAST_PIECES:
            return None
        shared: dict[int, float] = defaultdict(float)
        for piece in own:
            for n in self._having.get(piece, ()):
                shared[n] += self._weight[piece]
        if not shared:
            return None
        mine = sum(self._weight.get(piece, self._new_weight) for piece in own)
        share, nearest = max((common / (mine + self._whole[n] - common), n) for n, common in shared.items())
        return self._found(nearest, Overlap.WORDING, share) if share >= WORDING_OVERLAP else None

    def _found(self, number: int, overlap: Overlap, share: float = 1.0) -> Contamination:
        benchmark, problem_id = self._names[number]
        return Contamination(benchmark=benchmark, problem_id=problem_id, overlap=overlap, share=share)

    @staticmethod
    def _expression(written: Sequence[str]) -> Contamination:
        return Contamination(benchmark="arithmetic", problem_id=written[0], overlap=Overlap.EXPRESSION)


def word_grams(text: str) -> set[tuple[str, ...]]:
    """Every run of eight words, lower case, split at white space: what Open-R1 compares."""
    words = text.lower().split()
    return {tuple(words[n : n + NGRAM_WORDS]) for n in range(len(words) - NGRAM_WORDS + 1)}


def tokens(text: str) -> list[str]:
    """Words, digits and signs of a problem without its formatting: `$\\dfrac{1}{2}$` is `\\(\\frac12\\)`."""
    plain = LAYOUT.sub(" ", FRACTION.sub(r"\\frac ", text)).lower()
    found: list[str] = []
    for token in TOKEN.findall(plain):
        token = SPELLINGS.get(token, token)
        if token not in NOISE:
            # 12 in \frac12 is two arguments, as {1}{2} is: digits stand alone everywhere.
            found += token if token.isdigit() else [token]
    return found


def pieces(text: str) -> set[tuple[str, ...]]:
    """Runs of three tokens in which every number, in digits or in words, is `#`."""
    masked: list[str] = []
    for token in tokens(text):
        token = "#" if token.isdigit() or NUMBER_WORD.fullmatch(token) else token
        if not (token == "#" and masked and masked[-1] == "#"):
            masked.append(token)
    return {tuple(masked[n : n + PIECE_TOKENS]) for n in range(len(masked) - PIECE_TOKENS + 1)}
