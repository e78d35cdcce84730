"""The rows of the board: one model at one commit under one protocol.

Two results stand in one row where their plans differ from the standard plan of their benchmarks in the same ways. The
number of attempts is one of a benchmark's own, so it counts by its name: all of them, the quick tier, or so many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from evaluator.benchmarks import BENCHMARKS
from evaluator.differences import differences, standard_plan
from evaluator.grading import GRADER_VERSION
from evaluator.plan import digest
from evaluator.types import EvalPlan, ModelFacts
from leaderboard.facts import known_models, merged, trained_facts
from leaderboard.types import BoardScore, Protocol, ResultRow, Standing

STANDARD = Protocol(id="standard", title="Standard", words=())
QUICK_WORDS = "quick tier: fewer attempts than the protocol has"

Weights = tuple[str, str | None, str | None]
ToScore = Callable[[ResultRow], BoardScore]
Prefer = Callable[[Iterable[ResultRow]], ResultRow]


def standings(
    rows: Sequence[ResultRow], *, weights: Callable[[ResultRow], Weights], prefer: Prefer, score: ToScore
) -> tuple[Standing, ...]:
    """Every row of the board: by weights, then protocol. Results of benchmarks that the board gave up are left out.

    `weights` names what was measured, `prefer` says which of several results of one row and benchmark stands, `score`
    turns it into what the board shows.
    """
    groups: dict[tuple[Weights, Protocol], list[ResultRow]] = defaultdict(list)
    for row in rows:
        if row.benchmark in BENCHMARKS:
            groups[weights(row), protocol_of(row.plan)].append(row)
    return tuple(
        _standing(protocol, group, prefer, score) for (_, protocol), group in sorted(groups.items(), key=_order)
    )


def protocol_of(plan: EvalPlan) -> Protocol:
    """The protocol that a plan follows, whatever model and benchmark it measures."""
    attempts = BENCHMARKS[plan.benchmark].attempts
    words = tuple(_words(replace(plan, model="", commit=None, endpoint=None, chat_template_hash=None, run=0)))
    if not words and plan.attempts == attempts:
        return STANDARD
    return _named((*words, *_attempts(plan)))


@lru_cache(maxsize=4096)
def _words(plan: EvalPlan) -> list[str]:
    return differences(replace(standard_plan(plan, grader_version=GRADER_VERSION), attempts=plan.attempts), plan)


def _attempts(plan: EvalPlan) -> list[str]:
    bench = BENCHMARKS[plan.benchmark]
    if plan.attempts == bench.attempts:
        return []
    if plan.attempts == bench.quick_attempts:
        return [QUICK_WORDS]
    return [f"{plan.attempts} {'attempt' if plan.attempts == 1 else 'attempts'} per problem"]


def _named(words: tuple[str, ...]) -> Protocol:
    if words == (QUICK_WORDS,):
        return Protocol(id="quick", title="Quick tier", words=words)
    return Protocol(id=digest(words)[:8], title="; ".join(words), words=words)


def _order(item: tuple[tuple[Weights, Protocol], list[ResultRow]]) -> tuple[str, ...]:
    (named, protocol), _ = item
    return (*(part or "" for part in named), protocol.id)


def _standing(protocol: Protocol, group: Sequence[ResultRow], prefer: Prefer, score: ToScore) -> Standing:
    by_benchmark: dict[str, list[ResultRow]] = defaultdict(list)
    for row in group:
        by_benchmark[row.benchmark].append(row)
    chosen = {name: prefer(by_benchmark[name]) for name in BENCHMARKS if name in by_benchmark}
    newest = max(group, key=lambda row: row.measured_at)
    return Standing(
        model=newest.model,
        revision=next((row.revision for row in group if row.revision), None),
        commit=newest.commit,
        lineage=next((row.lineage for row in group if row.lineage), None),
        facts=_facts(newest.model, group),
        protocol=protocol,
        scores={name: score(row) for name, row in chosen.items()},
        results=chosen,
    )


def _facts(model: str, group: Sequence[ResultRow]) -> ModelFacts:
    """What was read from the checkpoint itself, newest first, before what its authors say of it."""
    measured: Mapping[str, ModelFacts] = {row.measured_at: row.facts for row in group if row.facts is not None}
    trained = (trained_facts(row.lineage) for row in group)
    return merged(*(measured[at] for at in sorted(measured, reverse=True)), *trained, known_models().get(model.lower()))
