"""The arithmetic benchmark: fixed, unique, right."""

from __future__ import annotations

import json
import random
import re

from hypothesis import given
from hypothesis import strategies as st

from evaluator import arithmetic
from evaluator.arithmetic import Chain, benchmark_chains, benchmark_rows, random_chain, written_in
from evaluator.benchmarks import ARITHMETIC

chains = st.builds(
    lambda first, rest: Chain(first=first, rest=tuple(rest)),
    st.integers(0, 9),
    st.lists(st.tuples(st.sampled_from("+-"), st.integers(0, 9)), min_size=1, max_size=5),
)


def test_the_file_is_what_the_generator_makes() -> None:
    stored = (arithmetic.FOLDER / f"{ARITHMETIC.split}.jsonl").read_text(encoding="utf-8")
    assert stored == arithmetic.benchmark_file()


def test_there_are_400_different_problems_50_150_and_200_by_length() -> None:
    rows = list(benchmark_rows())
    by_length = [sum(row["terms"] == terms for row in rows) for terms in (2, 3, 4)]
    assert by_length == [50, 150, 200]
    assert len({row["expression"] for row in rows}) == len({row["problem_id"] for row in rows}) == ARITHMETIC.problems


def test_every_answer_is_the_sum_of_the_digits_in_the_problem() -> None:
    for line in (arithmetic.FOLDER / "test.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert row["problem"] == f"What is {row['expression']}?"
        digits = re.findall(r"([+-]?)(\d)", row["expression"].replace(" ", ""))
        assert int(row["answer"]) == sum(-int(digit) if sign == "-" else int(digit) for sign, digit in digits)
        assert row["terms"] == len(digits)


def test_a_chain_knows_its_running_totals_and_parts() -> None:
    chain = Chain(first=3, rest=(("+", 5), ("-", 9)))
    assert (chain.expression, chain.totals, chain.answer, chain.terms) == ("3 + 5 - 9", (3, 8, -1), -1, 3)
    assert list(chain.parts()) == ["3 + 5", "3 + 5 - 9", "5 - 9"]


@given(chains)
def test_parts_are_what_can_be_read_inside_a_chain(chain: Chain) -> None:
    parts = list(chain.parts())
    assert all(part in chain.expression for part in parts)
    assert len(parts) == chain.terms * (chain.terms - 1) // 2


def test_a_benchmark_expression_is_found_whatever_its_spacing_and_surroundings() -> None:
    expression = benchmark_chains()[0].expression
    for text in (expression, expression.replace(" ", ""), expression.replace(" ", "\n\t"), f"1 + {expression} - 2 = ?"):
        assert expression in written_in(text)


def test_text_without_a_benchmark_expression_is_clean() -> None:
    assert written_in("3; +5=8; -2=6, and 12 of them") == []


def test_a_seed_decides_the_chains() -> None:
    drawn = [[random_chain(4, draw) for _ in range(20)] for draw in (random.Random(7), random.Random(7))]
    assert drawn[0] == drawn[1]
