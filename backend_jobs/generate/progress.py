"""A running generation on a terminal: two lines, rewritten in place."""

from __future__ import annotations

import sys
import time

from backend_jobs.datasets.statistics import LENGTH_BINS
from leaderboard.datasets import GenerationProgress, LengthBin

EVERY_S = 10.0
BLOCKS = "▁▂▃▄▅▆▇█"


class GenerationLines:
    """Shows progress on standard error: in place on a terminal, every ten seconds elsewhere."""

    def __init__(self, run: str) -> None:
        self._run, self._live = run, sys.stderr.isatty()
        self._lines, self._last, self._said = 0, float("-inf"), ""

    def show(self, progress: GenerationProgress) -> None:
        """Show the newest state."""
        now, news = time.monotonic(), progress.message != self._said
        if not self._live and now - self._last < EVERY_S and not news:
            return
        self._last, self._said = now, progress.message
        lines = as_lines(self._run, progress)
        rewind = f"\x1b[{self._lines}F\x1b[J" if self._live and self._lines else ""
        sys.stderr.write(rewind + "".join(f"{line}\n" for line in lines))
        sys.stderr.flush()
        self._lines = len(lines)


def as_lines(run: str, progress: GenerationProgress) -> list[str]:
    """The state as text."""
    if progress.phase == "waiting":
        return [f"{run}: {progress.message}"]
    of = "" if progress.total is None else f"/{progress.total:,}"
    parts = [f"{progress.phase} {progress.samples:,}{of} samples", f"{progress.kept:,} kept"]
    checked = progress.right + progress.wrong
    if checked:
        parts.append(f"{100 * progress.right / checked:.1f} % right")
    if progress.tokens_per_s is not None:
        parts.append(f"{progress.tokens_per_s:,.0f} tokens/s")
    if progress.cost.amount is not None:
        parts.append(f"{progress.cost.amount:,.2f} {progress.cost.currency}")
    if progress.eta_s is not None:
        parts.append(f"{progress.eta_s:,.0f} s left")
    lines = [f"{run}: {' · '.join(parts)}"]
    if progress.lengths:
        lines.append(f"  tokens {length_line(progress.lengths)}")
    if progress.dropped:
        lines.append(f"  dropped {', '.join(f'{reason} {n:,}' for reason, n in progress.dropped.items())}")
    return lines


def length_line(lengths: tuple[LengthBin, ...]) -> str:
    """A histogram in one line: a block per bin, its bounds at both ends."""
    first = next((n for n, each in enumerate(lengths) if each.rows), 0)
    shown = lengths[first:]
    most = max((each.rows for each in shown), default=0) or 1
    blocks = "".join(BLOCKS[round((len(BLOCKS) - 1) * each.rows / most)] for each in shown)
    end = f"≤{shown[-1].tokens:,}" if shown[-1].tokens < LENGTH_BINS[-1] else f">{LENGTH_BINS[-2]:,}"
    return f"≤{shown[0].tokens:,} {blocks} {end}"
