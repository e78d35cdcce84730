"""Where in a completion the grader found the answer: the same search as `evaluator.answers`, told as a place."""

from __future__ import annotations

from dataclasses import dataclass

from evaluator.answers import Region, answer_region, final_line_span, last_box_span
from evaluator.types import Extraction, GradeInput


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerPlace:
    """Characters `start` to `end` of a completion's text, or of the reasoning that came apart from it."""

    start: int
    end: int
    in_reasoning: bool = False


def answer_place(item: GradeInput, *, answer: str | None = None) -> AnswerPlace | None:
    """Where the answer of a completion stands; None where it gives none, or only a letter.

    `answer` is the text that the grader extracted: where a whole passage had to be searched, its last occurrence is the
    place. Linear in the length of the text.
    """
    region = answer_region(
        item.text,
        reasoning=item.reasoning,
        finish_reason=item.finish_reason,
        prompt_opens_thought=item.prompt_opens_thought,
    )
    if region.text is None or item.extraction is Extraction.LETTER:
        return None
    if (span := last_box_span(region.text) or final_line_span(region.text)) is not None:
        return _in_region(region, span)
    if (span := last_box_span(region.thought)) is not None:
        return _in_thought(region, span)
    found = region.text.rfind(answer) if answer else -1
    return _in_region(region, (found, found + len(answer))) if answer and found >= 0 else None


def _in_region(region: Region, span: tuple[int, int]) -> AnswerPlace:
    return AnswerPlace(start=region.start + span[0], end=region.start + span[1])


def _in_thought(region: Region, span: tuple[int, int]) -> AnswerPlace:
    if span[0] < region.apart:
        return AnswerPlace(start=span[0], end=span[1], in_reasoning=True)
    return AnswerPlace(start=span[0] - region.apart, end=span[1] - region.apart)
