"""Grading in processes that can be killed, so that no answer can hang or starve the process that asks.

A verdict never depends on how busy the machine is: the deadline is CPU time of the grading process, kept by the
kernel, which ends it even inside C code. Wall-clock time is only a generous backstop.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from evaluator import grading, math_equality
from evaluator.answers import Answer, Place
from evaluator.errors import GraderUnavailable
from evaluator.grading import Judgement, Question
from evaluator.grading_process import GradingProcess, Stopped
from evaluator.types import GradeInput, Score, UngradedReason

CPU_LIMIT_S = 5.0
MEMORY_LIMIT_BYTES = 2 << 30
RETRY_FACTOR = 6
"""A question that ran out of time is asked once more, with this many times the CPU time."""
STOPS_FORGIVEN = 1
"""A question whose process died without reaching its deadline is asked this often again."""
REMEMBERED = 20_000
"""Judged (gold, answer) pairs kept: the attempts at a problem repeat one another."""

T = TypeVar("T")
Reply = Judgement | Stopped | GraderUnavailable


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """One question on its way, with the times that it was asked in vain."""

    question: Question
    settle: Callable[[Reply], None]
    timeouts: int = 0
    stops: int = 0


class GraderPool:
    """Processes that grade. Use as a context manager; `submit` from any thread.

    They start with the first question that text alone does not settle. `cpu_limit_s` is CPU time per question;
    `memory_limit_bytes` is what one process may allocate on top of what it needs to start; `command` runs Python.
    """

    def __init__(
        self,
        *,
        workers: int,
        cpu_limit_s: float = CPU_LIMIT_S,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
        command: tuple[str, ...] = (sys.executable,),
    ) -> None:
        self._limits_s = (cpu_limit_s, cpu_limit_s * RETRY_FACTOR)
        self._processes = [
            GradingProcess(memory_limit_bytes=memory_limit_bytes, command=command) for _ in range(workers)
        ]
        self._threads: list[threading.Thread] = []
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._closed = False
        self._unavailable: GraderUnavailable | None = None
        self._open: set[Future[Any]] = set()
        self._judged: OrderedDict[tuple[str, str], Judgement] = OrderedDict()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what was submitted; after an error, end at once and leave the rest UNGRADED."""
        if kind is None:
            with self._lock:
                unfinished = set(self._open)
            wait(unfinished)
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        for process in self._processes:
            process.kill()
        for _ in threads:
            self._tasks.put(None)
        for thread in threads:
            thread.join()

    @property
    def pids(self) -> list[int]:
        """The grading processes that run now."""
        return [process.pid for process in self._processes if process.pid is not None]

    def submit(self, item: GradeInput) -> Future[Score]:
        """Grade one completion. What could not be graded is UNGRADED, with a reason.

        The future raises GraderUnavailable where no grading process can be started, and nothing else.
        """
        decided = grading.decide(item)
        if isinstance(decided, Score):
            return _done(decided)

        def as_score(reply: Judgement | Stopped) -> Score:
            if isinstance(reply, Judgement):
                return grading.score(item, decided, reply)
            return grading.ungraded(item, reply.reason, reply.note)

        return self._answer(decided, as_score)

    def submit_equal(self, a: str, b: str) -> Future[bool]:
        """Whether two answers are equal: what cannot be shown equal in time is not. Raises like `submit`."""
        decided = math_equality.decide_exactly(a, b)
        if decided is not None:
            return _done(decided)
        question = Question(gold=a, answer=Answer(text=b, place=Place.BOX))
        return self._answer(question, lambda reply: isinstance(reply, Judgement) and reply.correct)

    def _answer(self, question: Question, result: Callable[[Judgement | Stopped], T]) -> Future[T]:
        """A future of what `result` makes of the reply to a question."""
        future: Future[T] = Future()
        # Marked as running: a caller that loses interest cannot cancel what others may count on.
        future.set_running_or_notify_cancel()

        def settle(reply: Reply) -> None:
            with self._lock:
                self._open.discard(future)
            if isinstance(reply, GraderUnavailable):
                future.set_exception(reply)
            else:
                future.set_result(result(reply))

        with self._lock:
            closed = self._closed
            if not closed:
                self._open.add(future)
                self._start_threads()
                self._tasks.put(_Task(question=question, settle=settle))
        if closed:
            settle(Stopped(reason=UngradedReason.GRADER_STOPPED, note="the grading pool is closed"))
        return future

    def _start_threads(self) -> None:
        """One thread for each process, from the first question on. They end with this process in any case."""
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._serve, args=(process,), name="grading", daemon=True)
                for process in self._processes
            ]
            for thread in self._threads:
                thread.start()

    def _serve(self, process: GradingProcess) -> None:
        while (task := self._tasks.get()) is not None:
            if self._closed:
                task.settle(Stopped(reason=UngradedReason.GRADER_STOPPED, note="the grading pool was stopped"))
            else:
                self._ask(process, task)
        process.close()

    def _ask(self, process: GradingProcess, task: _Task) -> None:
        """Ask one question; hand the reply on, or ask again after a failure that is forgiven."""
        if known := self._recall(task.question):
            task.settle(known)
            return
        try:
            reply: Reply = self._unavailable or process.ask(task.question, self._limits_s[task.timeouts])
        except GraderUnavailable as error:
            reply = self._unavailable = error
        if isinstance(reply, Judgement):
            self._remember(task.question, reply)
        again = _again(task, reply, most=len(self._limits_s)) if isinstance(reply, Stopped) else None
        with self._lock:
            # Under the lock, so that nothing is put behind the sentinels of a pool that ends.
            if again is not None and not self._closed:
                self._tasks.put(again)
                return
        task.settle(reply)

    def _recall(self, question: Question) -> Judgement | None:
        with self._lock:
            return self._judged.get((question.gold, question.answer.text)) if question.answer.exact else None

    def _remember(self, question: Question, judgement: Judgement) -> None:
        if not question.answer.exact:
            return
        with self._lock:
            self._judged[question.gold, question.answer.text] = judgement
            if len(self._judged) > REMEMBERED:
                self._judged.popitem(last=False)


def _done(result: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(result)
    return future


def _again(task: _Task, stopped: Stopped, *, most: int) -> _Task | None:
    """The task as it is to be asked again, None where nothing is forgiven any more. `most` is the number of limits."""
    timed_out = stopped.reason is UngradedReason.TIMED_OUT
    if timed_out and task.timeouts + 1 < most:
        return replace(task, timeouts=task.timeouts + 1)
    if not timed_out and task.stops < STOPS_FORGIVEN:
        return replace(task, stops=task.stops + 1)
    return None
