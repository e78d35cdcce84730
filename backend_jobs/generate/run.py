"""The run loop of a generation: problems in, answers to the journal, complete shards to files; nothing held in memory.

The life of an answer: the stream hands it on, it is durable in the journal with the next commit (one follows the other,
each with all that came meanwhile), and when the last one of its shard is, the shard is checked, filtered and written
while the stream goes on. A kill loses what no commit had yet: some milliseconds of answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress

from backend_jobs.datasets.decontaminate import Decontaminator
from backend_jobs.generate.beside import Beside
from backend_jobs.generate.checks import Checker
from backend_jobs.generate.feed import Feed
from backend_jobs.generate.meter import Meter
from backend_jobs.generate.plan import GenerationPlan
from backend_jobs.generate.prompts import Prompt
from backend_jobs.generate.shards import DoneShard, OpenShard, ShardFolder
from backend_jobs.generate.spool import Spool
from backend_jobs.generate.writer import ShardWriter
from evaluator.client import stream
from evaluator.engine import RunningEngine
from evaluator.journal import Journal
from evaluator.types import Completion, Refusal, Request
from leaderboard.datasets import GenerationProgress

PROGRESS_EVERY_S = 1.0

OpenEngine = Callable[[], AbstractAsyncContextManager[RunningEngine]]
OnShard = Callable[[DoneShard], None]


class GenerationRun:
    """One start of a run. `run()` returns when every problem of the source is in a written shard."""

    def __init__(
        self,
        plan: GenerationPlan,
        prompts: Iterator[Prompt],
        *,
        folder: ShardFolder,
        journal: Journal,
        spool: Spool,
        checker: Checker,
        decontaminator: Decontaminator,
        meter: Meter,
        on_progress: Callable[[GenerationProgress], None],
        on_shard: OnShard = lambda _: None,
    ) -> None:
        self._plan, self._journal, self._meter = plan, journal, meter
        self._on_progress, self._on_shard = on_progress, on_shard
        self._folder, self._spool = folder, spool
        self._checker, self._decontaminator = checker, decontaminator
        self._waiting: list[tuple[Request, Completion | Refusal] | None] = []
        self._arrived = asyncio.Event()
        self._complete: asyncio.Queue[OpenShard | None] = asyncio.Queue()
        done = self._resume()
        self._feed = Feed(
            plan,
            prompts,
            journal=journal,
            spool=spool,
            decontaminator=decontaminator,
            done=done,
            on_read=self._hand_on,
            on_recovered=meter.recovered,
        )

    async def run(self, open_engine: OpenEngine, *, concurrency: int | None, cancel: asyncio.Event) -> None:
        """Ask for what is missing and write every shard. Where nothing is missing, no engine is started.

        Raises:
            EngineFailed, EngineRefused, Cancelled, JournalUnusable, DatasetRejected: the run stopped; started again, it
                continues from the last commit of the journal.
        """
        requests = self._feed.requests()
        first = next(requests, None)
        helpers = [asyncio.create_task(self._report())]
        try:
            if first is None:
                self._meter.end("writing")
                self._complete.put_nowait(None)
                await self._write_shards()
                return
            async with open_engine() as engine:
                self._meter.begin()
                self._journal.note_engine(self._plan.key, engine.facts)
                writing = asyncio.create_task(self._write_shards())
                committing = asyncio.create_task(self._commit())
                asking = asyncio.create_task(self._ask(engine, _chain(first, requests), concurrency, cancel))
                await _together(asking, writing, committing)
        finally:
            await self._stop(helpers)

    async def _ask(
        self, engine: RunningEngine, requests: Iterator[Request], concurrency: int | None, cancel: asyncio.Event
    ) -> None:
        try:
            with engine.explained():
                await stream(
                    requests,
                    engine.servers(),
                    concurrency=concurrency,
                    on_answer=self._take,
                    cancel=cancel,
                )
        finally:
            self._waiting.append(None)
            self._arrived.set()

    def _take(self, request: Request, answer: Completion | Refusal) -> None:
        self._waiting.append((request, answer))
        self._arrived.set()

    async def _commit(self) -> None:
        """Make answers durable in the order in which they came, all that are there at once, then count them.

        The disk is waited for in a thread: meanwhile the stream goes on, and the next batch gathers.
        """
        over = False
        with Journal(self._journal.path) as journal:
            while not over:
                await self._arrived.wait()
                self._arrived.clear()
                waiting, self._waiting = self._waiting, []
                batch = [each for each in waiting if each is not None]
                over = len(batch) < len(waiting)
                await asyncio.to_thread(journal.add_many, [(request.generation_key, said) for request, said in batch])
                for request, answer in batch:
                    self._count(request, answer)
        self._spend()
        self._meter.end("writing")
        self._complete.put_nowait(None)

    def _count(self, request: Request, answer: Completion | Refusal) -> None:
        self._meter.answer(answer)
        shard = self._feed.open[int(request.generation_key.rpartition(":")[2])]
        shard.answered += 1
        self._hand_on(shard)

    def _hand_on(self, shard: OpenShard) -> None:
        if shard.complete and shard.number in self._feed.open:
            del self._feed.open[shard.number]
            self._complete.put_nowait(shard)

    async def _write_shards(self) -> None:
        """Write shards as they become complete, one at a time, until there are no more."""
        facts = self._journal.engine(self._plan.key)  # where several engines answered, only what they share
        with Journal(self._journal.path) as journal, Beside("shards") as beside:
            writer = ShardWriter(
                plan=self._plan,
                folder=self._folder,
                journal=journal,
                spool=self._spool,
                checker=self._checker,
                decontaminator=self._decontaminator,
                engine=f"{facts.engine} {facts.version}" if facts.version else facts.engine,
                known=self._meter.tally,
            )
            while (shard := await self._complete.get()) is not None:
                done = await beside.run(writer.write(shard))
                self._meter.written(done)
                await asyncio.to_thread(self._on_shard, done)

    def _resume(self) -> set[int]:
        """Take over what earlier starts wrote; what a kill left in the journal of a written shard is dropped."""
        done = set()
        for shard in self._folder.done():
            self._journal.drop(self._plan.shard_key(shard.number))
            self._meter.known(shard)
            done.add(shard.number)
        return done

    def _spend(self) -> None:
        self._journal.spend(self._plan.key, self._meter.seconds() - self._journal.spent(self._plan.key))

    async def _report(self) -> None:
        while True:
            self._spend()
            self._on_progress(self._meter.progress())
            await asyncio.sleep(PROGRESS_EVERY_S)

    async def _stop(self, helpers: list[asyncio.Task[None]]) -> None:
        for task in helpers:
            task.cancel()
        for task in helpers:
            with suppress(asyncio.CancelledError):
                await task
        self._on_progress(self._meter.progress())


def _chain(first: Request, rest: Iterator[Request]) -> Iterator[Request]:
    """A stream without a length: the client reads it as it needs it."""
    yield first
    yield from rest


async def _together(asking: asyncio.Task[None], writing: asyncio.Task[None], committing: asyncio.Task[None]) -> None:
    """Wait for all; where one fails, end the others, the one that commits last, and raise what it raised."""
    try:
        await asyncio.wait({asking, writing, committing}, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in (asking, writing):
            task.cancel()
        outcomes = await asyncio.gather(asking, writing, committing, return_exceptions=True)
    failed = [each for each in outcomes if isinstance(each, BaseException)]
    told = [each for each in failed if not isinstance(each, asyncio.CancelledError)]
    if failed:
        raise (told or failed)[0]
