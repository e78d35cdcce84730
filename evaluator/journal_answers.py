"""Answers of a journal, read one at a time when they are looked at; and what its errors tell a person."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, overload

from evaluator.errors import JournalUnusable
from evaluator.types import Completion

BUSY_TIMEOUT_S = 30.0
COMPLETION = tuple(field.name for field in fields(Completion))
ONE_ANSWER = f"SELECT {', '.join(COMPLETION)} FROM answers WHERE generation_key = ? AND problem_id = ? AND attempt = ?"
ADVICE = {
    "SQLITE_FULL": "the disk is full: free some space and run again; what is in the journal stays",
    "SQLITE_IOERR": "the disk refused: check its space and health, then run again; what is in the journal stays",
    "SQLITE_READONLY": "it is read-only: make the file and its folder writable, or name another journal",
    "SQLITE_CANTOPEN": "it cannot be opened: the folder must exist and be writable, or name another journal",
    "SQLITE_NOTADB": "it is not a journal: name another file",
    "SQLITE_CORRUPT": "it is damaged: restore a copy, or name another journal and start anew",
    "SQLITE_BUSY": "another process kept it locked: end that process, or name another journal",
}


class StoredCompletions(Sequence[Completion]):
    """Answers in a journal, in a chosen order; each is read when it is looked at, also after the journal was closed."""

    def __init__(self, path: Path, generation_key: str, attempts: tuple[tuple[str, int], ...]) -> None:
        self._path, self._key, self._attempts = path, generation_key, attempts

    def __len__(self) -> int:
        return len(self._attempts)

    @overload
    def __getitem__(self, index: int) -> Completion: ...
    @overload
    def __getitem__(self, index: slice) -> StoredCompletions: ...
    def __getitem__(self, index: int | slice) -> Completion | StoredCompletions:
        if isinstance(index, slice):
            return StoredCompletions(self._path, self._key, self._attempts[index])
        (found,) = StoredCompletions(self._path, self._key, (self._attempts[index],))
        return found

    def __iter__(self) -> Iterator[Completion]:
        """Raises JournalUnusable where the journal, or an answer in it, is gone."""
        if not self._attempts:
            return
        with (
            guarded(self._path),
            closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True)) as db,
        ):
            db.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
            for problem_id, attempt in self._attempts:
                row = db.execute(ONE_ANSWER, (self._key, problem_id, attempt)).fetchone()
                if row is None:
                    raise JournalUnusable(
                        f"{self._path} no longer holds attempt {attempt} of problem {problem_id}; restore a copy of it"
                    )
                yield as_completion(row)


def as_completion(row: tuple[Any, ...]) -> Completion:
    """A row of COMPLETION's columns."""
    return Completion(**dict(zip(COMPLETION, row, strict=True)))


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Whatever SQLite or the disk refuses becomes a JournalUnusable that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        advice = next((text for name, text in ADVICE.items() if code.startswith(name)), "name another journal")
        raise JournalUnusable(f"the journal {path} cannot be used ({error}); {advice}") from error
    except OSError as error:
        raise JournalUnusable(f"the journal {path} cannot be used ({error.strerror}); name another journal") from error
