"""The problems of the `arithmetic` benchmark: chains of single digits with + and -, drawn from one seed.

`data/arithmetic/test.jsonl` is what is measured; it is `benchmark_rows()`, line by line.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

FOLDER = Path(__file__).with_name("data") / "arithmetic"
SEED = 20250120
PROBLEMS_BY_TERMS = {2: 50, 3: 150, 4: 200}
OPERATORS = "+-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chain:
    """A first digit and what follows it: `3 + 5 - 2` is first 3, then ("+", 5) and ("-", 2)."""

    first: int
    rest: tuple[tuple[str, int], ...]

    @property
    def terms(self) -> int:
        """How many digits the chain has."""
        return 1 + len(self.rest)

    @property
    def expression(self) -> str:
        """The chain as it is written: `3 + 5 - 2`."""
        return " ".join([str(self.first), *(f"{operator} {digit}" for operator, digit in self.rest)])

    @property
    def totals(self) -> tuple[int, ...]:
        """The running totals from the first digit to the answer, one per term: 3, 8, 6."""
        signed = (digit if operator == "+" else -digit for operator, digit in self.rest)
        return tuple(accumulate(signed, initial=self.first))

    @property
    def answer(self) -> int:
        """The value of the chain."""
        return self.totals[-1]

    @property
    def question(self) -> str:
        """The problem as it is put to a model, in the benchmark and in training alike."""
        return f"What is {self.expression}?"

    def parts(self) -> Iterator[str]:
        """Every expression of two terms or more that is written somewhere inside this one, itself included."""
        words = self.expression.split(" ")
        for start in range(0, len(words), 2):
            for end in range(start + 3, len(words) + 1, 2):
                yield " ".join(words[start:end])


def random_chain(terms: int, draw: random.Random) -> Chain:
    """A chain of so many digits, each digit and each operator equally likely."""
    return Chain(
        first=draw.randrange(10),
        rest=tuple((OPERATORS[draw.randrange(2)], draw.randrange(10)) for _ in range(terms - 1)),
    )


@cache
def benchmark_chains() -> tuple[Chain, ...]:
    """The 400 problems, by number of terms; no expression twice."""
    draw = random.Random(SEED)
    chosen: dict[str, Chain] = {}
    wanted = 0
    for terms, count in PROBLEMS_BY_TERMS.items():
        wanted += count
        while len(chosen) < wanted:
            chain = random_chain(terms, draw)
            chosen.setdefault(chain.expression, chain)
    return tuple(chosen.values())


@cache
def benchmark_expressions() -> frozenset[str]:
    """What no training example may hold, see `written_in`."""
    return frozenset(chain.expression for chain in benchmark_chains())


def written_in(text: str) -> list[str]:
    """The benchmark expressions that stand anywhere in a text, whatever its spacing, sorted.

    This is what "training data never contain a benchmark expression" means: not as the problem, not as a part of a
    longer problem, not in a step of a solution. It is a statement about what is written. A running total and the next
    term do meet in training, in other problems: adding a digit to a total is the skill that the benchmark measures.
    """
    squeezed_text = "".join(text.split())
    return sorted(expression for expression, squeezed in _squeezed_expressions() if squeezed in squeezed_text)


@cache
def _squeezed_expressions() -> tuple[tuple[str, str], ...]:
    return tuple((expression, expression.replace(" ", "")) for expression in benchmark_expressions())


def benchmark_rows() -> Iterator[dict[str, str | int]]:
    """The rows of `test.jsonl`: problem_id, expression, problem, answer, terms."""
    seen = dict.fromkeys(PROBLEMS_BY_TERMS, 0)
    for chain in benchmark_chains():
        yield {
            "problem_id": f"arith-{chain.terms}-{seen[chain.terms]:03d}",
            "expression": chain.expression,
            "problem": chain.question,
            "answer": str(chain.answer),
            "terms": chain.terms,
        }
        seen[chain.terms] += 1


def benchmark_file() -> str:
    """The whole text of `test.jsonl`."""
    return "".join(json.dumps(row) + "\n" for row in benchmark_rows())
