"""From one completion to one score: which text counts as the answer, and whether it is right.

The steps are apart so that a pool can take the middle one: `decide` (cheap, any thread) gives a score or a question,
`judge` (needs math_verify, may hang) answers the question, `score` makes the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

from evaluator import math_equality
from evaluator.answers import Answer, Place, Region, answer_region, letter_answer, math_answer, unwrap
from evaluator.types import Extraction, GradeInput, Score, UngradedReason, Verdict

POLICY_VERSION = 3
"""Moves whenever a change to extraction or equality could move a verdict."""
GRADER_VERSION = f"{POLICY_VERSION}+math-verify-{version('math-verify')}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What text alone could not settle: does `answer` mean the same as `gold`?"""

    gold: str
    answer: Answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """The reply to a question. `answer` is the text that was compared, None where there was none to find."""

    answer: str | None
    correct: bool


def grade(item: GradeInput) -> Score:
    """Grade one completion in this process. It may take long and cannot be stopped: see GraderPool for model output.

    Raises:
        RuntimeError: outside a main thread, for a completion that needs math_verify.
    """
    decided = decide(item)
    return decided if isinstance(decided, Score) else score(item, decided, judge(decided))


def decide(item: GradeInput) -> Score | Question:
    """The score where text alone settles it, else what must be asked of math_verify. Linear in the text's length."""
    region = answer_region(
        item.text,
        reasoning=item.reasoning,
        finish_reason=item.finish_reason,
        prompt_opens_thought=item.prompt_opens_thought,
    )
    if item.extraction is Extraction.LETTER:
        return _letter_score(item, region)
    answer = math_answer(region)
    if answer is None:
        return _score(item, Verdict.NO_ANSWER)
    gold = unwrap(item.target)
    exact = math_equality.decide_exactly(gold, answer.text) if answer.exact else None
    if exact is None:
        return Question(gold=gold, answer=answer)
    return _judged(item, answer, Judgement(answer=answer.text, correct=exact))


def judge(question: Question) -> Judgement:
    """Answer a question with math_verify. Run it where the process may be killed."""
    answer = question.answer
    if answer.exact:
        return Judgement(answer=answer.text, correct=math_equality.equal(question.gold, answer.text))
    found, correct = math_equality.equal_in_passage(question.gold, answer.text)
    return Judgement(answer=found, correct=correct)


def score(item: GradeInput, question: Question, judgement: Judgement) -> Score:
    """The score that a judgement makes."""
    return _judged(item, question.answer, judgement)


def ungraded(item: GradeInput, reason: UngradedReason, note: str) -> Score:
    """A failure of ours: no verdict on the model."""
    return _score(item, Verdict.UNGRADED, reason=reason, note=note)


def _letter_score(item: GradeInput, region: Region) -> Score:
    answer = letter_answer(region)
    if answer is None:
        return _score(item, Verdict.NO_ANSWER)
    gold = letter_answer(Region(text=item.target))
    correct = gold is not None and gold.text == answer.text
    return _judged(item, answer, Judgement(answer=answer.text, correct=correct))


def _judged(item: GradeInput, answer: Answer, judgement: Judgement) -> Score:
    if judgement.answer is None:
        return _score(item, Verdict.NO_ANSWER)
    return _score(
        item,
        Verdict.CORRECT if judgement.correct else Verdict.INCORRECT,
        answer=judgement.answer,
        in_thought=answer.place is Place.THOUGHT_BOX,
    )


def _score(
    item: GradeInput,
    verdict: Verdict,
    *,
    answer: str | None = None,
    in_thought: bool = False,
    reason: UngradedReason | None = None,
    note: str = "",
) -> Score:
    return Score(
        problem_id=item.problem_id,
        attempt=item.attempt,
        verdict=verdict,
        answer=answer,
        truncated=None if item.finish_reason is None else item.finish_reason == "length",
        answered_in_thought=in_thought,
        reason=reason,
        note=note,
    )
