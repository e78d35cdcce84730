"""What the end of a machine means for the job that it was rented for."""

from __future__ import annotations

from backend_jobs.launchers.types import Launched, LaunchState
from leaderboard.spending import Spent
from leaderboard.types import Failure, JobRecord, Status

MOST_MACHINES = 3
"""Machines that may end over one job before it counts as failed; a retry by hand gives as many again."""


def verdict(job: JobRecord, record: Spent, launched: Launched, *, tried: int, log_tail: str = "") -> Failure | None:
    """What a machine's end makes of its job: a failure, or None where the job goes on or has ended by itself.

    `tried` counts the machines of this job since it was last set back by hand, this one too.
    """
    theirs = job.status is Status.RUNNING and job.worker == record.key
    if not theirs and job.status is not Status.PENDING:
        return None
    where = f"the machine ({record.machine} of {record.place})"
    if launched.state is LaunchState.TIMED_OUT:
        hours = record.timeout_s / 3600
        reason = (
            f"{where} was stopped at its time limit of {hours:.1f} hours. What was answered is kept: retry the job to "
            "go on from there, and raise OPEN_R1_MACHINE_HOURS if it was too little"
        )
        return Failure(code="machine_timed_out", reason=reason, log_tail=log_tail)
    if launched.state is LaunchState.CANCELLED:
        reason = f"{where} was cancelled where it ran, not by this board; retry the job to go on"
        return Failure(code="machine_cancelled", reason=reason, log_tail=log_tail)
    if tried >= MOST_MACHINES:
        reason = (
            f"{tried} machines ended without a result, {record.machine} of {record.place} last: "
            f"{launched.reason or 'it ended without taking the job'}. Read its log, then retry the job"
        )
        return Failure(code="machine_failed", reason=reason, log_tail=log_tail)
    return None
