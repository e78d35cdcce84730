"""Why a row is dropped: one named reason each, in the order in which they are asked.

A problem is dropped before anything is paid for it (`unusable`, `duplicate_problem`, `contaminated`), a sample after
it was written, and what passed may still be too much of one problem (`pass_rate`, `surplus`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend_jobs.datasets.decontaminate import Decontaminator
from backend_jobs.datasets.language import foreign_language
from backend_jobs.datasets.repetition import repeated_share
from backend_jobs.datasets.types import Dropped
from backend_jobs.generate.recipe import Filters

REASONS: Mapping[str, str] = {
    "unusable": "the source's row lacks what a problem needs",
    "duplicate_problem": "the same problem came before",
    "contaminated": "it overlaps with a benchmark",
    "refused": "the engine refused the request",
    "timed_out": "the engine did not answer in time",
    "truncated": "the token budget cut the answer off",
    "no_thought": "no closed thought, or nothing after it",
    "too_short": "fewer tokens than asked for",
    "too_long": "more tokens than asked for",
    "repetition": "a large part repeats itself",
    "language": "written in another language",
    "unverified": "it could not be checked: a failure of ours",
    "no_answer": "no answer was found",
    "wrong": "the answer is wrong",
    "duplicate_answer": "the same problem has this answer already",
    "pass_rate": "the problem is solved too often or too rarely",
    "surplus": "the problem has enough answers",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One answer to a problem, or why there is none (`failure`). `checked` explains a `verified` that is not True."""

    attempt: int
    reasoning: str | None
    answer: str
    finish_reason: str | None
    n_tokens: int | None
    verified: bool | None
    checked: Dropped | None = None
    failure: Dropped | None = None

    @property
    def text(self) -> str:
        """Everything that was written."""
        return f"{self.reasoning or ''}\n{self.answer}"


def drop_samples(samples: Sequence[Sample], filters: Filters, decontaminator: Decontaminator) -> list[Dropped | None]:
    """For each sample of one problem why it is dropped, None where it is kept."""
    seen: set[str] = set()
    dropped = [_own_fault(sample, filters, decontaminator, seen) for sample in samples]
    if (by_rate := _pass_rate(samples, filters)) is not None:
        dropped = [reason or by_rate for reason in dropped]
    kept = [n for n, reason in enumerate(dropped) if reason is None]
    if filters.per_problem is not None:
        kept.sort(key=lambda n: (samples[n].n_tokens or len(samples[n].text), samples[n].attempt))
        for n in kept[filters.per_problem :]:
            dropped[n] = Dropped(reason="surplus", detail=f"{filters.per_problem} shorter ones are kept")
    return dropped


def _own_fault(sample: Sample, filters: Filters, decontaminator: Decontaminator, seen: set[str]) -> Dropped | None:
    """What is wrong with one sample. `seen` are the answers of the problem so far."""
    if sample.failure is not None:
        return sample.failure
    if (fault := _form(sample, filters) or _content(sample, filters, decontaminator)) is not None:
        return fault
    if filters.verified and sample.checked is not None:
        return sample.checked
    if filters.duplicates and sample.text in seen:
        return Dropped(reason="duplicate_answer")
    seen.add(sample.text)
    return None


def _form(sample: Sample, filters: Filters) -> Dropped | None:
    if filters.complete and sample.finish_reason == "length":
        return Dropped(reason="truncated", detail=f"cut off at {sample.n_tokens} tokens")
    if filters.thought and (not sample.reasoning or not sample.answer):
        return Dropped(reason="no_thought", detail="nothing after the thought" if sample.reasoning else "")
    bounds, length = filters.tokens, sample.n_tokens
    if bounds is not None and length is not None:
        if bounds.least is not None and length < bounds.least:
            return Dropped(reason="too_short", detail=f"{length} tokens, at least {bounds.least} are asked for")
        if bounds.most is not None and length > bounds.most:
            return Dropped(reason="too_long", detail=f"{length} tokens, at most {bounds.most} are asked for")
    return None


def _content(sample: Sample, filters: Filters, decontaminator: Decontaminator) -> Dropped | None:
    if filters.repetition is not None and (share := repeated_share(sample.text)) > filters.repetition:
        return Dropped(reason="repetition", detail=f"{100 * share:.0f} % repeats itself")
    if filters.languages is not None and (found := foreign_language(sample.text, filters.languages)) is not None:
        return Dropped(reason="language", detail=found)
    hit = decontaminator.check_text(sample.text)
    return None if hit is None else Dropped(reason="contaminated", detail=str(hit))


def _pass_rate(samples: Sequence[Sample], filters: Filters) -> Dropped | None:
    """Over the samples that could be checked; a problem of which none could has no rate and passes."""
    checked = [sample.verified for sample in samples if sample.verified is not None]
    if filters.pass_rate is None or not checked:
        return None
    rate = sum(checked) / len(checked)
    if filters.pass_rate.above < rate < filters.pass_rate.below:
        return None
    return Dropped(reason="pass_rate", detail=f"{sum(checked)} of {len(checked)} right")
