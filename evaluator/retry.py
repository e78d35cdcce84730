"""The one retry policy towards an engine: how long to wait, how often, and when to give up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Bounds of one run. All times in seconds.

    What is bounded are faults *in a row over the whole run*, never the retries of one request: an engine that restarts
    takes all requests in flight down at once, which says nothing about any of them.
    """

    answer_timeout_s: float = 3 * 3600.0
    """How long one answer may take; after that it is refused for good, never rolled again."""
    connect_timeout_s: float = 30.0
    """How long opening a connection may take."""
    first_delay_s: float = 0.25
    """The first pause after a fault; doubled with every further fault in a row."""
    longest_delay_s: float = 8.0
    """No pause between two tries is longer, unless the server asks for it."""
    faults_in_a_row: int = 10
    """How often the server may fail and look healthy again without one answer in between."""
    outage_s: float = 120.0
    """How long the server may stay unreachable or unhealthy."""
    probe_timeout_s: float = 5.0
    """How long /health may take."""
    longest_hold_s: float = 300.0
    """The longest Retry-After that is honoured as it stands."""
    back_pressure_s: float = 3600.0
    """How long a server may answer 429 or 503 without answering anything else."""
    restarts: int = 3
    """How often an engine that is ours is started again before it counts as broken."""
    probation_s: float = 300.0
    """How long a server that fails everything is left alone while others do its work."""
    faults_allowed: int = 200
    """The circuit breaker of a run: it ends where it saw more faults than this plus one for each answer."""

    def delay_s(self, turn: int) -> float:
        """The pause before try `turn` (from 1): doubling, bounded, up to half of it random so that clients spread."""
        ceiling = min(self.longest_delay_s, self.first_delay_s * 2.0 ** min(turn - 1, 32))
        return ceiling * random.uniform(0.5, 1.0)


def retry_after_s(header: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date); None where it says nothing."""
    if header is None:
        return None
    text = header.strip()
    try:
        return max(0.0, float(text)) if text.isascii() and text.replace(".", "", 1).isdigit() else _until(text, now)
    except (ValueError, OverflowError):
        return None


def _until(date: str, now: datetime | None) -> float:
    moment = parsedate_to_datetime(date)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
