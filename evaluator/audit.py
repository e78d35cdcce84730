"""A second, independent opinion on verdicts: lighteval's own metric. It never changes a score.

lighteval's parsing runs sympy and stops itself by alarms, so each opinion is asked for in a process that can be killed.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from evaluator.types import GradeInput, Score, Verdict

OPINION_LIMIT_S = 60
"""CPU time of one opinion. The kernel ends the process, inside C code too; the row is then without an opinion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """A completion and the verdict that our grader gave it."""

    item: GradeInput
    score: Score


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """One completion on which the two graders differ. `second` is None where the second one came to no opinion."""

    problem_id: str
    attempt: int
    target: str
    answer: str | None
    verdict: Verdict
    second: bool | None


def audit(audited: Iterable[Audited]) -> list[Disagreement]:
    """Every row on which lighteval's metric differs from our verdict, in order. Ungraded rows have no verdict."""
    rows = [row for row in audited if row.score.verdict is not Verdict.UNGRADED]
    return [
        Disagreement(
            problem_id=row.item.problem_id,
            attempt=row.item.attempt,
            target=row.item.target,
            answer=row.score.answer,
            verdict=row.score.verdict,
            second=second,
        )
        for row, second in zip(rows, _opinions([row.item for row in rows]), strict=True)
        if second is not (row.score.verdict is Verdict.CORRECT)
    ]


def _opinions(items: list[GradeInput]) -> Iterator[bool | None]:
    """One opinion per item. A process that died is replaced; its item gets None."""
    context = multiprocessing.get_context("spawn")
    position = 0
    while position < len(items):
        with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
            try:
                while position < len(items):
                    yield process.submit(_opinion, items[position]).result()
                    position += 1
            except BrokenProcessPool:
                yield None
                position += 1


def _opinion(item: GradeInput) -> bool:
    import signal

    from evaluator import tasks

    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, OPINION_LIMIT_S)
    try:
        return tasks.second_opinion(item)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
