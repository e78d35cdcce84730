"""What the demonstration trains on: right, and free of the benchmark."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from backend_jobs.recipes import load_recipe
from backend_jobs.training.arithmetic_data import problem_rows, solution, training_chains, training_examples
from evaluator.arithmetic import PROBLEMS_BY_TERMS, Chain, benchmark_expressions, written_in

RECIPES = Path(__file__).parents[2] / "recipes"


def test_no_benchmark_expression_is_written_anywhere_in_the_whole_training_set() -> None:
    data = load_recipe(RECIPES / "sft" / "arithmetic.yaml").data
    examples = list(training_examples(seed=data.seed, size=data.size))
    assert len(examples) == data.size
    texts = {example["prompt"][0]["content"] + "\n" + example["completion"][0]["content"] for example in examples}
    assert [text for text in texts if written_in(text)] == []


def test_no_benchmark_expression_is_among_the_problems_of_grpo() -> None:
    data = load_recipe(RECIPES / "grpo" / "arithmetic.yaml").data
    rows = list(problem_rows(seed=data.seed, size=data.size))
    assert len(rows) == data.size
    assert [row for row in rows if written_in(row["problem"])] == []
    assert all(row["answer"].lstrip("-").isdigit() for row in rows)


def test_no_expression_at_all_can_stand_in_a_solution() -> None:
    for chain in islice(training_chains(3), 2000):
        assert not re.search(r"\d\s*[+-]", solution(chain))


def test_other_seeds_are_as_clean() -> None:
    for seed in range(5):
        for chain in islice(training_chains(seed), 500):
            assert benchmark_expressions().isdisjoint(chain.parts())


def test_a_solution_shows_each_running_total_and_boxes_the_answer() -> None:
    chain = Chain(first=3, rest=(("+", 5), ("-", 9)))
    assert solution(chain) == "3; +5=8; -9=-1\n</think>\n\n\\boxed{-1}"


def test_lengths_follow_the_benchmark() -> None:
    lengths = [chain.terms for chain in islice(training_chains(1), 8000)]
    for terms, count in PROBLEMS_BY_TERMS.items():
        assert abs(lengths.count(terms) / 8000 - count / 400) < 0.03


def test_most_ways_to_add_a_digit_to_a_total_are_taught() -> None:
    taught = {
        (before, operator, digit)
        for chain in islice(training_chains(1), 38_400)
        for before, (operator, digit) in zip(chain.totals, chain.rest, strict=False)
    }
    needed = {(total, operator, digit) for total in range(-9, 19) for operator in "+-" for digit in range(10)}
    assert needed <= taught
