"""One attempt, for reading: what was asked, thought and answered, where the answer stands, and what was decided."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evaluator.answer_place import AnswerPlace, answer_place
from evaluator.answers import THOUGHT_CLOSES
from evaluator.benchmarks import BENCHMARKS
from evaluator.types import GradeInput, Verdict
from leaderboard.types import AttemptRow, ResultRow
from leaderboard.views.markup import NOTHING, Html, badge, count, facts, fill, join
from leaderboard.views.prose import Span, as_written, typeset
from leaderboard.views.result import VERDICT_WORDS

THOUGHT_START = re.compile(r"^\s*<think>\n?")
PROMPT_HEADING = Html("<h4>Problem, as it was asked</h4>")
ENDED = {
    "stop": "stop: the model ended by itself",
    "length": "length: the server cut it at the answer budget",
    None: None,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A passage of an answer, and where in it the grader found the answer."""

    text: str
    mark: Span | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A completion in the parts that people read apart. `thought` holds what came apart and what was closed."""

    thought: tuple[Part, ...]
    rest: Part

    @property
    def thought_characters(self) -> int:
        """How long the thought is."""
        return sum(len(part.text) for part in self.thought)

    @property
    def answered_in_thought(self) -> bool:
        """Whether the answer stands inside of it."""
        return any(part.mark for part in self.thought)


def reading(text: str, reasoning: str | None, place: AnswerPlace | None = None) -> Reading:
    """A completion's thought and rest, for reading only; what is graded is decided by `evaluator/answers.py`.

    The thought is what a server returned apart, and everything up to the last closing mark. Without such a mark a text
    that opens a thought is all thought; any other text is all rest, even where the prompt had opened a thought.
    """
    closings = list(THOUGHT_CLOSES.finditer(text))
    opened = THOUGHT_START.match(text)
    begins = opened.end() if opened else 0
    if closings:
        inside, rest = (begins, max(begins, closings[-1].start())), (closings[-1].end(), len(text))
    elif opened:
        inside, rest = (begins, len(text)), (len(text), len(text))
    else:
        inside, rest = (0, 0), (0, len(text))
    apart = Part(text=reasoning or "", mark=(place.start, place.end) if place and place.in_reasoning else None)
    within = None if place is None or place.in_reasoning else place
    thought = (apart, _part(text, inside, within))
    return Reading(thought=tuple(part for part in thought if part.text.strip()), rest=_part(text, rest, within))


def _part(text: str, span: Span, place: AnswerPlace | None) -> Part:
    begin, end = span
    inside = place is not None and begin <= place.start and place.end <= end
    return Part(text=text[begin:end], mark=(place.start - begin, place.end - begin) if place and inside else None)


def found_at(attempt: AttemptRow, row: ResultRow) -> AnswerPlace | None:
    """Where the grader found the answer of a stored attempt; None where none was found, or the text is not kept."""
    if attempt.text is None or attempt.answer is None or row.benchmark not in BENCHMARKS:
        return None
    item = GradeInput(
        problem_id=attempt.problem_id,
        attempt=attempt.attempt,
        text=attempt.text,
        target=attempt.target or "",
        extraction=BENCHMARKS[row.benchmark].extraction,
        reasoning=attempt.reasoning,
        finish_reason=attempt.finish_reason,
        prompt_opens_thought=row.plan.prompt_opens_thought,
    )
    return answer_place(item, answer=attempt.answer)


def attempt_facts(attempt: AttemptRow, *, private: bool) -> Html:
    """The verdict with its reason, and everything that is known of how the attempt went."""
    shown: dict[str, object] = {
        "verdict": _verdict(attempt),
        "answer found": _answer(attempt),
        "target": "kept private" if private else literal(attempt.target),
        "finish reason": ENDED.get(attempt.finish_reason, attempt.finish_reason),
        "truncated": {True: "yes", False: "no", None: "not known"}[attempt.truncated],
        "tokens": _tokens(attempt),
        "seed": fill("<code>{seed}</code>", seed=attempt.seed),
    }
    return facts(shown)


def _verdict(attempt: AttemptRow) -> Html:
    verdict = Verdict(attempt.verdict)
    word, _ = VERDICT_WORDS[verdict]
    return fill("{badge} {reason}", badge=badge(word, verdict.value), reason=verdict_reason(attempt))


def verdict_reason(attempt: AttemptRow) -> str:
    """Why the verdict is what it is, in a sentence."""
    where = ", found only inside the closed thought," if attempt.answered_in_thought else ""
    match Verdict(attempt.verdict):
        case Verdict.CORRECT:
            return f"The answer{where} equals the target."
        case Verdict.INCORRECT:
            return f"The answer{where} is not equal to the target."
        case Verdict.NO_ANSWER if attempt.truncated:
            return "The answer budget ended before the model came to an answer; counts as wrong."
        case Verdict.NO_ANSWER:
            return "The model ended without an answer that could be found; counts as wrong."
        case _:
            return "A failure of ours, so it is no score."


def _answer(attempt: AttemptRow) -> Html:
    if attempt.answer is None:
        return Html("none")
    where = Html(" <span class='quiet'>(only inside the thought)</span>") if attempt.answered_in_thought else NOTHING
    return fill("{answer}{where}", answer=literal(attempt.answer), where=where)


def _tokens(attempt: AttemptRow) -> str:
    known = attempt.completion_tokens is not None and attempt.latency_s > 0
    speed = f" in {attempt.latency_s:,.0f} s" if known and attempt.latency_s >= 1 else ""
    return f"{count(attempt.completion_tokens)}{speed}"


def literal(text: str | None) -> Html | None:
    """A short text letter by letter; None stays None."""
    return None if text is None else fill('<code dir="ltr">{text}</code>', text=text)


def private_note(attempt: AttemptRow) -> Html:
    """What stands in the place of texts that are not kept."""
    return fill(
        "<p class='quiet'>The questions of this benchmark are not published, so neither prompts nor answers are kept "
        "here. SHA-256 of the prompt <code>{prompt}</code>, of the completion <code>{text}</code>.</p>",
        prompt=attempt.prompt_sha256,
        text=attempt.text_sha256,
    )


def prompt_text(prompt: str | None, *, raw: bool, heading: Html = PROMPT_HEADING) -> Html:
    """The problem as the model was asked it."""
    return fill("{heading}{text}", heading=heading, text=_text(Part(text=prompt or ""), raw=raw))


def answer_text(attempt: AttemptRow, row: ResultRow, *, raw: bool) -> Html:
    """What the model wrote: its thought folded with its length, then the rest, the answer marked in either."""
    read = reading(attempt.text or "", attempt.reasoning, found_at(attempt, row))
    return fill(
        "{thought}<h4>Completion{after}</h4>{rest}",
        thought=_thought(read, raw=raw),
        after=" after the thought" if read.thought else "",
        rest=_text(read.rest, raw=raw),
    )


def _thought(read: Reading, *, raw: bool) -> Html:
    if not read.thought:
        return NOTHING
    return fill(
        '<details class="thought" data-thought{open}><summary>Thinking <span class="quiet">{n} characters{holds}'
        "</span></summary>{text}</details>",
        open=Html(" open") if read.answered_in_thought or not read.rest.text.strip() else NOTHING,
        n=count(read.thought_characters),
        holds=", holds the answer" if read.answered_in_thought else "",
        text=join(_text(part, raw=raw) for part in read.thought),
    )


def _text(part: Part, *, raw: bool) -> Html:
    if not part.text.strip():
        return Html("<p class='quiet'>empty</p>")
    leading = len(part.text) - len(part.text.lstrip("\n"))
    mark = (part.mark[0] - leading, part.mark[1] - leading) if part.mark else None
    return (as_written if raw else typeset)(part.text.strip("\n"), mark=mark)
