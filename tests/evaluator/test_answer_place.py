"""Where the grader found the answer: the marked characters are the ones that were graded."""

from __future__ import annotations

import pytest

from evaluator.answer_place import answer_place
from evaluator.answers import answer_region, clean, last_box, math_answer
from evaluator.types import Extraction, GradeInput


def item(text: str, **fields: object) -> GradeInput:
    given = {"problem_id": "p", "attempt": 0, "text": text, "target": "42", "extraction": Extraction.MATH} | fields
    return GradeInput(**given)  # type: ignore[arg-type]


def marked(graded: GradeInput, answer: str | None = None) -> str | None:
    place = answer_place(graded, answer=answer)
    if place is None:
        return None
    return ((graded.reasoning or "") if place.in_reasoning else graded.text)[place.start : place.end]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"<think>\boxed{1}</think>So \boxed{2}, no: \boxed{42}.", r"\boxed{42}"),
        (r"<think>hm \boxed{7}</think>Done.", r"\boxed{7}"),
        (r"roots \boxed{1} and \boxed{2}", r"\boxed{1} and \boxed{2}"),
        ("a</think>\nTherefore, the final answer is: $42$. I hope it is correct\nbye", None),
        (r"an empty \boxed{} after \boxed{5}", r"\boxed{5}"),
        ("", None),
    ],
)
def test_the_marked_characters_are_the_answer_that_was_graded(text: str, expected: str | None) -> None:
    found = marked(item(text))
    if "final answer" in text:
        assert found is not None
        assert found.startswith("final answer is")
        assert "42" in found
        assert "bye" not in found
    else:
        assert found == expected


def test_a_box_in_reasoning_that_came_apart_is_marked_there() -> None:
    graded = item("Done.", reasoning=r"think \boxed{9} more")
    place = answer_place(graded)
    assert place is not None
    assert place.in_reasoning
    assert marked(graded) == r"\boxed{9}"


def test_in_a_passage_the_last_occurrence_of_what_was_extracted_is_marked() -> None:
    graded = item("x is 12 and so on, the answer must be 12 then")
    place = answer_place(graded, answer="12")
    assert place is not None
    assert place.start == graded.text.rindex("12")


def test_a_cut_off_thought_has_no_answer_to_mark() -> None:
    assert answer_place(item(r"<think>\boxed{1}", finish_reason="length")) is None


@pytest.mark.parametrize("text", [r"\boxed{\boxed{3}}", r"<boxed>4</boxed>", r"**\boxed{5}** or \fbox{6}", r"\boxed 7"])
def test_what_is_marked_reads_as_what_was_graded(text: str) -> None:
    found = answer_place(item(text))
    answer = math_answer(answer_region(text))
    assert found is not None
    assert answer is not None
    assert last_box(text[found.start : found.end]) == clean(answer.text)
