"""What a program has left of the Hub: requests until the next reset, as the Hub says, and its commits in an hour."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

COMMITS_AN_HOUR = 128
"""About what the Hub lets one repository take; not checked against it. It decides only when something waits."""
HOUR_S = 3600.0
SCARCE_SHARE = 0.15
"""Below this share of either, whatever can wait does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """What the Hub last said of one kind of request: `remaining` of `limit`, until `until_s` on our clock."""

    remaining: int
    limit: int
    until_s: float


@dataclass
class HubUse:
    """Of one process. May be used from any thread."""

    clock: Callable[[], float] = time.monotonic
    waits: int = 0
    """How often the Hub asked to wait (HTTP 429)."""
    storage_bytes: int | None = None
    """What the store's dataset takes, history and all, as the Hub counts it."""
    _commits: deque[float] = field(default_factory=deque)
    _allowances: dict[str, Allowance] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def committed(self) -> None:
        """A commit was made."""
        with self._lock:
            self._commits.append(self.clock())

    def answered(self, kind: str, *, remaining: int, limit: int, reset_s: float) -> None:
        """The Hub said how much is left of one kind of request."""
        with self._lock:
            self._allowances[kind] = Allowance(remaining=remaining, limit=limit, until_s=self.clock() + reset_s)

    def waited(self) -> None:
        """The Hub asked to wait."""
        with self._lock:
            self.waits += 1

    def commits(self) -> int:
        """Commits of this process in the last hour."""
        with self._lock:
            while self._commits and self._commits[0] < self.clock() - HOUR_S:
                self._commits.popleft()
            return len(self._commits)

    def allowances(self) -> Mapping[str, Allowance]:
        """What is left, by kind; what was reset since is left out."""
        with self._lock:
            return {kind: each for kind, each in self._allowances.items() if each.until_s > self.clock()}

    def scarce(self) -> str:
        """What is nearly used up, in words; empty where there is enough."""
        if self.commits() > (1 - SCARCE_SHARE) * COMMITS_AN_HOUR:
            return f"{self.commits()} commits in the last hour, the Hub takes about {COMMITS_AN_HOUR}"
        low = [
            f"{each.remaining} of {each.limit} {kind} requests left"
            for kind, each in sorted(self.allowances().items())
            if each.remaining < SCARCE_SHARE * each.limit
        ]
        return ", ".join(low)


USE = HubUse()
"""This process's."""
