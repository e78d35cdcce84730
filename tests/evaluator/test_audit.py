"""The second opinion lists what it sees differently, and changes nothing."""

from __future__ import annotations

from evaluator.audit import Audited, audit
from evaluator.grading import grade
from evaluator.types import Extraction, GradeInput, Verdict


def audited(text: str, target: str, extraction: Extraction = Extraction.MATH) -> Audited:
    item = GradeInput(problem_id=text, attempt=0, text=text, target=target, extraction=extraction)
    return Audited(item=item, score=grade(item))


def test_the_second_opinion_lists_only_the_rows_it_sees_differently() -> None:
    agreed = [
        audited("so \\boxed{42}", "42"),
        audited("so \\boxed{41}", "42"),
        audited("\\boxed{\\frac{1}{2}}", "0.5"),
        audited("Answer: B", "B", Extraction.LETTER),
        audited("Answer: C", "B", Extraction.LETTER),
    ]
    # The second opinion reads only what follows the thought.
    other = audited("so \\boxed{42}</think> Done.", "42")
    found = audit([*agreed, other])
    assert [(row.problem_id, row.verdict, row.second) for row in found] == [
        (other.item.problem_id, Verdict.CORRECT, False)
    ]
