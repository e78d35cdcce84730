"""Equality of mathematical answers."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import math_equality
from evaluator.answers import Region, math_answer
from evaluator.math_equality import decide_exactly, equal, equal_in_passage

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("025", "25"),
        ("10,\\!080", "10080"),
        ("10,\\!080", "10,080"),
        ("11,\\! 111,\\! 111,\\! 100", "11111111100"),
        ("1000", "1\\,000"),
        ("1000", "1 000"),
        ("1000", "1{,}000"),
        ("1000.99", "1000,99"),
        ("3 \\pm 2\\sqrt{2}", "3 + 2\\sqrt{2}, 3 - 2\\sqrt{2}"),
        ("\\pm 2021", "\\{-2021, 2021\\}"),
        ("\\{1\\pm\\sqrt{5},-2\\}", "-2, 1+\\sqrt{5}, 1-\\sqrt{5}"),
        ("2516_8", "2516_{8}"),
        ("2516_8", "2516"),
        ("\\$36", "36"),
        ("\\$18.90", "18.9"),
        ("864 \\mbox{ inches}^2", "864"),
        ("864 \\mbox{ inches}^2", "864 \\text{ square inches}"),
        ("125", "125\\textnormal{ miles}"),
        ("12", "12^{\\mathrm{th}} \\text{ grade}"),
        ("x \\in [-2,7]", "[-2,7]"),
        ("x \\in [-2,7]", "-2 \\le x \\le 7"),
        ("x \\in [-2,7]", "-2 \\\\le x \\\\le 7"),
        ("(3,4]", "(3, 4]"),
        ("(3,4]", "3 < x \\le 4"),
        ("\\text{(B)}", "B"),
        ("\\text{(B)}", "(B)"),
        ("\\text{ellipse}", "Ellipse"),
        ("5", "\\text{five}"),
        ("\\text{twelve}", "12"),
        ("\\text{Evelyn}", "\\textbf{Evelyn}"),
        ("x=5", "5"),
        ("5", "x = 5"),
        ("y = 2x + 3", "2x+3"),
        ("-2,1", "x = -2 \\text{ or } x = 1"),
        ("3, 5, 7", "3, 5, and 7"),
        ("10", "10\\%"),
        ("28\\%", "28 percent"),
        ("10\\%", "0.1"),
        ("90^\\circ", "90"),
        ("137 \\frac{1}{2}", "137.5"),
        (".0000672", "6.72 \\times 10^{-5}"),
        ("\\cot x", "\\frac{\\cos x}{\\sin x}"),
        ("5x - 7y + 11z + 4 = 0", "-5x + 7y - 11z - 4 = 0"),
        ("2x+4y-3=0", "y=-\\frac{1}{2}x+\\frac{3}{4}"),
        ("F_n = \\sum_{k=0}^{n-1} F_k F_{n-k-1}", "F_n = \\sum_{k=0}^{n-1} F_{n-k-1} F_k"),
        ("\\begin{pmatrix} 1/5 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} \\frac{1}{5} \\\\ 2 \\end{pmatrix}"),
    ],
)
def test_restyled_answers_are_equal(gold: str, answer: str) -> None:
    assert equal(gold, answer)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("025", "52"),
        ("50", "-50"),
        ("(3,4]", "[3,4]"),
        ("(2,\\infty)", "[2,\\infty)"),
        ("x \\in [-2,7]", "x \\in [-3,7]"),
        ("D = (0, 1)", "D = (0, 1.5)"),
        ("n = 2, 3, 4", "n = 1, 2, 3"),
        ("19, 46, and 82", "21, 36, and 82"),
        ("\\pm 2021", "2021"),
        ("12:00", "1:00"),
        ("1 - \\frac{1}{\\mathrm{e}}", "1 + \\frac{1}{\\mathrm{e}}"),
        ("F_n = \\sum_{k=0}^{n-1} F_k", "F_n = \\sum_{k=0}^{n-2} F_k"),
        ("x = 5", "y = 6"),
        ("\\text{even}", "odd"),
        ("6", "\\text{five}"),
        ("4", "4, \\frac{7}{2}"),
        ("4", "4,000"),
        ("\\frac{1}{3}", "0.333"),
        ("1,22", "22"),
        ("5x + 1 = 0", "5x + 2 = 0"),
        ("42", ""),
        ("", ""),
    ],
)
def test_different_answers_are_different(gold: str, answer: str) -> None:
    assert not equal(gold, answer)


INTEGERS = st.integers(-(10**12), 10**12)


@settings(max_examples=60, deadline=None)
@given(INTEGERS, INTEGERS | st.none(), st.integers(0, 3))
def test_the_exact_path_says_of_integers_what_math_verify_says(a: int, b: int | None, zeros: int) -> None:
    gold = f"{'-' if a < 0 else ''}{'0' * zeros}{abs(a)}"
    answer = str(a if b is None else b)
    slow = math_equality._same(math_equality._parse_answer(gold), math_equality._parse_answer(answer))
    assert decide_exactly(gold, answer) is slow


@pytest.mark.parametrize(
    "answer",
    [
        "\\frac{1}{2}",
        "(3,4]",
        "x^2+1",
        "3, 5, 7",
        "\\text{east}",
        "2516_8",
        "10\\%",
        "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}",
    ],
)
def test_the_exact_path_says_of_equal_strings_what_math_verify_says(answer: str) -> None:
    parsed = math_equality._parse_answer(answer)
    assert decide_exactly(answer, answer) is True
    assert math_equality._same(parsed, parsed)


@pytest.mark.parametrize(("gold", "answer"), [("0.5", ".50"), ("1/2", "\\frac12"), ("5", "5.0"), ("x", "y")])
def test_the_exact_path_leaves_everything_else_open(gold: str, answer: str) -> None:
    assert decide_exactly(gold, answer) is None


def test_an_endless_answer_is_different_without_a_look() -> None:
    assert decide_exactly("42", "1+" * 600 + "1") is False
    assert decide_exactly("x" * 400, "y" * 1_500) is None


@pytest.mark.parametrize(
    "answer",
    [
        "((9!)!)!",
        "99999999!",
        "9**9**9",
        "9^{9^{9}}",
        "9^{9^{9^{9}}}",
        "2^{2^{2^{2^{2^{2}}}}}",
        "\\sqrt{10^{100000}+1}",
        "(x+y+z+w)^{200}",
        "(1+10^{-9})^{10^{9}}",
        "\\frac{2 - 3\\omega + \\omega^{-1994}}{2(1 - \\omega)(1 - \\omega^2)}",
    ],
)
def test_huge_numbers_are_refuted_without_being_expanded(answer: str) -> None:
    started = time.process_time()
    assert not equal("\\frac{1997}{2}", answer)
    assert time.process_time() - started < 2.0


def test_a_quotient_of_factorials_is_still_worked_out() -> None:
    assert equal("4090506", "\\frac{2023!}{2021!}")


def test_the_search_in_a_passage_gives_the_answer_it_compared() -> None:
    assert equal_in_passage("1/2", "Half of it, so the answer is $\\frac{1}{2}$.") == ("\\frac{1}{2}", True)
    assert equal_in_passage("7", "We get 3 + 5 = 8") == ("8", False)
    assert equal_in_passage("7", "I cannot tell.") == (None, False)


def test_a_passage_is_searched_at_its_end_only() -> None:
    started = time.process_time()
    passage = math_answer(Region(text=" ".join(str(number) for number in range(20_000))))
    assert passage is not None
    answer, correct = equal_in_passage("19999", passage.text)
    assert correct
    assert answer == "19999"
    assert time.process_time() - started < 5.0


def test_outside_a_main_thread_equality_refuses_instead_of_answering_wrong() -> None:
    caught: list[str] = []

    def compare() -> None:
        try:
            equal("1/2", "0.5 + 0")
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=compare)
    thread.start()
    thread.join()
    assert "main thread" in caught[0]


def test_importing_the_grader_imports_neither_sympy_nor_math_verify() -> None:
    code = (
        "import sys, evaluator.grading_pool, evaluator.grade_file;"
        "sys.exit(any(name in sys.modules for name in ('sympy', 'math_verify', 'latex2sympy2_extended')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    "answer",
    [
        "\\sum_{k=1}^{10^9} \\sin k",
        "\\sum_{k=1}^{10^{10^{10}}} k",
        "\\prod_{k=1}^{10^6} (1+k^2)",
        "\\sum_{i=1}^{900}\\sum_{j=1}^{900} i j",
    ],
)
def test_a_long_sum_left_unevaluated_is_no_final_answer_unless_it_is_the_target(answer: str) -> None:
    assert not equal("5", answer)
    assert equal(answer, answer)


@pytest.mark.parametrize(
    ("target", "answer"),
    [("15", "\\sum_{k=1}^{5} k"), ("0", "\\sum_{k=0}^{100} (-1)^k \\binom{100}{k}"), ("120", "\\prod_{k=1}^{5} k")],
)
def test_a_short_sum_or_product_is_evaluated(target: str, answer: str) -> None:
    assert equal(target, answer)
    assert not equal(f"{target} + 1", answer)


@pytest.mark.parametrize(
    "answer",
    [
        "\\sum_{k=1}^{900} k^{k^2}",
        "\\sum_{k=1}^{60} 2^{2^{k}}",
        "\\prod_{k=1}^{500} (1+\\sin k)",
        "\\int_0^\\infty \\frac{\\sin(x^3) e^{-x^2}}{1+x^5} dx",
        "x = 99999999!",
    ],
)
def test_what_sympy_could_never_work_out_is_refuted_in_no_time(answer: str) -> None:
    started = time.process_time()
    assert not equal("42", answer)
    assert time.process_time() - started < 3.0


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("(3,5)", "(99999999!, 5)"),
        ("[1,2]", "[1, 99999999!]"),
        ("\\{1,2\\}", "\\{1, 9^{9^{9}}\\}"),
        ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 99999999! \\\\ 2 \\end{pmatrix}"),
    ],
)
def test_one_part_that_clearly_differs_refutes_the_whole(target: str, answer: str) -> None:
    started = time.process_time()
    assert not equal(target, answer)
    assert time.process_time() - started < 3.0


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("\\frac{1}{3}", "\\int_0^1 x^2 \\, dx"),
        ("1", "\\lim_{x \\to 0} \\frac{\\sin x}{x}"),
        ("\\frac{\\pi^2}{6}", "\\sum_{n=1}^{\\infty} \\frac{1}{n^2}"),
    ],
)
def test_a_calculation_left_to_be_carried_out_is_no_final_answer_unless_it_is_the_target(
    target: str, answer: str
) -> None:
    assert not equal(target, answer)
    assert equal(answer, answer.replace(" ", "  "))
    assert equal(answer, target)


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("17", "\\sqrt[3]{\\sqrt{5}+2}-\\sqrt[3]{\\sqrt5-2}+16"),
        ("\\sqrt{11}", "\\tan \\frac{3\\pi}{11} + 4 \\sin \\frac{2\\pi}{11}"),
    ],
)
def test_two_numbers_that_agree_in_fifty_digits_are_equal(target: str, answer: str) -> None:
    assert equal(target, answer)


def test_numbers_that_agree_only_nearly_are_not_equal() -> None:
    # Ramanujan's constant: an integer but for its thirteenth decimal.
    assert not equal("262537412640768744", "e^{\\pi \\sqrt{163}}")
    assert not equal("1 + 10^{-20}", "1")
