"""Is an answer right? By the evaluator's grader, by a sandbox for programs, or not asked at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from backend_jobs.datasets.filters import Sample
from backend_jobs.datasets.types import Dropped
from backend_jobs.generate.prompts import Prompt
from evaluator.answers import THOUGHT_OPENS, answer_region
from evaluator.grading_pool import GraderPool
from evaluator.types import Completion, Extraction, GradeInput, Refusal, Verdict

Checked = tuple[bool | None, Dropped | None]
"""Right, wrong or not known; and the reason where it is not right."""
LONGEST_DETAIL = 200


class Checker(Protocol):
    """Judges one completion."""

    async def check(self, prompt: Prompt, completion: Completion) -> Checked:
        """Whether the answer is right. A failure of ours is "not known", never wrong."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class GraderCheck:
    """By the evaluator's grader, in its killable processes."""

    pool: GraderPool
    extraction: Extraction
    prompt_opens_thought: bool

    async def check(self, prompt: Prompt, completion: Completion) -> Checked:
        """See Checker."""
        if prompt.target is None:
            return None, Dropped(reason="unverified", detail="the problem comes without an answer")
        graded = self.pool.submit(
            GradeInput(
                problem_id=completion.problem_id,
                attempt=completion.attempt,
                text=completion.text,
                reasoning=completion.reasoning,
                target=prompt.target,
                extraction=self.extraction,
                finish_reason=completion.finish_reason,
                prompt_opens_thought=self.prompt_opens_thought,
            )
        )
        score = graded.result() if graded.done() else await asyncio.wrap_future(graded)
        match score.verdict:
            case Verdict.CORRECT:
                return True, None
            case Verdict.INCORRECT:
                detail = f"{score.answer} instead of {prompt.target}"[:LONGEST_DETAIL]
                return False, Dropped(reason="wrong", detail=detail)
            case Verdict.NO_ANSWER:
                return False, Dropped(reason="no_answer")
        return None, Dropped(reason="unverified", detail=f"{score.reason}: {score.note}"[:LONGEST_DETAIL])


@dataclass(frozen=True, kw_only=True, slots=True)
class NoCheck:
    """Nobody asks."""

    async def check(self, prompt: Prompt, completion: Completion) -> Checked:
        """See Checker."""
        del prompt, completion
        return None, Dropped(reason="unverified", detail="the recipe checks nothing")


async def sample_of(
    prompt: Prompt, answer: Completion | Refusal, checker: Checker, *, prompt_opens_thought: bool
) -> Sample:
    """An answer taken apart and checked."""
    if isinstance(answer, Refusal):
        why = "timed_out" if answer.code == "timed_out" else "refused"
        return Sample(
            attempt=answer.attempt,
            reasoning=None,
            answer="",
            finish_reason=None,
            n_tokens=None,
            verified=None,
            failure=Dropped(reason=why, detail=f"{answer.code}: {answer.reason}"[:LONGEST_DETAIL]),
        )
    region = answer_region(
        answer.text,
        reasoning=answer.reasoning,
        finish_reason=answer.finish_reason,
        prompt_opens_thought=prompt_opens_thought,
    )
    verified, reason = await checker.check(prompt, answer)
    return Sample(
        attempt=answer.attempt,
        reasoning=THOUGHT_OPENS.sub("", region.thought, count=1).strip() or None,
        answer=(answer.text if region.text is None else region.text).strip(),
        finish_reason=answer.finish_reason,
        n_tokens=answer.completion_tokens,
        verified=verified,
        checked=reason,
    )
