"""Alarms of a run that a person wants to hear of while it can still be stopped. Standard library only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from statistics import median

from backend_jobs.training.events import Alarm

WINDOW = 20
"""Logged steps that an alarm looks back."""
TRUNCATED_SHARE = 0.20
COLLAPSED_TO = 0.25
"""Answers this short, as a share of what they were at first, have collapsed."""
SHORT_TOKENS = 8
"""Answers that were never longer than this cannot collapse."""


class Watch:
    """Looks at one step's numbers after another. Each alarm sounds once, and again only after it was over."""

    def __init__(self) -> None:
        self._rewards: deque[float] = deque(maxlen=WINDOW)
        self._first_lengths: list[float] = []
        self._lengths: deque[float] = deque(maxlen=WINDOW // 4)
        self._truncated: deque[float] = deque(maxlen=WINDOW // 4)
        self._sounding: set[str] = set()

    def look(self, step: int, metrics: Mapping[str, float]) -> Iterator[Alarm]:
        """The alarms that begin with this step."""
        self._note(metrics)
        said = {
            "reward_flat": self._reward_flat(),
            "length_collapse": self._length_collapse(),
            "truncation": self._truncation(),
        }
        for name, message in said.items():
            if message and name not in self._sounding:
                yield Alarm(step=step, name=name, message=message)
        self._sounding = {name for name, message in said.items() if message}

    def _note(self, metrics: Mapping[str, float]) -> None:
        if "reward" in metrics:
            self._rewards.append(metrics["reward"])
        if "completion_tokens" in metrics:
            self._lengths.append(metrics["completion_tokens"])
            if len(self._first_lengths) < WINDOW:
                self._first_lengths.append(metrics["completion_tokens"])
        if "truncated" in metrics:
            self._truncated.append(metrics["truncated"])

    def _reward_flat(self) -> str:
        full = len(self._rewards) == WINDOW
        if not full or any(self._rewards):
            return ""
        return (
            f"every reward was 0 for {WINDOW} logged steps: nothing is learned; look at the samples, at what the "
            "prompt opens, and at the gold answers"
        )

    def _length_collapse(self) -> str:
        if len(self._first_lengths) < WINDOW or len(self._lengths) < self._lengths.maxlen:  # type: ignore[operator]
            return ""
        before, now = median(self._first_lengths), median(self._lengths)
        if before <= SHORT_TOKENS or now > COLLAPSED_TO * before:
            return ""
        return f"answers have {now:.0f} tokens, at first they had {before:.0f}: a reward may favour saying nothing"

    def _truncation(self) -> str:
        full = len(self._truncated) == self._truncated.maxlen
        share = sum(self._truncated) / max(1, len(self._truncated))
        if not full or share <= TRUNCATED_SHARE:
            return ""
        return f"{share:.0%} of the answers are cut off at max_completion: raise it, or punish length"
