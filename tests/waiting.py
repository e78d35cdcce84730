"""Waiting for what a test wants to see, with a generous end instead of a guessed pause."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Callable

SOON_S = 60.0


def until(condition: Callable[[], object], *, within_s: float = SOON_S, every_s: float = 0.01) -> None:
    """Return once the condition holds; fail where it does not within the time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited longer than {within_s:.0f} s"
        time.sleep(every_s)


def until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once a program that was started answers at its address."""

    def answers() -> bool:
        assert process.poll() is None, "the program ended by itself"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            return False
        return True

    until(answers, every_s=0.2)
