"""The policy: from one completion to one score."""

from __future__ import annotations

from typing import Any

import pytest

from evaluator.grading import GRADER_VERSION, Question, decide, grade
from evaluator.types import Extraction, GradeInput, Score, UngradedReason, Verdict


def item(text: str, target: str = "42", *, extraction: Extraction = Extraction.MATH, **facts: Any) -> GradeInput:
    return GradeInput(problem_id="p", attempt=0, text=text, target=target, extraction=extraction, **facts)


def verdict(text: str, target: str = "42", **facts: Any) -> Verdict:
    return grade(item(text, target, **facts)).verdict


def test_the_version_names_our_policy_and_the_library() -> None:
    ours, library = GRADER_VERSION.split("+")
    assert ours.isdigit()
    assert library.startswith("math-verify-")


def test_a_right_box_is_correct_and_a_wrong_one_incorrect() -> None:
    assert verdict("So \\boxed{42}.") is Verdict.CORRECT
    assert verdict("So \\boxed{41}.") is Verdict.INCORRECT


def test_leading_zeros_do_not_matter() -> None:
    assert verdict("\\boxed{25}", "025") is Verdict.CORRECT
    assert verdict("\\boxed{025}", "25") is Verdict.CORRECT


def test_a_thought_that_the_limit_cut_off_gives_no_answer_even_with_a_box_in_it() -> None:
    score = grade(item("<think> maybe \\boxed{42}", finish_reason="length"))
    assert (score.verdict, score.truncated, score.answer) == (Verdict.NO_ANSWER, True, None)
    prompted = grade(item("maybe \\boxed{42}", finish_reason="length", prompt_opens_thought=True))
    assert prompted.verdict is Verdict.NO_ANSWER


def test_an_answer_in_the_region_counts_although_the_model_rambled_on_to_the_limit() -> None:
    score = grade(item("ok</think> \\boxed{42} " + "and so on " * 500, finish_reason="length"))
    assert (score.verdict, score.truncated) == (Verdict.CORRECT, True)


@pytest.mark.parametrize(("finish_reason", "truncated"), [("stop", False), ("length", True), (None, None)])
def test_truncated_says_what_the_server_said(finish_reason: str | None, truncated: bool | None) -> None:
    assert grade(item("\\boxed{42}", finish_reason=finish_reason)).truncated is truncated


def test_an_unknown_finish_reason_is_taken_as_stop() -> None:
    assert verdict("<think> so \\boxed{42}") is Verdict.CORRECT


@pytest.mark.parametrize("ending", ["", " ", "\n\nDone.", "\n<|im_end|>"])
def test_an_answer_only_inside_a_closed_thought_counts_and_is_marked(ending: str) -> None:
    score = grade(item(f"so \\boxed{{42}}</think>{ending}", finish_reason="stop"))
    assert (score.verdict, score.answered_in_thought) == (Verdict.CORRECT, True)


def test_a_tagged_box_after_a_thought_is_an_answer() -> None:
    assert verdict("hm</think> <boxed>42</boxed>") is Verdict.CORRECT
    assert verdict("so \\boxed{42} <\\/think> <boxed>42</boxed>") is Verdict.CORRECT


def test_the_region_wins_over_the_thought() -> None:
    score = grade(item("so \\boxed{42}</think> It is \\boxed{43}", finish_reason="stop"))
    assert (score.verdict, score.answer, score.answered_in_thought) == (Verdict.INCORRECT, "43", False)


def test_reasoning_returned_apart_is_graded_like_a_thought_in_the_text() -> None:
    score = grade(item("Done.", reasoning="so \\boxed{42}", finish_reason="stop"))
    assert (score.verdict, score.answered_in_thought) == (Verdict.CORRECT, True)


def test_prose_without_box_or_last_line_is_searched() -> None:
    score = grade(item("Adding up, the answer is 42 apples."))
    assert (score.verdict, score.answer) == (Verdict.CORRECT, "42")
    assert verdict("Adding up, the answer is 41 apples.") is Verdict.INCORRECT
    assert verdict("I do not know.") is Verdict.NO_ANSWER
    assert verdict("") is Verdict.NO_ANSWER


def test_a_target_may_come_boxed_or_in_dollars() -> None:
    assert verdict("\\boxed{0.5}", "$\\frac{1}{2}$") is Verdict.CORRECT
    assert verdict("\\boxed{42}", "\\boxed{42}") is Verdict.CORRECT


def test_text_settles_what_it_can_without_mathematics() -> None:
    assert isinstance(decide(item("\\boxed{42}")), Score)
    assert isinstance(decide(item("\\boxed{41}")), Score)
    assert isinstance(decide(item("\\boxed{\\frac{84}{2}}")), Question)


@pytest.mark.parametrize(
    ("target", "expected"), [("B", Verdict.CORRECT), ("(B) water", Verdict.CORRECT), ("C", Verdict.INCORRECT)]
)
def test_letters_are_compared_with_the_letter_of_the_target(target: str, expected: Verdict) -> None:
    assert verdict("Long text.\nAnswer: B", target, extraction=Extraction.LETTER) is expected


def test_a_multiple_choice_answer_without_a_letter_is_no_answer() -> None:
    assert verdict("Water, I guess.", "B", extraction=Extraction.LETTER) is Verdict.NO_ANSWER


def test_letters_obey_the_same_rules_of_thinking() -> None:
    cut = grade(item("<think> Answer: B", "B", extraction=Extraction.LETTER, finish_reason="length"))
    assert (cut.verdict, cut.truncated) == (Verdict.NO_ANSWER, True)
    inside = grade(item("Answer: B</think>", "B", extraction=Extraction.LETTER, finish_reason="stop"))
    assert (inside.verdict, inside.answered_in_thought) == (Verdict.CORRECT, True)


def test_a_graded_row_carries_no_reason() -> None:
    score = grade(item("\\boxed{42}"))
    assert score.reason is None
    assert UngradedReason.TIMED_OUT.value == "timed_out"
