"""Progress of a run on a terminal, and as a stream of events for programs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from evaluator.errors import PlanRejected
from evaluator.types import Progress, to_json

OnProgress = Callable[[Mapping[str, Progress]], None]
BAR_CELLS = 24
EIGHTHS = " ▏▎▍▌▋▊▉"


class Bars:
    """One line per benchmark on standard error: rewritten in place on a terminal, every ten seconds elsewhere."""

    EVERY_S = 10.0

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._lines = 0
        self._last = -self.EVERY_S
        self._phases: dict[str, str] = {}

    def show(self, progress: Mapping[str, Progress]) -> None:
        """Show the newest state."""
        now = time.monotonic()
        phases = {name: state.phase for name, state in progress.items()}
        if not self._live and now - self._last < self.EVERY_S and phases == self._phases:
            return
        self._last, self._phases = now, phases
        rewind = f"\x1b[{self._lines}F\x1b[J" if self._live and self._lines else ""
        width = max(len(name) for name in progress) if progress else 0
        lines = [_line(name.ljust(width), state, bar=self._live) for name, state in progress.items()]
        if self._live:
            # A line that wraps would be two, and the next rewind one short.
            columns = shutil.get_terminal_size().columns - 1
            lines = [line[:columns] for line in lines]
        sys.stderr.write(rewind + "".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
        self._lines = len(lines)

    def end(self) -> None:
        """Leave the last state on the screen."""
        self._lines = 0


class Events:
    """One JSON object per line: `{"at": ..., "event": ..., ...}`, each written as it happens.

    Events are `progress` (with a benchmark, whenever it changed), `finished` (a result) and `failed` (an error).
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: dict[str, Progress] = {}

    def show(self, progress: Mapping[str, Progress]) -> None:
        """An event for every benchmark that changed."""
        for name, state in progress.items():
            if self._last.get(name) != state:
                self._last[name] = state
                self.write("progress", benchmark=name, **to_json(state))

    def write(self, event: str, **facts: Any) -> None:
        """One event."""
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
        self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._stream.flush()


def events_to(path: Path | None) -> AbstractContextManager[TextIO | None]:
    """The file that events are appended to; None where nobody asked for them.

    Raises:
        PlanRejected: it cannot be written.
    """
    if path is None:
        return nullcontext()
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise PlanRejected(f"--events {path}: {error.strerror}; name a file in a folder that exists") from error


def _line(name: str, state: Progress, *, bar: bool) -> str:
    if state.phase == "waiting":
        return f"{name}  {state.message}"
    score = (
        f"  {state.score:.1f} [{state.ci95[0]:.1f}, {state.ci95[1]:.1f}] so far"
        if state.score is not None and state.ci95 is not None
        else ""
    )
    in_flight = f"  {state.in_flight:,} in flight" if state.in_flight else ""
    rate = "" if state.tokens_per_s is None else f"  {state.tokens_per_s:,.0f} tokens/s"
    left = "" if state.eta_s is None else f"  {_duration(state.eta_s)} left"
    drawn = f"{_bar(state.done, state.total)} " if bar else ""
    message = f"  {state.message}" if state.message else ""
    return f"{name}  {drawn}{state.phase} {state.done:,}/{state.total:,}{score}{in_flight}{rate}{left}{message}"


def _bar(done: int, total: int) -> str:
    eighths = 8 * BAR_CELLS * done // total if total else 0
    whole, rest = divmod(eighths, 8)
    cells = "█" * whole + (EIGHTHS[rest] if whole < BAR_CELLS else "")
    return f"▕{cells.ljust(BAR_CELLS)}▏"


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{hours:.1f} h" if hours >= 1 else f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"
