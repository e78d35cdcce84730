"""The clock: calls again and again, survives what it calls, never runs a function twice at once."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from backend_jobs.clock import Clock

SOON_S = 5.0


class Calls:
    """Counts calls, and waits for the n-th."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = threading.Condition()

    def __call__(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def reach(self, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.count >= count, timeout=SOON_S)


def test_function_is_called_at_once_and_then_again_and_again() -> None:
    often, rarely = Calls(), Calls()
    clock = Clock()
    clock.every(0.02, often, name="often")
    clock.every(3600, rarely, name="rarely")
    clock.start()
    try:
        assert often.reach(4)
        assert rarely.reach(1)
        assert rarely.count == 1
    finally:
        clock.stop()


def test_function_that_raises_is_logged_and_called_again(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls()

    def fails() -> None:
        calls()
        raise RuntimeError("the store is away")

    clock = Clock()
    clock.every(0.02, fails, name="take a job")
    clock.start()
    try:
        assert calls.reach(3)
    finally:
        clock.stop()
    assert "the store is away" in caplog.text
    assert "take a job" in caplog.text


def test_long_function_never_runs_twice_at_once_and_its_turns_pass_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    running, most, calls = [0], [0], Calls()

    def long() -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.1)
        running[0] -= 1
        calls()

    clock = Clock()
    clock.every(0.01, long, name="long")
    with caplog.at_level(logging.WARNING):
        clock.start()
        try:
            assert calls.reach(3)
        finally:
            clock.stop()
    assert most == [1]
    assert caplog.records == []


def test_stop_waits_for_what_runs_and_calls_nothing_more() -> None:
    began, calls = threading.Event(), Calls()

    def slow() -> None:
        began.set()
        time.sleep(0.1)
        calls()

    clock = Clock()
    clock.every(0.01, slow, name="slow")
    clock.start()
    assert began.wait(SOON_S)
    clock.stop()
    count = calls.count
    assert count >= 1
    time.sleep(0.05)
    assert calls.count == count
    clock.stop()


def test_clock_that_never_started_can_be_stopped() -> None:
    Clock().stop()


def test_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected more than 0"):
        Clock().every(0, print, name="never")
