"""Grading in processes that can be killed, so that no answer can hang or starve the process that asks.

A verdict never depends on how busy the machine is: the deadline is CPU time of the worker, kept by the kernel, which
ends the process even inside C code. Wall-clock time is only a generous backstop.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from evaluator import grading, math_equality
from evaluator.answers import Answer, Place
from evaluator.grading import Judgement, Question
from evaluator.types import GradeInput, Score, UngradedReason

CPU_LIMIT_S = 5.0
MEMORY_LIMIT_BYTES = 2 << 30
RETRY_FACTOR = 6
"""A question that ran out of time is asked once more, with this many times the CPU time."""
STOPS_FORGIVEN = 1
"""A question whose worker died without reaching its deadline is asked this often again."""
BACKSTOP_FACTOR = 30
BACKSTOP_S = 120.0
"""The wall-clock backstop of one question: this, plus BACKSTOP_FACTOR times its CPU time."""
DOUBTFUL_SHARE = 4
"""sympy takes a failed allocation for "not equal". Above a limit / 4 of memory, only "equal" is believed."""
OUT_OF_MEMORY = 86
"""Exit status of a worker whose verdict may stem from a failed allocation."""
STDOUT, STDERR = 1, 2
REMEMBERED = 20_000
"""Judged (gold, answer) pairs kept: the attempts at a problem repeat one another."""


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stopped:
    """Why a question got no judgement."""

    reason: UngradedReason
    note: str


class GraderPool:
    """Worker processes that grade. Use as a context manager; `submit` from any thread.

    Workers start with the first question that text alone does not settle. `cpu_limit_s` is CPU time per question;
    `memory_limit_bytes` is what one worker may allocate on top of what it needs to start.
    """

    def __init__(
        self, *, workers: int, cpu_limit_s: float = CPU_LIMIT_S, memory_limit_bytes: int = MEMORY_LIMIT_BYTES
    ) -> None:
        self._limits_s = (cpu_limit_s, cpu_limit_s * RETRY_FACTOR)
        self._workers = workers
        self._memory_limit_bytes = memory_limit_bytes
        self._pools = [self._new_pool()]
        self._closed = False
        self._open: dict[Future[Any], Callable[[Judgement | _Stopped], object]] = {}
        self._judged: OrderedDict[tuple[str, str], Judgement] = OrderedDict()
        self._lock = threading.RLock()

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
        for pool in self._pools:
            pool.stop()
            pool.join()
        with self._lock:
            abandoned = list(self._open)
        for future in abandoned:
            self._settle(future, _Stopped(reason=UngradedReason.GRADER_STOPPED, note="the grading pool was stopped"))

    def submit(self, item: GradeInput) -> Future[Score]:
        """Grade one completion. The future never raises: what could not be graded is UNGRADED, with a reason."""
        decided = grading.decide(item)
        if isinstance(decided, Score):
            return _done(decided)

        def as_score(reply: Judgement | _Stopped) -> Score:
            if isinstance(reply, Judgement):
                return grading.score(item, decided, reply)
            return grading.ungraded(item, reply.reason, reply.note)

        return self._answer(decided, as_score)

    def submit_equal(self, a: str, b: str) -> Future[bool]:
        """Whether two answers are equal. The future never raises: what cannot be shown equal in time is not equal."""
        decided = math_equality.decide_exactly(a, b)
        if decided is not None:
            return _done(decided)
        question = Question(gold=a, answer=Answer(text=b, place=Place.BOX))
        return self._answer(question, lambda reply: isinstance(reply, Judgement) and reply.correct)

    def _answer(self, question: Question, result: Callable[[Judgement | _Stopped], T]) -> Future[T]:
        """A future of what `result` makes of the reply to a question."""
        future: Future[T] = Future()
        # Marked as running: a caller that loses interest cannot cancel what others may count on.
        future.set_running_or_notify_cancel()
        with self._lock:
            self._open[future] = result
        self._ask(question, lambda reply: self._settle(future, reply))
        return future

    def _settle(self, future: Future[Any], reply: Judgement | _Stopped) -> None:
        with self._lock:
            result = self._open.pop(future, None)
        if result is not None:
            future.set_result(result(reply))

    def _ask(
        self, question: Question, settle: Callable[[Judgement | _Stopped], None], *, timeouts: int = 0, stops: int = 0
    ) -> None:
        """Ask one question, again after a failure that is forgiven, and hand the reply to `settle` exactly once."""
        if known := self._recall(question):
            settle(known)
            return
        limit_s = self._limits_s[timeouts]

        def receive(asked: Future[Judgement]) -> None:
            reply = _reply(asked, limit_s)
            if isinstance(reply, Judgement):
                self._remember(question, reply)
                settle(reply)
            elif reply.reason is UngradedReason.TIMED_OUT and timeouts + 1 < len(self._limits_s):
                self._ask(question, settle, timeouts=timeouts + 1, stops=stops)
            elif reply.reason is UngradedReason.GRADER_STOPPED and stops < STOPS_FORGIVEN:
                self._ask(question, settle, timeouts=timeouts, stops=stops + 1)
            else:
                settle(reply)

        asked = self._schedule(question, limit_s)
        if asked is None:
            settle(_Stopped(reason=UngradedReason.GRADER_STOPPED, note="the grading pool is closed"))
        else:
            asked.add_done_callback(receive)

    def _schedule(self, question: Question, limit_s: float) -> Future[Judgement] | None:
        """Hand a question to the workers; None once the pool is closed.

        pebble gives a whole pool up when a worker dies idle (the kernel's out-of-memory killer does that): a new one
        takes its place.
        """
        timeout_s = BACKSTOP_S + BACKSTOP_FACTOR * limit_s
        with self._lock:
            if self._closed:
                return None
            try:
                asked: Future[Judgement] = self._pools[-1].schedule(
                    _judge_within, args=(question, limit_s), timeout=timeout_s
                )
            except RuntimeError:
                self._pools.append(self._new_pool())
                asked = self._pools[-1].schedule(_judge_within, args=(question, limit_s), timeout=timeout_s)
        return asked

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=self._workers,
            initializer=_start_worker,
            initargs=(self._memory_limit_bytes,),
            context=multiprocessing.get_context("spawn"),
        )

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


def _reply(asked: Future[Judgement], limit_s: float) -> Judgement | _Stopped:
    """The judgement, or why there is none, whatever happened to the worker."""
    if asked.cancelled():
        return _Stopped(reason=UngradedReason.GRADER_STOPPED, note="the grading pool was stopped")
    error = asked.exception()
    if error is None:
        return asked.result()
    if isinstance(error, ProcessExpired) and error.exitcode == -signal.SIGPROF:
        return _Stopped(reason=UngradedReason.TIMED_OUT, note=f"not graded within {limit_s:g} s of CPU time")
    if isinstance(error, ProcessExpired):
        cause = "out of memory" if error.exitcode == OUT_OF_MEMORY else f"exit status {error.exitcode}"
        return _Stopped(reason=UngradedReason.GRADER_STOPPED, note=f"the grading process ended: {cause}")
    if isinstance(error, TimeoutError):
        return _Stopped(reason=UngradedReason.TIMED_OUT, note="not graded before the wall-clock backstop")
    return _Stopped(reason=UngradedReason.GRADER_STOPPED, note=f"the grader failed: {error!r}")


def _start_worker(memory_limit_bytes: int) -> None:
    """Prepare a worker: imports and first-use costs are paid before any deadline runs; then memory is limited."""
    # A caller's standard output may be a machine-readable result.
    os.dup2(STDERR, STDOUT)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    math_equality.warm_up()
    in_use = _address_space_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = in_use + memory_limit_bytes
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    global _doubtful_bytes
    _doubtful_bytes = _peak_bytes() + memory_limit_bytes // DOUBTFUL_SHARE


_doubtful_bytes: float = math.inf
"""Set once per worker: the peak of memory in use above which only "equal" is believed."""


def _judge_within(question: Question, cpu_limit_s: float) -> Judgement:
    """Answer one question in a worker. The kernel ends the process (SIGPROF) when the CPU time is used up."""
    signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
    try:
        judgement = grading.judge(question)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if not judgement.correct and _peak_bytes() > _doubtful_bytes:
        os._exit(OUT_OF_MEMORY)
    return judgement


def _address_space_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _peak_bytes() -> int:
    """The most memory this process has had in use. getrusage would count what its parent had before the exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
