"""What a model wrote, typeset: formulas are drawn, the answer is marked, and nothing foreign becomes markup."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.formulas import LONGEST_FORMULA, formula
from leaderboard.views.prose import as_written, typeset
from tests.leaderboard.page_content import HOSTILE
from tests.leaderboard.test_views import ATTACKS, Page, assert_harmless

OPENINGS = ["\\[", "$", "$a", "\\(a", "\\boxed{", "\\boxed{{{", "\\begin{align}", "**", "\n\n", "# a\n", "`", "{}"]


@pytest.mark.parametrize(
    "latex",
    [
        r"\frac{1}{2}",
        r"\sqrt[3]{x^2} \le \pi",
        r"\boxed{\text{(B)}}",
        r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
        r"\begin{cases} a & x > 0 \\ b & \text{otherwise} \end{cases}",
        r"\begin{align*} a &= b \\ c &= d \end{align*}",
        r"\overrightarrow{AB} \perp \angle ABC = 30^\circ",
        r"\binom{n}{k} \equiv 3 \pmod{7}",
    ],
)
def test_the_notation_of_competition_mathematics_is_drawn(latex: str) -> None:
    drawn = formula(latex, display=True)
    assert drawn is not None
    assert drawn.startswith("<math")


@pytest.mark.parametrize(
    "latex",
    [
        r"\href{javascript:alert(1)}{x}",
        r"\def\a{\a\a}\a",
        r"\newcommand{\z}{x}\z",
        r"\label{x}",
        r"\hspace{9999cm}x",
        "x" * (LONGEST_FORMULA + 1),
        "a\u202eb",
        r"\frac{1}{",
        " ",
    ],
)
def test_what_does_more_than_typeset_or_is_no_formula_stays_as_it_was_written(latex: str) -> None:
    assert formula(latex, display=False) is None


@pytest.mark.parametrize("attack", [*ATTACKS, HOSTILE])
@pytest.mark.parametrize(
    "around", ["{}", "${}$", r"\[{}\]", "**{}**", r"\boxed{{{}}}", r"\text{{{}}}", r"$\text{{{}}}$"]
)
def test_foreign_text_in_and_around_formulas_stays_text(attack: str, around: str) -> None:
    assert_harmless(typeset(around.replace("{}", attack).replace("{{", "{").replace("}}", "}")))


@given(st.text(alphabet="\\$[](){}ab^_*#\n <>&\"'", max_size=80))
def test_any_mixture_of_delimiters_is_whole_markup(text: str) -> None:
    assert_harmless(typeset(text))


@given(st.text(alphabet="abc \n", max_size=200))
def test_plain_text_is_kept_letter_by_letter(text: str) -> None:
    assert Page(typeset(text)).text == text
    assert Page(as_written(text)).text == text


def test_money_is_not_a_formula() -> None:
    assert "<math" not in typeset("It costs $5 and then $6, or $7 at most.")


def test_a_formula_that_holds_the_answer_is_marked_whole_and_bold_is_shown() -> None:
    text = r"**So** the answer is \[ x = \boxed{42} \] indeed."
    start = text.index(r"\boxed")
    shown = typeset(text, mark=(start, start + len(r"\boxed{42}")))
    assert "<b>So</b>" in shown
    assert '<mark class="answer" title="The grader found the answer here"><math' in shown
    assert shown.count("<mark") == 1


def test_the_mark_covers_exactly_the_answer_in_plain_text() -> None:
    text = "final answer is 42. Bye"
    for shown in (typeset(text, mark=(0, 18)), as_written(text, mark=(0, 18))):
        assert ">final answer is 42</mark>. Bye" in shown


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_hundred_thousand_characters_that_never_close_take_no_time(opening: str) -> None:
    begun = time.process_time()
    typeset((opening * 100_000)[:100_000])
    assert time.process_time() - begun < 3
