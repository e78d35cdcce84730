"""Formulas read by the cheaper prediction are what math_verify reads."""

from __future__ import annotations

from typing import Any

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator import math_equality
from evaluator.math_equality import _parse, _parse_whole


def exactly(parsed: list[Any]) -> list[tuple[type, str, list[str]]]:
    """What was parsed, down to the assumptions of each symbol and the order in which a set was written."""
    return [
        (
            type(item),
            item if isinstance(item, str) else sympy.srepr(item),
            [*map(str, getattr(item, "_unsorted_args", ()))],
        )
        for item in parsed
    ]


def read_alike(text: str, *, equations: bool = True) -> bool:
    quick = _parse_whole(text, equations=equations)
    return exactly(quick) == exactly(_parse(f"\\boxed{{{text}}}", equations=equations))


ATOMS = st.sampled_from(
    [
        "x",
        "y",
        "a_1",
        "e",
        "i",
        "\\pi",
        "\\theta",
        "0",
        "7",
        "025",
        "3.5",
        ".5",
        "1,234",
        "\\infty",
        "10\\%",
        "90^\\circ",
    ]
)
COMMANDS = ("frac", "sqrt", "cup", "in", "le", "pm", "text", "{", "}", "left(", "right)", "infty", "sum")
FORMULAS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("\\frac{{{}}}{{{}}}".format, inner, inner),
        st.builds(
            "{} {} {}".format, inner, st.sampled_from(["+", "-", "\\cdot", "/", "=", "<", "\\le", ",", "; "]), inner
        ),
        st.builds("{}^{{{}}}".format, inner, inner),
        st.builds("\\sqrt{{{}}}".format, inner),
        st.builds("{} {}".format, st.sampled_from(["\\sin", "\\log_2", "-", "2", "f"]), inner),
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["(", "[", "\\{", "\\left(", "|"]),
            inner,
            st.sampled_from([")", "]", "\\}", "\\right)", "|"]),
        ),
        st.builds("({}, {}]".format, inner, inner),
        st.builds("{}\\text{{ {}}}".format, inner, st.sampled_from(["cm", "and", "inches", "or 5"])),
        st.builds("\\begin{{pmatrix}} {} \\\\ {} \\end{{pmatrix}}".format, inner, inner),
    ),
    max_leaves=5,
)
TOKENS = st.lists(
    st.sampled_from([*"x12de+-*/^_{}()[],;=<.!|%", *(f"\\{name}" for name in COMMANDS)]), min_size=1, max_size=8
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(FORMULAS, st.booleans())
def test_a_formula_is_read_as_math_verify_reads_it(text: str, equations: bool) -> None:
    assert read_alike(text, equations=equations)


@settings(max_examples=150, deadline=None)
@given(TOKENS)
def test_what_is_no_formula_is_read_as_math_verify_reads_it_too(text: str) -> None:
    assert read_alike(text)


@pytest.mark.parametrize(
    "text",
    [
        "the answer is 5",
        "5 \\[ 6 \\]",
        "\\boxed{5}, 6",
        "x \\text{ is } 5",
        "",
        " ",
        "}",
        "{" * 40 + "5" + "}" * 40,
        "\\frac{d f}{d x}",
    ],
)
def test_other_anchors_and_broken_texts_are_left_to_math_verify(text: str) -> None:
    assert read_alike(text)


def test_the_cheaper_prediction_is_really_used() -> None:
    from math_verify.grader import should_treat_as_complex

    normalization = math_equality._extraction(True)[0].normalization_config
    for text in ("\\frac{1}{2}", "(3,4]", "2\\sqrt{3}", "\\{1, 2\\}"):
        assert math_equality.read_boxed(text, normalization, should_treat_as_complex) is not None
