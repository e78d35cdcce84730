"""Tells a person when something needs one: each new fault once, and once more when it is over, to a webhook."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from evaluator.connection import EngineUnreachable, fetch, run_async
from evaluator.types import to_json
from leaderboard.health import Health
from leaderboard.types import JobRecord, Status

LOG = logging.getLogger(__name__)
FAULTS_OF_OURS = frozenset(
    {"worker_lost", "worker_error", "engine_failed", "engine_over_limit", "engine_unreachable", "store_unusable"}
)
"""Failures of a job that its submitter can do nothing about."""
TIMEOUT_S = 10.0


class AlertState(StrEnum):
    """Whether a fault began or ended."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """What is sent: one JSON object. `key` is the same for the beginning and the end of one fault."""

    key: str
    state: AlertState
    text: str
    at: str


Send = Callable[[Alert], bool]
"""Hands an alert on; False where it could not be, and must be tried again."""


class Alarms:
    """Looks at the board's health and sends what changed. What could not be sent is sent at the next look."""

    def __init__(self, look: Callable[[], Health], send: Send, *, extra: Callable[[], dict[str, str]] = dict) -> None:
        """`extra` gives further faults by key, such as an anchor that drifted."""
        self._look, self._send, self._extra = look, send, extra
        self._told: dict[str, str] = {}

    def turn(self) -> None:
        """Called by the clock. A fault is told once, however long it lasts."""
        faults = {**_faults(self._look()), **self._extra()}
        for key, text in faults.items():
            if key not in self._told and self._tell(key, AlertState.FIRING, text):
                self._told[key] = text
        for key in [key for key in self._told if key not in faults]:
            if self._tell(key, AlertState.RESOLVED, self._told[key]):
                del self._told[key]

    def _tell(self, key: str, state: AlertState, text: str) -> bool:
        LOG.warning("alert %s, %s: %s", key, state, text)
        return self._send(Alert(key=key, state=state, text=text, at=datetime.now(UTC).isoformat(timespec="seconds")))


def webhook(url: str | None) -> Send:
    """Sends each alert as a POST of JSON, whose `text` chat services show as it is. No address: the log only."""

    def send(alert: Alert) -> bool:
        if url is None:
            return True
        try:
            status, _ = run_async(fetch(url, method="POST", json=to_json(alert), timeout_s=TIMEOUT_S))
        except EngineUnreachable as error:
            LOG.error("an alert could not be sent: %s", error)
            return False
        if status >= 400:
            LOG.error("an alert could not be sent: its webhook answers HTTP %d", status)
        return status < 400

    return send


def _faults(health: Health) -> dict[str, str]:
    faults = {f"check {check.name}": f"{check.name}: {check.detail}" for check in health.checks if not check.ok}
    for job in health.jobs:
        if job.status is Status.FAILED and job.failure is not None and job.failure.code in FAULTS_OF_OURS:
            faults[f"job {job.submission.id} attempt {job.attempt}"] = _failed(job)
    return faults


def _failed(job: JobRecord) -> str:
    assert job.failure is not None
    return f"job {job.submission.id} ({job.submission.model}) failed: {job.failure.code}: {job.failure.reason}"
