from __future__ import annotations

import json
import random
import re
from itertools import islice

import pytest

from backend_jobs.datasets.decontaminate import Contamination, Decontaminator, Overlap, pieces, word_grams
from backend_jobs.training.arithmetic_data import training_chains
from evaluator.arithmetic import benchmark_chains
from settings import ROOT

TRIANGLE = (
    "In triangle $ABC$ the side $AB$ has length $13$, the side $BC$ has length $14$ and the side $CA$ has length $15$. "
    "Find the length of the altitude from $A$."
)
SHORT = "Compute $\\dfrac{3}{4} + \\dfrac{1}{8}.$"
SHELLS = "Every day Ana collects seven shells more than the day before. How many shells has she after ten days?"
PROTECTED = Decontaminator({"math_500": {"t": TRIANGLE, "s": SHORT, "w": SHELLS}})


def found(text: str) -> tuple[str, Overlap] | None:
    hit = PROTECTED.check(text)
    return None if hit is None else (hit.problem_id, hit.overlap)


def test_a_copy_is_found_by_eight_words_in_a_row() -> None:
    assert found(f"Solve this. {TRIANGLE}") == ("t", Overlap.NGRAM)
    assert len(word_grams(SHORT)) == 0


def test_a_short_copy_in_other_formatting_is_the_same() -> None:
    assert found("compute \\( \\frac34+\\frac18 \\)") == ("s", Overlap.SAME)


def test_a_short_problem_with_other_numbers_is_another_problem() -> None:
    assert found("Compute $\\dfrac{3}{4} + \\dfrac{1}{9}.$") is None


def test_other_numbers_do_not_hide_a_wording() -> None:
    assert found(re.sub(r"\d+", "29", TRIANGLE).replace("$", "")) == ("t", Overlap.WORDING)
    assert pieces(SHELLS) == pieces(SHELLS.replace("seven", "9").replace("ten", "two hundred"))


def test_other_formatting_does_not_hide_a_wording() -> None:
    assert found(TRIANGLE.replace("$", "").replace(" ", "  ").replace("13", "5").replace("ABC", "A B C")) is not None


def test_a_problem_of_the_same_kind_is_clean() -> None:
    assert (
        found("In a circle with centre $O$ the chord $PQ$ has length $10$. Find the radius if the distance is $12$.")
        is None
    )
    assert found("") is None


def test_stock_phrases_of_several_problems_are_no_evidence() -> None:
    phrase = "where m and n are relatively prime positive integers and find m + n"
    two = Decontaminator({"aime_2024": {"1": f"A cube is cut {phrase}", "2": f"Two coins fall {phrase}"}})
    assert two.check(f"An urn holds marbles of nine kinds, drawn with odds m/n {phrase}") is None


def test_what_it_says_never_holds_the_text() -> None:
    assert str(PROTECTED.check(TRIANGLE)) == "math_500 t (ngram, 1.00)"
    assert str(Contamination(benchmark="b", problem_id="", overlap=Overlap.WORDING, share=0.5)) == "b (wording, 0.50)"


def test_an_arithmetic_expression_is_found_in_any_spacing() -> None:
    arithmetic = Decontaminator({}, expressions=True)
    expression = benchmark_chains()[0].expression
    assert arithmetic.check(f"What is {expression}?") is not None
    assert arithmetic.check_text(f"First, {expression.replace(' ', '')} is easy") is not None
    assert all(arithmetic.check(chain.question) is None for chain in islice(training_chains(3), 500))


SHARED = ROOT.parent / "shared" / "data" / "benchmarks"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the benchmarks' problems are not here")
def test_planted_rewordings_of_real_problems_are_found_and_other_problems_pass() -> None:
    lines = (SHARED / "HuggingFaceH4" / "MATH-500" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    problems = [json.loads(line)["problem"] for line in lines]
    random.Random(0).shuffle(problems)
    protected = Decontaminator({"math_500": {str(n): text for n, text in enumerate(problems[:250])}})
    planted = [re.sub(r"\d+", lambda number: str(int(number[0]) + 3), text) for text in problems[:250]]
    recall = sum(protected.check(text) is not None for text in planted) / 250
    by_wording = [protected.check(text) for text in problems[250:]]
    false = [hit for hit in by_wording if hit is not None and hit.overlap is not Overlap.NGRAM]
    assert recall > 0.95
    assert len(false) <= 2
