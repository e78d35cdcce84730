"""The journal: every answer that was paid for, durable before anything else sees it.

One SQLite file, one row per (generation key, problem, attempt). An answer is never replaced.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from evaluator.errors import JournalBusy, JournalUnusable
from evaluator.types import Completion, EngineFacts, Refusal, to_json

APPLICATION_ID = 0x6F72314A  # "or1J"
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 30.0

SCHEMA = """
CREATE TABLE answers (
    generation_key TEXT NOT NULL, problem_id TEXT NOT NULL, attempt INTEGER NOT NULL,
    seed INTEGER NOT NULL, text TEXT NOT NULL, reasoning TEXT, finish_reason TEXT,
    completion_tokens INTEGER, prompt_tokens INTEGER, latency_s REAL NOT NULL, retries INTEGER NOT NULL,
    PRIMARY KEY (generation_key, problem_id, attempt)
) STRICT;
CREATE TABLE refusals (
    generation_key TEXT NOT NULL, problem_id TEXT NOT NULL, attempt INTEGER NOT NULL,
    code TEXT NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (generation_key, problem_id, attempt)
) STRICT;
CREATE TABLE engines (
    generation_key TEXT NOT NULL, facts TEXT NOT NULL,
    PRIMARY KEY (generation_key, facts)
) STRICT;
CREATE TABLE forgotten (
    generation_key TEXT NOT NULL, because TEXT NOT NULL,
    PRIMARY KEY (generation_key, because)
) STRICT;
CREATE TABLE spent (generation_key TEXT PRIMARY KEY, seconds REAL NOT NULL) STRICT;
"""
COMPLETION = tuple(field.name for field in fields(Completion))
REFUSAL = tuple(field.name for field in fields(Refusal))
ADVICE = {
    "SQLITE_FULL": "the disk is full: free some space and run again; what is in the journal stays",
    "SQLITE_IOERR": "the disk refused: check its space and health, then run again; what is in the journal stays",
    "SQLITE_READONLY": "it is read-only: make the file and its folder writable, or name another journal",
    "SQLITE_CANTOPEN": "it cannot be opened: the folder must exist and be writable, or name another journal",
    "SQLITE_NOTADB": "it is not a journal: name another file",
    "SQLITE_CORRUPT": "it is damaged: restore a copy, or name another journal and start anew",
    "SQLITE_BUSY": "another process kept it locked: end that process, or name another journal",
}


class Journal:
    """The answers of any number of plans in one file. For one thread at a time, whichever that is.

    Several processes may write one journal; that two *runs* of one plan do not is what `claim` is for.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal, or create it.

        Raises:
            JournalUnusable: the file is not a journal, is of a newer version, or cannot be written.
        """
        self.path = path
        with self._guard():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._guard():
                self._open()
        except BaseException:
            self._database.close()
            raise

    def add(self, generation_key: str, completion: Completion) -> bool:
        """Make an answer durable. False where this attempt has one already: the first is kept.

        Raises:
            JournalUnusable: it could not be written; nothing that was there is lost.
        """
        values = [getattr(completion, name) for name in COMPLETION]
        return self._write(
            f"INSERT INTO answers (generation_key, {', '.join(COMPLETION)}) "
            f"VALUES (?{', ?' * len(COMPLETION)}) ON CONFLICT DO NOTHING",
            (generation_key, *values),
        )

    def refuse(self, generation_key: str, refusal: Refusal) -> bool:
        """Record that an attempt will not be answered. False where it has an answer or a refusal already."""
        values = [getattr(refusal, name) for name in REFUSAL]
        return self._write(
            f"INSERT INTO refusals (generation_key, {', '.join(REFUSAL)}) SELECT ?{', ?' * len(REFUSAL)} "
            "WHERE NOT EXISTS (SELECT 1 FROM answers WHERE generation_key = ? AND problem_id = ? AND attempt = ?) "
            "ON CONFLICT DO NOTHING",
            (generation_key, *values, generation_key, refusal.problem_id, refusal.attempt),
        )

    def completions(self, generation_key: str) -> list[Completion]:
        """Every answer of a plan, by problem and attempt."""
        rows = self._read(
            f"SELECT {', '.join(COMPLETION)} FROM answers WHERE generation_key = ? ORDER BY problem_id, attempt",
            generation_key,
        )
        return [Completion(**dict(zip(COMPLETION, row, strict=True))) for row in rows]

    def refusals(self, generation_key: str) -> list[Refusal]:
        """Every attempt of a plan that was refused and has no answer, by problem and attempt."""
        rows = self._read(
            f"SELECT {', '.join(REFUSAL)} FROM refusals WHERE generation_key = ?1 AND (problem_id, attempt) NOT IN "
            "(SELECT problem_id, attempt FROM answers WHERE generation_key = ?1) ORDER BY problem_id, attempt",
            generation_key,
        )
        return [Refusal(**dict(zip(REFUSAL, row, strict=True))) for row in rows]

    def recorded(self, generation_key: str) -> set[tuple[str, int]]:
        """(problem, attempt) of everything that need not be asked: answered or refused."""
        pairs = "SELECT problem_id, attempt FROM {} WHERE generation_key = ?1"
        return set(self._read(f"{pairs.format('answers')} UNION {pairs.format('refusals')}", generation_key))

    def forget_refusals(self, generation_key: str, *, because: str) -> int:
        """Drop the refusals of a plan, so that a run asks for those attempts once more. Returns how many.

        Once for each `because`: a run that is taken over must not roll again what was refused since.
        """
        if not self._write("INSERT INTO forgotten VALUES (?, ?) ON CONFLICT DO NOTHING", (generation_key, because)):
            return 0
        with self._guard():
            return self._database.execute("DELETE FROM refusals WHERE generation_key = ?", (generation_key,)).rowcount

    def spend(self, generation_key: str, seconds: float) -> None:
        """Add to the wall-clock time that answering a plan has taken, over all its runs."""
        self._write(
            "INSERT INTO spent VALUES (?1, ?2) ON CONFLICT (generation_key) DO UPDATE SET seconds = seconds + ?2",
            (generation_key, seconds),
        )

    def spent(self, generation_key: str) -> float:
        """Seconds of wall-clock time that answering a plan has taken, over all its runs."""
        return float(
            sum(
                seconds
                for (seconds,) in self._read("SELECT seconds FROM spent WHERE generation_key = ?", generation_key)
            )
        )

    def note_engine(self, generation_key: str, facts: EngineFacts) -> None:
        """Record which engine answers a plan's requests from here on."""
        self._write(
            "INSERT INTO engines VALUES (?, ?) ON CONFLICT DO NOTHING",
            (generation_key, json.dumps(to_json(facts), sort_keys=True)),
        )

    def engine(self, generation_key: str) -> EngineFacts:
        """What served a plan. Where several engines did, a fact that they do not share is None."""
        noted = [
            json.loads(facts)
            for (facts,) in self._read("SELECT facts FROM engines WHERE generation_key = ?", generation_key)
        ]
        shared: dict[str, Any] = {}
        for field in fields(EngineFacts):
            values = {facts.get(field.name) for facts in noted}
            shared[field.name] = values.pop() if len(values) == 1 else None
        return EngineFacts(**shared)

    @contextmanager
    def claim(self, generation_key: str) -> Iterator[None]:
        """Be the one run that writes this plan's answers, until the block ends or the process does.

        The lock is a file beside the journal; the kernel frees it however the process ends, so the file may stay.

        Raises:
            JournalBusy: another run has it; the message names its process.
        """
        name = hashlib.sha256(generation_key.encode()).hexdigest()[:16]
        with self._guard():
            lock = os.open(self.path.with_name(f"{self.path.name}.{name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
                raise JournalBusy(
                    f"another run (pid {owner}) is writing this journal, {self.path}, for the same plan; wait until it "
                    "ends, or end it: a new run continues where it stopped"
                ) from None
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(lock)

    def close(self) -> None:
        """Close the file. The journal cannot be used afterwards."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        """Check whose file this is before anything is written to it, then make it durable and current."""
        if self._version() is None:
            self._create()
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")

    def _create(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            if self._version() is None:  # nobody else created it meanwhile
                for statement in filter(str.strip, SCHEMA.split(";")):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _version(self) -> int | None:
        """The schema version, None for an empty file. Raises JournalUnusable where we must not touch it."""
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if (application, version, tables) == (0, 0, 0):
            return None
        if application != APPLICATION_ID:
            raise JournalUnusable(f"{self.path} is another program's database, not a journal: name another file")
        if version != SCHEMA_VERSION:
            raise JournalUnusable(
                f"{self.path} is a journal of version {version}, this program reads version {SCHEMA_VERSION}: update "
                "the program, or name another journal"
            )
        return int(version)

    def _write(self, statement: str, values: tuple[Any, ...]) -> bool:
        with self._guard():
            return self._database.execute(statement, values).rowcount == 1

    def _read(self, statement: str, generation_key: str) -> list[Any]:
        with self._guard():
            return self._database.execute(statement, (generation_key,)).fetchall()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", "")
            advice = next((text for name, text in ADVICE.items() if code.startswith(name)), "name another journal")
            raise JournalUnusable(f"the journal {self.path} cannot be used ({error}); {advice}") from error
        except OSError as error:
            raise JournalUnusable(
                f"the journal {self.path} cannot be used ({error.strerror}); name another journal"
            ) from error
