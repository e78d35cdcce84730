"""The requests of a run, one by one as the stream asks for them: read, screened, and only what is still missing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from backend_jobs.datasets.decontaminate import Decontaminator
from backend_jobs.datasets.types import Dropped
from backend_jobs.generate.plan import GenerationPlan
from backend_jobs.generate.prompts import Prompt
from backend_jobs.generate.shards import OpenShard
from backend_jobs.generate.spool import Spool
from evaluator.benchmarks import BENCHMARKS
from evaluator.journal import Journal
from evaluator.plan import seed
from evaluator.types import Request

WITHHELD = "(withheld: it overlaps with a benchmark whose questions are never shown)"


class Feed:
    """Walks through the source once. A shard that is done costs no more than reading its problems."""

    def __init__(
        self,
        plan: GenerationPlan,
        prompts: Iterator[Prompt],
        *,
        journal: Journal,
        spool: Spool,
        decontaminator: Decontaminator,
        done: Collection[int],
        on_read: Callable[[OpenShard], None],
        on_recovered: Callable[[int], None],
    ) -> None:
        self._plan, self._prompts = plan, prompts
        self._journal, self._spool, self._decontaminator = journal, spool, decontaminator
        self._done, self._on_read, self._on_recovered = done, on_read, on_recovered
        self.open: dict[int, OpenShard] = {}
        self.problems = 0

    def requests(self) -> Iterator[Request]:
        """What must be asked. `on_read` is told of every shard whose last problem was read, `on_recovered` of answers
        that the journal has already."""
        shard: OpenShard | None = None
        recorded: set[tuple[str, int]] = set()
        for prompt in self._prompts:
            number = prompt.number // self._plan.problems_per_shard
            if shard is not None and shard.number != number:
                self._read(shard, prompt.number)
                shard = None
            self.problems = prompt.number + 1
            if number in self._done:
                self._spool.is_new(prompt.problem)
                continue
            if shard is None:
                shard = self.open[number] = OpenShard(number, first=prompt.number)
                recorded = self._journal.recorded(self._plan.shard_key(number))
            yield from self._ask(self._screened(prompt), shard, recorded)
        if shard is not None:
            self._read(shard, self.problems)

    def _read(self, shard: OpenShard, end: int) -> None:
        shard.end = end
        self._on_read(shard)

    def _screened(self, prompt: Prompt) -> Prompt:
        """The problem with its flaw, where it has one; remembered until its shard is written."""
        new = self._spool.is_new(prompt.problem)
        flaw = prompt.flaw
        if flaw is None and not new and self._plan.recipe.filters.duplicates:
            flaw = Dropped(reason="duplicate_problem")
        if flaw is None and (hit := self._decontaminator.check(prompt.problem)) is not None:
            flaw = Dropped(reason="contaminated", detail=str(hit))
            if hit.benchmark in BENCHMARKS and BENCHMARKS[hit.benchmark].private:
                prompt = replace(prompt, problem=WITHHELD, text=WITHHELD, target=None, tests=None)
        screened = replace(prompt, flaw=flaw)
        self._spool.put(screened)
        return screened

    def _ask(self, prompt: Prompt, shard: OpenShard, recorded: set[tuple[str, int]]) -> Iterator[Request]:
        if prompt.flaw is not None:
            return
        decoding, name = self._plan.recipe.decoding, problem_name(prompt.number)
        missing = [n for n in range(decoding.samples) if (name, n) not in recorded]
        shard.expected += decoding.samples
        shard.answered += decoding.samples - len(missing)
        self._on_recovered(decoding.samples - len(missing))
        for attempt in missing:
            yield Request(
                generation_key=self._plan.shard_key(shard.number),
                problem_id=name,
                attempt=attempt,
                prompt=prompt.text,
                system_prompt=self._plan.recipe.prompts.system,
                seed=seed(decoding.seed, name, attempt),
                max_tokens=decoding.max_tokens,
                sampling=self._plan.sampling,
                # Shards one after the other: a short answer that waited for ever would keep its shard open.
                order=float(shard.number),
            )


def problem_name(number: int) -> str:
    """The journal's name of a problem: ordered as text as it is as a number."""
    return f"{number:010d}"
