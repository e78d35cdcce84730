"""Grading behind a stream: at most so many answers are with the graders at once, the others wait in the journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from evaluator.grading_pool import GraderPool
from evaluator.types import Completion, GradeInput, Score

AT_ONCE = 256
"""Texts in memory for grading; more wait in the journal and are read back."""
AT_A_STRETCH = 16
"""So many answers are read back before the event loop gets its turn."""
Key = tuple[str, int]


class GradingQueue:
    """The answers of one plan on their way to verdicts. To be used from inside one running event loop."""

    def __init__(
        self,
        grader: GraderPool,
        *,
        as_input: Callable[[Completion], GradeInput],
        read_back: Callable[[Key], Completion],
        on_score: Callable[[Score], None],
    ) -> None:
        self._grader, self._as_input, self._read_back, self._on_score = grader, as_input, read_back, on_score
        self._loop = asyncio.get_running_loop()
        self._later: deque[Key] = deque()
        self._grading = 0
        self._changed = asyncio.Event()

    def add(self, completion: Completion) -> None:
        """An answer arrived, and is in the journal."""
        if self._grading < AT_ONCE and not self._later:
            self._submit(completion)
        else:
            self._later.append((completion.problem_id, completion.attempt))
            self._changed.set()

    def add_stored(self, keys: Iterable[Key]) -> None:
        """Answers that the journal holds already."""
        self._later.extend(keys)
        self._changed.set()

    async def run(self) -> None:
        """Read back and submit what waits, for ever: cancel it when all is graded."""
        while True:
            for _ in range(AT_A_STRETCH):
                if self._later and self._grading < AT_ONCE:
                    self._submit(self._read_back(self._later.popleft()))
            if self._later and self._grading < AT_ONCE:
                await asyncio.sleep(0)
                continue
            self._changed.clear()
            await self._changed.wait()

    async def all_graded(self) -> None:
        """Returns when nothing waits for a verdict. `run` must be running."""
        while self._later or self._grading:
            await asyncio.sleep(0.01)

    def _submit(self, completion: Completion) -> None:
        self._grading += 1
        future = self._grader.submit(self._as_input(completion))
        if future.done():
            self._settle(future)
        else:
            future.add_done_callback(self._from_a_thread)

    def _from_a_thread(self, future: Future[Score]) -> None:
        if not self._loop.is_closed():  # a run that was cancelled waits for no verdicts
            self._loop.call_soon_threadsafe(self._settle, future)

    def _settle(self, future: Future[Score]) -> None:
        self._grading -= 1
        self._on_score(future.result())
        if self._later:
            self._changed.set()
