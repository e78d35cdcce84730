"""What `benchmarks.soak` looks at: the journal at every kill, the board at the end, the page's memory meanwhile."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median

from leaderboard.board import Board
from leaderboard.dataset.validate import validate
from leaderboard.sqlite_store import SqliteStore

AnswerKey = tuple[str, str, int]
Killed = dict[AnswerKey, str]
"""What the journals held when a worker was killed: texts by (generation key, problem, attempt)."""
WARM_SHARE = 0.2
"""Of the samples: caches fill, the first readers come."""
MOST_GROWTH = 0.10
"""Of the memory after warming up, until the end: more is a leak."""


@dataclass
class Found:
    """The board at the end. All but `published`, `attempts` and `held` should be empty."""

    published: int = 0
    attempts: int = 0
    held: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether nothing was lost, doubled or left over."""
        return not self.faults

    def rows(self) -> list[str]:
        """One line, and one for every fault."""
        line = (
            f"results published once: {self.published}; attempts behind them: {self.attempts:,}; "
            f"answers held by the journal at a kill and published word for word: {self.held:,}; "
            f"lost, doubled or left over: {len(self.faults)}"
        )
        return [line, *self.faults]


@dataclass
class Memory:
    """Resident memory of the page's process in MB, and when it was."""

    at_s: list[float] = field(default_factory=list)
    mb: list[float] = field(default_factory=list)

    def sample(self, pid: int, at_s: float) -> None:
        """Look once."""
        self.at_s.append(at_s)
        self.mb.append(int(_status(pid, "VmRSS").split()[0]) / 1024)

    @property
    def flat(self) -> bool:
        """Whether the last fifth lies hardly above the first one after warming up."""
        first, last = self._ends()
        return last <= first * (1 + MOST_GROWTH)

    def rows(self) -> list[str]:
        """One line."""
        if not self.mb:
            return ["memory: no sample"]
        first, last = self._ends()
        warm = int(len(self.mb) * WARM_SHARE)
        slope = 0.0
        if len(self.mb) - warm > 2:
            slope = linear_regression(self.at_s[warm:], self.mb[warm:]).slope * 60
        return [
            f"memory of the page: first {self.mb[0]:.0f} MB, after warming up {first:.0f}, at the end {last:.0f}, "
            f"most {max(self.mb):.0f}, slope {slope:+.2f} MB a minute: {'flat' if self.flat else 'GROWING'}"
        ]

    def _ends(self) -> tuple[float, float]:
        if not self.mb:
            return 0.0, 0.0
        part = max(1, int(len(self.mb) * WARM_SHARE))
        return median(self.mb[part : 2 * part] or self.mb), median(self.mb[-part:])


def find_worker(page: int, store: Path) -> int | None:
    """The process id of the worker that the page keeps; its supervisor is not meant."""
    for pid in _descendants(page):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"backend_jobs" in words and str(store).encode() in words and not any(b"supervisor.py" in w for w in words):
            return pid
    return None


def answers_in(journals: Path) -> Killed:
    """Every answer that the journals hold at this moment."""
    held: Killed = {}
    for path in sorted(journals.glob("*.db")):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
            found = database.execute("SELECT generation_key, problem_id, attempt, text FROM answers").fetchall()
        held |= {(key, problem, attempt): text for key, problem, attempt, text in found}
    return held


def check_board(path: Path, jobs: list[str], kills: list[Killed], *, expected: int) -> Found:
    """Hold the board against what was submitted and what had been answered. `expected` is attempts of one result."""
    store, found = SqliteStore(path), Found()
    board = Board(store)
    finishes = Counter(re.findall(r"finish (\S+)", "\n".join(_messages(path))))
    rows = {row.job_id: row for row in board.rows()}
    found.faults += [f"job {job} was finished {finishes[job]} times" for job in jobs if finishes[job] != 1]
    found.faults += [f"job {job} has no result" for job in jobs if job not in rows]
    if len(rows) != len(board.rows()):
        found.faults.append(f"{len(board.rows())} results of {len(rows)} jobs")
    found.published = len(rows)
    published: dict[AnswerKey, str] = {}
    for row in rows.values():
        attempts = board.attempts(row.plan_key)
        keys = {(row.generation_key, each.problem_id, each.attempt): each.text or "" for each in attempts}
        if len(attempts) != expected or len(keys) != expected:
            found.faults.append(f"{row.model} has {len(attempts)} attempts, {len(keys)} distinct, expected {expected}")
        found.attempts += len(attempts)
        published |= keys
    held = {key: text for kill in kills for key, text in kill.items()}
    lost = [key for key, text in held.items() if published.get(key) != text]
    found.held = len(held) - len(lost)
    found.faults += [
        f"the answer {key} was in the journal at a kill and is not what was published" for key in lost[:20]
    ]
    found.faults += [f"the board is not valid: {fault}" for fault in validate(store.snapshot()).faults[:20]]
    return found


def _messages(store: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        return [message for (message,) in database.execute("SELECT message FROM commits")]


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _status(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii").partition(f"{name}:")[2]
