"""Trials: one problem of each benchmark, asked once before the full run. Shown with their job, never a result.

A trial's answers stay in the journal of its model: the full run does not ask for them again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from evaluator.errors import OpenR1Error
from evaluator.types import EngineFacts, EvalPlan, Measurement, to_json
from leaderboard.results import attempt_rows
from leaderboard.store import Changes, Store
from leaderboard.types import AttemptRow
from leaderboard.versions import TRIALS as VERSIONS
from leaderboard.versions import NewerVersion, upgraded

TRIALS = "trials/"
PROBLEMS, ATTEMPTS = 1, 1


class TrialUnreadable(OpenR1Error):
    """A stored trial is not one of this version."""

    code = "trial_unreadable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What one problem of one benchmark came to. Of a private benchmark the attempts hold no text."""

    benchmark: str
    plan: EvalPlan
    attempts: tuple[AttemptRow, ...]
    wall_seconds: float
    engine: EngineFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    trials: tuple[Trial, ...]


_TRIALS = TypeAdapter(_Kept)


def trial_changes(measurements: Sequence[Measurement], job_id: str) -> Changes:
    """The file that a job's trials are kept in: `trials/<job>.json`."""
    trials = [
        to_json(
            Trial(
                benchmark=done.plan.benchmark,
                plan=done.plan,
                attempts=tuple(attempt_rows(done)),
                wall_seconds=done.wall_seconds,
                engine=done.engine,
            )
        )
        for done in measurements
    ]
    kept = {"schema": VERSIONS.version, "trials": trials}
    text = json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False)
    return {_name(job_id): (text + "\n").encode(errors="replace")}


def read_trials(store: Store, job_id: str) -> tuple[Trial, ...]:
    """The trials of a job, in the order in which it ran them; none where it made none.

    Raises:
        TrialUnreadable: the file is not what `trial_changes` writes.
    """
    name = _name(job_id)
    snapshot = store.snapshot(name)
    if name not in snapshot.names:
        return ()
    try:
        return _TRIALS.validate_json(upgraded(snapshot.read(name), VERSIONS)).trials
    except NewerVersion as newer:
        raise TrialUnreadable(f"{name}: {newer}") from newer
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise TrialUnreadable(f"{name} is not a trial: {first['loc']}: {first['msg']}; run the trial again") from error


def _name(job_id: str) -> str:
    return f"{TRIALS}{job_id}.json"
