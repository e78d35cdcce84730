"""What a run must remember of its problems without holding them in memory: a temporary file that the kernel removes.

It is made anew from the source at every start, so it need not survive anything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from backend_jobs.generate.prompts import Prompt, fingerprint


class Spool:
    """The problems of the shards that are open, and the fingerprints of all problems that came by."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "spool.db"
        path.unlink(missing_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        path.unlink()  # open, but nameless: it ends with the process
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE seen (fingerprint INTEGER PRIMARY KEY) STRICT")
        self._database.execute("CREATE TABLE prompts (number INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT")

    def is_new(self, problem: str) -> bool:
        """Whether no equal problem came before; from now on one did."""
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (fingerprint(problem),)).rowcount == 1

    def put(self, prompt: Prompt) -> None:
        """Remember a problem until its shard is written."""
        self._database.execute("INSERT INTO prompts VALUES (?, ?)", (prompt.number, prompt.to_bytes()))

    def prompts(self, first: int, end: int) -> Iterator[Prompt]:
        """The problems with numbers from `first` up to, not including, `end`, in order."""
        rows = self._database.execute(
            "SELECT data FROM prompts WHERE number >= ? AND number < ? ORDER BY number", (first, end)
        )
        for (data,) in rows.fetchall():
            yield Prompt.from_bytes(data)

    def forget(self, first: int, end: int) -> None:
        """Drop the problems of a shard that is written."""
        self._database.execute("DELETE FROM prompts WHERE number >= ? AND number < ?", (first, end))

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
