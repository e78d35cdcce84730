"""From graded attempts to a measurement. An attempt that is missing, refused or ungraded is an error, never a score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from evaluator import plan as plans
from evaluator import statistics
from evaluator.errors import IncompleteMeasurement
from evaluator.types import (
    Completion,
    EngineFacts,
    EvalPlan,
    Measurement,
    Refusal,
    Sample,
    Score,
    Statistics,
    StreamRecord,
    Verdict,
    to_json,
)

Key = tuple[str, int]
Equal = Callable[[str, str], bool]


def measure(
    plan: EvalPlan,
    *,
    samples: Sequence[Sample],
    completions: Sequence[Completion],
    refusals: Iterable[Refusal],
    scores: Iterable[Score],
    engine: EngineFacts,
    wall_seconds: float,
    equal: Equal,
    streams: tuple[StreamRecord, ...] = (),
) -> Measurement:
    """The measurement of a plan that was carried out.

    The plan asks for attempts 0 to `plan.attempts` - 1 of every problem in `samples`; answers beyond those are left
    out. Completions that are whole and in this order are kept as they are given: their texts may stay on disk. `equal`
    says whether two extracted answers mean the same, and decides who votes together in maj@n.

    Raises:
        IncompleteMeasurement: an attempt has no completion, no verdict, or was refused; the message counts them.
    """
    keys = attempts_of(plan, samples)
    answered = {(c.problem_id, c.attempt): c.completion_tokens for c in completions}
    graded = {(s.problem_id, s.attempt): s for s in scores}
    _require_whole(plan, keys, answered=answered, refusals=refusals, graded=graded)
    kept_scores = tuple(graded[key] for key in keys)
    kept_completions = (
        completions if len(completions) == len(keys) and list(answered) == keys else _in_order(completions, keys)
    )
    labels = _labels(keys, kept_scores, samples, equal)
    counts = [answered[key] for key in keys]
    known = [count for count in counts if count is not None]
    return Measurement(
        plan=plan,
        statistics=_statistics(plan, kept_scores, labels),
        problems=len(keys) // plan.attempts,
        verdicts={verdict.value: sum(s.verdict is verdict for s in kept_scores) for verdict in Verdict},
        truncated=sum(s.truncated is True for s in kept_scores),
        truncation_unknown=sum(s.truncated is None for s in kept_scores),
        answered_in_thought=sum(s.answered_in_thought for s in kept_scores),
        mean_completion_tokens=sum(known) / len(known) if len(known) == len(counts) else None,
        completion_tokens=sum(known),
        engine=engine,
        wall_seconds=wall_seconds,
        samples=tuple(samples),
        completions=kept_completions,
        scores=kept_scores,
        streams=streams,
        majority={key[0]: _winner(votes) for key, votes in zip(keys[:: plan.attempts], labels, strict=True)},
    )


def running(scores: Iterable[Score]) -> tuple[float, tuple[float, float]] | None:
    """The provisional score and its 95 % interval over what is graded so far, in points; None before the first verdict.

    The mean of the problem means that exist, treated as if it were complete. Early on it leans towards problems with
    short answers, which arrive first: show it as provisional, never store it.
    """
    tally = Tally()
    for score in scores:
        tally.add(score)
    return tally.provisional()


class Tally:
    """Right and graded attempts per problem, kept up as verdicts arrive."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}

    def add(self, score: Score) -> None:
        """Count one verdict; an UNGRADED one is none."""
        if score.verdict is not Verdict.UNGRADED:
            right, graded = self._counts.get(score.problem_id, (0, 0))
            self._counts[score.problem_id] = right + (score.verdict is Verdict.CORRECT), graded + 1

    def provisional(self) -> tuple[float, tuple[float, float]] | None:
        """See `running`."""
        if not self._counts:
            return None
        means = [right / graded for right, graded in self._counts.values()]
        draws = sum(graded for _, graded in self._counts.values())
        return sum(means) / len(means) * statistics.POINTS, statistics.interval(means, draws=draws)


def report(measurement: Measurement) -> dict[str, Any]:
    """A measurement as one JSON object for programs: scores and errors in points, counts of attempts, seconds."""
    plan, numbers = measurement.plan, measurement.statistics
    return {
        "benchmark": plan.benchmark,
        "benchmark_version": plan.benchmark_version,
        "model": plan.model,
        "commit": plan.commit,
        "plan_key": plans.plan_key(plan),
        "generation_key": plans.generation_key(plan),
        "protocol_key": plans.protocol_key(plan),
        "problems": measurement.problems,
        "attempts_per_problem": plan.attempts,
        "score": numbers.score,
        "stderr_questions": numbers.stderr_questions,
        "stderr_decoding": numbers.stderr_decoding,
        "ci95": list(numbers.ci95),
        "pass_at_n": numbers.pass_at_n,
        "maj_at_n": numbers.maj_at_n,
        "verdicts": dict(measurement.verdicts),
        "truncated": measurement.truncated,
        "truncation_unknown": measurement.truncation_unknown,
        "answered_in_thought": measurement.answered_in_thought,
        "mean_completion_tokens": measurement.mean_completion_tokens,
        "completion_tokens": measurement.completion_tokens,
        "wall_seconds": measurement.wall_seconds,
        "engine": to_json(measurement.engine),
    }


def attempts_of(plan: EvalPlan, samples: Sequence[Sample]) -> list[Key]:
    """Every (problem, attempt) that a plan asks for, problem by problem in the samples' order."""
    problems = dict.fromkeys(sample.problem_id for sample in samples)
    return [(problem_id, attempt) for problem_id in problems for attempt in range(plan.attempts)]


def sample_index(plan: EvalPlan, samples: Sequence[Sample]) -> dict[Key, Sample]:
    """The sample behind every attempt, whether a benchmark has one per problem or one per attempt."""
    by_key = {(s.problem_id, a): s for s in samples if s.attempt is None for a in range(plan.attempts)}
    return by_key | {(s.problem_id, s.attempt): s for s in samples if s.attempt is not None}


def _in_order(completions: Iterable[Completion], keys: Sequence[Key]) -> tuple[Completion, ...]:
    by_key = {(c.problem_id, c.attempt): c for c in completions}
    return tuple(by_key[key] for key in keys)


def _require_whole(
    plan: EvalPlan,
    keys: Sequence[Key],
    *,
    answered: Collection[Key],
    refusals: Iterable[Refusal],
    graded: Mapping[Key, Score],
) -> None:
    if not keys:
        raise IncompleteMeasurement(f"{plan.benchmark} has no problems to measure; load its samples first")
    refused = {(r.problem_id, r.attempt): r for r in refusals}
    reasons = {key: reason for key in keys if (reason := _missing_because(key, answered, refused, graded))}
    if not reasons:
        return
    counted = ", ".join(f"{reason} {count}" for reason, count in sorted(Counter(reasons.values()).items()))
    first = next(iter(reasons))
    noun = "is" if len(reasons) == 1 else "are"
    raise IncompleteMeasurement(
        f"{plan.benchmark}: {len(reasons)} of {len(keys)} attempts {noun} ungraded ({counted}): {plan.model} has no "
        f"score on it. The first is attempt {first[1]} of problem {first[0]}{_detail(first, refused, graded)}. The "
        "answers that arrived are in the journal: run it again to ask for what is not answered and to grade what is "
        "not graded; to ask once more for what was refused or timed out, remove the cause and add --retry-refused (on "
        "the board: retry the job); an answer that sympy could not work out in time gets more of it where "
        "OPEN_R1_GRADING_LIMIT_S (CPU seconds) is raised"
    )


def _missing_because(
    key: Key, answered: Collection[Key], refused: Mapping[Key, Refusal], graded: Mapping[Key, Score]
) -> str:
    """Why an attempt has no verdict, in one word; empty where it has one."""
    if key not in answered:
        return refused[key].code if key in refused else "not_answered"
    if key not in graded:
        return "not_graded"
    score = graded[key]
    if score.verdict is Verdict.UNGRADED:
        return score.reason.value if score.reason else "no_reason_given"
    return ""


def _detail(key: Key, refused: Mapping[Key, Refusal], graded: Mapping[Key, Score]) -> str:
    text = refused[key].reason if key in refused else graded[key].note if key in graded else ""
    return f": {text.rstrip('.')}" if text else ""


def _statistics(plan: EvalPlan, scores: Sequence[Score], labels: Sequence[Sequence[str | None]]) -> Statistics:
    right = [score.verdict is Verdict.CORRECT for score in scores]
    outcomes = [right[i : i + plan.attempts] for i in range(0, len(right), plan.attempts)]
    return statistics.describe(outcomes, maj_at_n=statistics.majority_score(labels, outcomes))


def _labels(
    keys: Sequence[Key], scores: Sequence[Score], samples: Sequence[Sample], equal: Equal
) -> list[list[str | None]]:
    """The answer that each attempt votes for, up to equality; problems in the order of `keys`."""
    options = {(s.problem_id, s.attempt): s.options for s in samples if s.attempt is not None and s.options}
    targets = {s.problem_id: s.target for s in samples}
    votes: dict[str, list[str | None]] = {problem_id: [] for problem_id, _ in keys}
    for key, score in zip(keys, scores, strict=True):
        if score.answer is None or score.verdict is Verdict.NO_ANSWER:
            vote = None
        elif key in options:
            vote = _option(score.answer, options[key])
        elif score.verdict is Verdict.CORRECT:
            # The grader found each of them equal to the target, so they are one answer, whatever their wording.
            vote = targets[key[0]]
        else:
            vote = score.answer
        votes[key[0]].append(vote)
    return [group if options else _merged(group, targets[problem], equal) for problem, group in votes.items()]


def _option(letter: str, options: Sequence[str]) -> str:
    """The option behind a letter, which stands for another option at every attempt."""
    position = ascii_uppercase.find(letter.strip().upper()) if len(letter.strip()) == 1 else -1
    return f"option {options[position]}" if 0 <= position < len(options) else "no option"


def _merged(votes: list[str | None], target: str, equal: Equal) -> list[str | None]:
    """The votes with equal answers under one name. Answers to a target were judged already and never merge with it.

    Nothing is compared once an answer outvotes all others together: no equality among those could change the winner.
    """
    counts = Counter(vote for vote in votes if vote is not None)
    if counts and 2 * max(counts.values()) > counts.total():
        return votes
    names: list[str] = []
    merged: dict[str, str] = {}
    for answer in counts:
        wrong = answer != target
        merged[answer] = next((n for n in names if wrong and n != target and equal(n, answer)), answer)
        if merged[answer] == answer:
            names.append(answer)
    return [None if vote is None else merged[vote] for vote in votes]


def _winner(votes: Iterable[str | None]) -> str | None:
    ranked = Counter(vote for vote in votes if vote is not None).most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]
