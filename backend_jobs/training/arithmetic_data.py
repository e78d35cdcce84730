"""Worked arithmetic problems to train on: no benchmark expression is written in any of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from evaluator.arithmetic import PROBLEMS_BY_TERMS, Chain, benchmark_expressions, random_chain


def training_chains(seed: int) -> Iterator[Chain]:
    """Endless problems, as long as the benchmark's in its proportions.

    A chain that holds a benchmark expression, whole or as a part, is left out; 2-term chains are few, so they repeat.
    """
    draw = random.Random(seed)
    lengths, weights = tuple(PROBLEMS_BY_TERMS), tuple(PROBLEMS_BY_TERMS.values())
    held_out = benchmark_expressions()
    while True:
        # The length is drawn once per problem: drawn again after a refusal, short chains would crowd out long ones.
        terms = draw.choices(lengths, weights)[0]
        chain = random_chain(terms, draw)
        while not held_out.isdisjoint(chain.parts()):
            chain = random_chain(terms, draw)
        yield chain


def solution(chain: Chain) -> str:
    """What the model learns to write after the prompt's `<think>` line.

    `3 + 5 - 2` becomes `3; +5=8; -2=6`: a step names the next term and the new total, so no operator ever follows a
    digit, and no expression can stand in a solution.
    """
    steps = [
        f"{operator}{digit}={total}" for (operator, digit), total in zip(chain.rest, chain.totals[1:], strict=True)
    ]
    return f"{'; '.join([str(chain.first), *steps])}\n</think>\n\n\\boxed{{{chain.answer}}}"


def training_examples(*, seed: int, size: int) -> Iterator[dict[str, list[dict[str, str]]]]:
    """`size` examples in TRL's conversational prompt-completion format."""
    for chain in islice(training_chains(seed), size):
        yield {
            "prompt": [{"role": "user", "content": chain.question}],
            "completion": [{"role": "assistant", "content": f"<think>\n{solution(chain)}"}],
        }


def problem_rows(*, seed: int, size: int) -> Iterator[dict[str, str]]:
    """`size` problems without a solution, for GRPO: `problem` and `answer`."""
    for chain in islice(training_chains(seed), size):
        yield {"problem": chain.question, "answer": str(chain.answer)}
