"""The clock: calls functions again and again. The door to apscheduler; correctness never rests on it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler


class Clock:
    """Calls functions in threads of its own. A call that raises is logged, and the next one comes as usual.

    A function never runs twice at once: turns that pass while it runs are left out, and one that comes late (the
    machine slept) is made up for once.
    """

    def __init__(self) -> None:
        # Two instances, of which `_one_at_a_time` lets one through: with a single one, apscheduler would warn at every
        # turn that finds its function busy, and a worker's function is busy for hours.
        self._scheduler = BackgroundScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "max_instances": 2, "misfire_grace_time": None}
        )

    def every(self, seconds: float, function: Callable[[], object], name: str) -> None:
        """Call `function` at once when the clock starts, and then every so many seconds.

        Raises:
            ValueError: `seconds` is not positive.
        """
        if seconds <= 0:
            raise ValueError(f"{name} is to be called every {seconds} s; expected more than 0")
        self._scheduler.add_job(
            _one_at_a_time(function),
            "interval",
            seconds=seconds,
            id=name,
            name=name,
            next_run_time=datetime.now(UTC),
        )

    def start(self) -> None:
        """Start calling, in the background."""
        self._scheduler.start()

    def stop(self) -> None:
        """Call nothing more, and wait until what is being called has returned. May be called twice."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)


def _one_at_a_time(function: Callable[[], object]) -> Callable[[], None]:
    busy = threading.Lock()

    def turn() -> None:
        if busy.acquire(blocking=False):
            try:
                function()
            finally:
                busy.release()

    return turn
