"""Progress on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from evaluator.types import Progress


class Bars:
    """One line per benchmark on standard error: rewritten in place on a terminal, every ten seconds elsewhere."""

    EVERY_S = 10.0

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._lines = 0
        self._last = 0.0

    def show(self, progress: Mapping[str, Progress]) -> None:
        """Show the newest state."""
        now = time.monotonic()
        if not self._live and now - self._last < self.EVERY_S:
            return
        self._last = now
        rewind = f"\x1b[{self._lines}F\x1b[J" if self._live and self._lines else ""
        sys.stderr.write(rewind + "".join(f"{_line(name, state)}\n" for name, state in progress.items()))
        sys.stderr.flush()
        self._lines = len(progress)

    def end(self) -> None:
        """Leave the last state on the screen."""
        self._lines = 0


def _line(name: str, state: Progress) -> str:
    if state.phase == "waiting":
        return f"{name}: {state.message}"
    score = (
        ""
        if state.score is None or state.ci95 is None
        else (f"  {state.score:.1f} [{state.ci95[0]:.1f}, {state.ci95[1]:.1f}] so far")
    )
    rate = "" if state.tokens_per_s is None else f"  {state.tokens_per_s:,.0f} tokens/s"
    left = "" if state.eta_s is None else f"  {state.eta_s:,.0f} s left"
    return f"{name}: {state.phase} {state.done:,}/{state.total:,}{score}{rate}{left}"
