"""The second opinion lists what it sees differently, and changes nothing."""

from __future__ import annotations

from evaluator.audit import Audited, Auditor, audit
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
    found = list(audit([*agreed, other]))
    assert [(row.problem_id, row.verdict, row.second) for row in found] == [
        (other.item.problem_id, Verdict.CORRECT, False)
    ]


def never_ends(item: GradeInput) -> bool:
    while item.text != "easy":
        pass
    return True


def test_a_second_opinion_that_never_ends_is_ended_and_reported_as_none() -> None:
    with Auditor(opinion=never_ends, limit_s=0.2) as auditor:
        hung = auditor.disagreement(audited("\\boxed{42}", "42"))
        after = auditor.disagreement(audited("easy", "easy"))
    assert hung is not None
    assert (hung.verdict, hung.second) == (Verdict.CORRECT, None)
    assert after is None
