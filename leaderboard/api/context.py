"""What the API answers from, and whom it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from leaderboard.api.encoding import PreparedAnswers
from leaderboard.board import Board
from leaderboard.contracts import BeatDesk, HookDesk, JobQueue, LiveBoard
from leaderboard.types import JobRecord
from leaderboard.visitors import Visitor

Identify = Callable[[Request], Visitor | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiContext:
    """The parts of the board behind the API. `beats` and `hooks` are None where this board takes none."""

    board: Board
    queue: JobQueue
    live: LiveBoard
    submit: Callable[[Mapping[str, Any], str], JobRecord]
    """Checks a form and queues it in somebody's name. Raises OpenR1Error with a message for people."""
    identify: Identify
    local_mode: bool
    beats: BeatDesk | None = None
    worker_token: str | None = None
    hooks: HookDesk | None = None
    prepared: PreparedAnswers = field(default_factory=PreparedAnswers)
