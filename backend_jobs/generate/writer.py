"""From a shard's answers to its two files: checked, filtered, written, a few problems at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from backend_jobs.datasets.decontaminate import Decontaminator
from backend_jobs.datasets.filters import Sample, drop_samples
from backend_jobs.datasets.parquet import RowsWriter
from backend_jobs.datasets.statistics import Tally
from backend_jobs.datasets.types import (
    DatasetRejected,
    Dropped,
    Generation,
    Message,
    ReasoningRow,
    RejectedRow,
    answered,
)
from backend_jobs.generate.checks import Checker, sample_of
from backend_jobs.generate.feed import problem_name
from backend_jobs.generate.plan import GenerationPlan
from backend_jobs.generate.prompts import Prompt
from backend_jobs.generate.shards import DoneShard, OpenShard, ShardFolder
from backend_jobs.generate.spool import Spool
from evaluator.journal import Journal
from evaluator.plan import seed
from evaluator.types import Completion, Refusal

PROBLEMS_AT_ONCE = 64
Answers = dict[str, list[Completion | Refusal]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardWriter:
    """Turns complete shards of one run into files."""

    plan: GenerationPlan
    folder: ShardFolder
    journal: Journal
    spool: Spool
    checker: Checker
    decontaminator: Decontaminator
    engine: str | None
    known: Tally
    """What all shards together have: examples that it has enough of are not kept once more."""

    async def write(self, shard: OpenShard) -> DoneShard:
        """Check and filter every answer of a shard, write both files, then forget what they hold.

        A shard is in memory a few problems at a time. Killed anywhere in here, the shard is written again. Runs on a
        loop of its own (`Beside`): filters and Parquet take a processor's time.
        """
        assert shard.end is not None
        tally, samples = Tally(problems=shard.end - shard.first), 0
        with (
            RowsWriter(self.folder.rejected_file(shard.number), rejected=True) as rejected,
            RowsWriter(self.folder.data_file(shard.number)) as kept,
        ):
            for first in range(shard.first, shard.end, PROBLEMS_AT_ONCE):
                judged = await self._judged(shard, first, min(first + PROBLEMS_AT_ONCE, shard.end))
                samples += sum(len(each) for _, each in judged)
                self._sort_out(judged, kept, rejected, tally)
        tally.examples = self.known.wanted(tally.examples)
        done = DoneShard(number=shard.number, problems=tally.problems, samples=samples, tally=tally)
        self.folder.finish(done)
        self.forget(shard.number, shard.first, shard.end)
        return done

    def forget(self, number: int, first: int, end: int) -> None:
        """Drop what is in a shard's files from everywhere else."""
        self.journal.drop(self.plan.shard_key(number))
        self.spool.forget(first, end)

    async def _judged(self, shard: OpenShard, first: int, end: int) -> list[tuple[Prompt, list[Sample]]]:
        """Problems with their checked samples."""
        found = self.journal.answers(self.plan.shard_key(shard.number), problem_name(first), problem_name(end))
        by_problem: Answers = {name: list(each) for name, each in groupby(found, key=lambda a: a.problem_id)}
        prompts = list(self.spool.prompts(first, end))
        opens = self.plan.prompt_opens_thought
        checks = [
            asyncio.gather(
                *(
                    sample_of(prompt, answer, self.checker, prompt_opens_thought=opens)
                    for answer in self._complete(prompt, by_problem)
                )
            )
            for prompt in prompts
        ]
        return list(zip(prompts, await asyncio.gather(*checks), strict=True))

    def _complete(self, prompt: Prompt, by_problem: Answers) -> list[Completion | Refusal]:
        """All answers of a problem. Raises DatasetRejected where one is missing: that must never pass in silence."""
        answers = by_problem.get(problem_name(prompt.number), [])
        expected = 0 if prompt.flaw else self.plan.recipe.decoding.samples
        if len(answers) != expected:
            raise DatasetRejected(
                f"problem {prompt.number} has {len(answers)} answers in the journal, expected {expected}; the journal "
                "belongs to another state of this run: start the run under another name"
            )
        return answers

    def _sort_out(
        self,
        judged: Sequence[tuple[Prompt, list[Sample]]],
        kept: RowsWriter,
        rejected: RowsWriter,
        tally: Tally,
    ) -> None:
        for prompt, samples in judged:
            for row, dropped in self._rows(prompt, samples):
                if dropped is None:
                    kept.add(row)
                    tally.keep(row)
                else:
                    rejected.add(RejectedRow(row=row, dropped=dropped))
                    tally.drop(row, dropped)

    def _rows(self, prompt: Prompt, samples: list[Sample]) -> Iterator[tuple[ReasoningRow, Dropped | None]]:
        base = self._base(prompt)
        if prompt.flaw is not None:
            yield base, prompt.flaw
            return
        for sample, dropped in zip(
            samples, drop_samples(samples, self.plan.recipe.filters, self.decontaminator), strict=True
        ):
            yield self._row(base, prompt, sample), dropped

    def _base(self, prompt: Prompt) -> ReasoningRow:
        """What all rows of a problem share."""
        recipe, checkpoint = self.plan.recipe, self.plan.checkpoint
        system = recipe.prompts.system
        return ReasoningRow(
            messages=(
                *((Message(role="system", content=system),) if system else ()),
                Message(role="user", content=prompt.text),
            ),
            reasoning="",
            answer="",
            source=prompt.source,
            license=prompt.license,
            generation=Generation(
                model=checkpoint.model,
                commit=checkpoint.commit,
                engine=self.engine,
                sampling=self.plan.sampling,
                max_tokens=recipe.decoding.max_tokens,
                problem_id=prompt.id,
                target=prompt.target,
            ),
        )

    def _row(self, base: ReasoningRow, prompt: Prompt, sample: Sample) -> ReasoningRow:
        reasoning = sample.reasoning or ""
        generation = replace(
            base.generation,
            attempt=sample.attempt,
            seed=seed(self.plan.recipe.decoding.seed, problem_name(prompt.number), sample.attempt),
            finish_reason=sample.finish_reason,
        )
        return replace(
            base,
            messages=base.messages if sample.failure else answered(base.messages, reasoning, sample.answer),
            reasoning=reasoning,
            answer=sample.answer,
            verified=sample.verified,
            n_tokens=sample.n_tokens,
            generation=generation,
        )
