"""Who looks at the board or acts on it. Identity comes from a session that we signed, never from a request's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from leaderboard.types import JobRecord

LOCAL = "local"


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """Who sends a request: a name for records, and whether they may act on other people's jobs."""

    name: str
    maintainer: bool = False

    def may_act_on(self, job: JobRecord) -> bool:
        """Whether they may cancel or retry this job."""
        return self.maintainer or self.name == job.submission.submitted_by


EVERYBODY = Visitor(name=LOCAL, maintainer=True)
"""On a machine of one's own, where nobody signs in: whoever reaches the page may do everything."""

Identify = Callable[[Mapping[str, Any]], Visitor | None]
"""From the session of a request to its visitor; None for somebody who has not signed in."""


def local_visitor(_: Mapping[str, Any]) -> Visitor:
    """Everybody, as on a machine of one's own."""
    return EVERYBODY


def signed_in(maintainers: frozenset[str]) -> Identify:
    """Visitors by the name that signing in left in their session."""

    def identify(session: Mapping[str, Any]) -> Visitor | None:
        name = session.get("user")
        return Visitor(name=name, maintainer=name in maintainers) if isinstance(name, str) and name else None

    return identify


def not_theirs(job: JobRecord) -> str:
    """Why somebody may not act on a job."""
    return (
        f"job {job.submission.id} is {job.submission.submitted_by}'s: only they and the board's maintainers may cancel "
        "or retry it"
    )
