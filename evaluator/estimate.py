"""When a run will end, allowing for its tail: the last long answers run on after the queue is empty."""

from __future__ import annotations

from collections import deque

REMEMBERED = 512


class EndEstimate:
    """Learns how long answers take, in seconds, and says how long the rest will.

    Answers that arrive early are the short ones, so their mean says too little. The time that everything in flight has
    already taken counts too: seconds spent, over answers received, is the maximum-likelihood mean of censored
    exponential times.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=REMEMBERED)

    def answered(self, latency_s: float) -> None:
        """An answer arrived that took so long."""
        self._recent.append(latency_s)

    def seconds_left(self, *, waiting: int, in_flight: int, age_s: float) -> float | None:
        """Until the last answer; None before the first.

        `waiting` requests are not sent yet, `in_flight` are, and have taken `age_s` seconds so far, added up.
        """
        if not self._recent or (not waiting and not in_flight):
            return None
        mean_s = (sum(self._recent) + age_s) / len(self._recent) if age_s else sum(self._recent) / len(self._recent)
        # Of n answers that run to the end together, the longest is about as long as the quantile 1 - 1 / (n + 1).
        longest_s = sorted(self._recent)[int((1 - 1 / (in_flight + 1)) * (len(self._recent) - 1))]
        mean_s = min(mean_s, max(longest_s, age_s / max(in_flight, 1)))
        queue_s = waiting * mean_s / max(in_flight, 1)
        if waiting:
            return queue_s + longest_s
        return max(mean_s, longest_s - age_s / max(in_flight, 1))
