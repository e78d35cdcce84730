"""A second, independent opinion on verdicts: lighteval's own metric. It never changes a score.

lighteval's parsing runs sympy and stops itself by alarms, so each opinion is asked for in a process that can be killed.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from evaluator.grade_file import whole_file
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


class Auditor:
    """Asks for one opinion after another, in a process of its own. Use as a context manager, from one thread.

    `opinion` is asked in that process and `limit_s` is its CPU time; a process that dies is replaced.
    """

    def __init__(
        self, *, opinion: Callable[[GradeInput], bool] | None = None, limit_s: float = OPINION_LIMIT_S
    ) -> None:
        self._opinion = opinion or _lighteval
        self._limit_s = limit_s
        self._process: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def disagreement(self, row: Audited) -> Disagreement | None:
        """What the second grader sees differently, None where it agrees or where the row is ungraded."""
        if row.score.verdict is Verdict.UNGRADED:
            return None
        second = self._second(row.item)
        if second is (row.score.verdict is Verdict.CORRECT):
            return None
        return Disagreement(
            problem_id=row.item.problem_id,
            attempt=row.item.attempt,
            target=row.item.target,
            answer=row.score.answer,
            verdict=row.score.verdict,
            second=second,
        )

    def _second(self, item: GradeInput) -> bool | None:
        if self._process is None:
            self._process = ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))
        try:
            return self._process.submit(_within, self._opinion, item, self._limit_s).result()
        except BrokenProcessPool:
            self._end()
            return None

    def _end(self) -> None:
        if self._process is not None:
            self._process.shutdown()
            self._process = None


def audit(audited: Iterable[Audited]) -> Iterator[Disagreement]:
    """Every row on which lighteval's metric differs from our verdict, in order. Ungraded rows have no verdict."""
    with Auditor() as auditor:
        for row in audited:
            if (found := auditor.disagreement(row)) is not None:
                yield found


class FileAudit:
    """The audit of a file that is being graded, row by row: use as a context manager, hand `row` to grade_file.

    Disagreements are listed in `<scores>.audit.jsonl`, which appears only when it is whole; without `scores` they are
    only counted.
    """

    def __init__(self, *, scores: Path | None) -> None:
        self.counts = {"rows": 0, "disagreements": 0}
        self._path = None if scores is None else scores.with_name(f"{scores.name}.audit.jsonl")
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        self._out = self._resources.enter_context(whole_file(self._path)) if self._path else None
        self._auditor = self._resources.enter_context(Auditor())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.__exit__(kind, error, trace)

    def row(self, item: GradeInput, score: Score) -> None:
        """Audit one graded row. Ungraded rows are not counted: there is no verdict to differ from."""
        found = self._auditor.disagreement(Audited(item=item, score=score))
        self.counts["rows"] += score.verdict is not Verdict.UNGRADED
        self.counts["disagreements"] += found is not None
        if found is not None and self._out is not None:
            self._out.write(json.dumps(asdict(found), ensure_ascii=False) + "\n")


def _within(opinion: Callable[[GradeInput], bool], item: GradeInput, limit_s: float) -> bool:
    """Run in the process: the kernel ends it when the CPU time is used up."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, limit_s)
    try:
        return opinion(item)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _lighteval(item: GradeInput) -> bool:
    from evaluator import tasks

    return tasks.second_opinion(item)
