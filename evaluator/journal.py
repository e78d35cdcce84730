"""The journal: every answer that was paid for, durable before anything else sees it.

One SQLite file, one row per (generation key, problem, attempt). An answer is never replaced.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from evaluator.errors import JournalBusy, JournalUnusable
from evaluator.journal_answers import (
    BUSY_TIMEOUT_S,
    COMPLETION,
    ONE_ANSWER,
    StoredCompletions,
    as_completion,
    guarded,
)
from evaluator.journal_schema import APPLICATION_ID, SCHEMA_VERSION, bring_up_to_date
from evaluator.types import CapPoint, Completion, EngineFacts, Refusal, ReplicaRecord, StreamRecord, to_json

REFUSAL = tuple(field.name for field in fields(Refusal))
NOT_IN_PARTS = (
    "SELECT {0} FROM {1} WHERE generation_key = ?1 AND (problem_id, attempt) NOT IN "
    "(SELECT problem_id, attempt FROM in_parts WHERE generation_key = ?1 AND kind = '{1}')"
)
OCCASIONS = "SELECT because FROM forgotten WHERE generation_key = ?"


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

    def add_many(self, answers: Iterable[tuple[str, Completion | Refusal]]) -> None:
        """Make (generation key, answer) pairs durable together: all of them, or after a failure none.

        Raises:
            JournalUnusable: they could not be written; nothing that was there is lost.
        """
        with self._together():
            for key, answer in answers:
                _ = self.add(key, answer) if isinstance(answer, Completion) else self.refuse(key, answer)

    def answers(self, generation_key: str, first: str, end: str) -> list[Completion | Refusal]:
        """Answers and refusals of the problems from `first` up to, not including, `end`, by problem and attempt."""
        found: list[Completion | Refusal] = []
        for table, kind, names in (("answers", Completion, COMPLETION), ("refusals", Refusal, REFUSAL)):
            with self._guard():
                rows = self._database.execute(
                    f"SELECT {', '.join(names)} FROM {table} WHERE generation_key = ? AND problem_id >= ? "
                    "AND problem_id < ?",
                    (generation_key, first, end),
                ).fetchall()
            found += [kind(**dict(zip(names, row, strict=True))) for row in rows]
        answered = {(each.problem_id, each.attempt) for each in found if isinstance(each, Completion)}
        kept = (e for e in found if isinstance(e, Completion) or (e.problem_id, e.attempt) not in answered)
        return sorted(kept, key=lambda each: (each.problem_id, each.attempt))

    def drop(self, generation_key: str) -> None:
        """Forget everything of a plan, because it is kept elsewhere."""
        with self._guard():
            for table in ("answers", "refusals"):
                self._database.execute(f"DELETE FROM {table} WHERE generation_key = ?", (generation_key,))

    def completions(self, generation_key: str) -> list[Completion]:
        """Every answer of a plan, by problem and attempt."""
        rows = self._read(
            f"SELECT {', '.join(COMPLETION)} FROM answers WHERE generation_key = ? ORDER BY problem_id, attempt",
            generation_key,
        )
        return [as_completion(row) for row in rows]

    def completion(self, generation_key: str, problem_id: str, attempt: int) -> Completion | None:
        """One answer; None where there is none."""
        found = self._read(ONE_ANSWER, generation_key, problem_id, attempt)
        return as_completion(found[0]) if found else None

    def answered(self, generation_key: str) -> list[tuple[str, int]]:
        """(problem, attempt) of every answer, by problem and attempt."""
        return self._read(
            "SELECT problem_id, attempt FROM answers WHERE generation_key = ? ORDER BY problem_id, attempt",
            generation_key,
        )

    def stored(self, generation_key: str, attempts: Sequence[tuple[str, int]]) -> StoredCompletions:
        """The answers to some attempts, in their order, without the texts being held in memory."""
        return StoredCompletions(self.path, generation_key, tuple(attempts))

    def refusals(self, generation_key: str) -> list[Refusal]:
        """Every attempt of a plan that was refused and has no answer, by problem and attempt."""
        rows = self._read(
            f"SELECT {', '.join(REFUSAL)} FROM refusals WHERE generation_key = ?1 AND (problem_id, attempt) NOT IN "
            "(SELECT problem_id, attempt FROM answers WHERE generation_key = ?1) ORDER BY problem_id, attempt",
            generation_key,
        )
        return [_as_refusal(row) for row in rows]

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

    def parts(self, generation_key: str) -> set[str]:
        """The names of the parts that were taken in or handed on."""
        return {name for (name,) in self._read("SELECT name FROM parts WHERE generation_key = ?", generation_key)}

    def not_in_parts(self, generation_key: str, most: int) -> tuple[list[Completion], list[Refusal]]:
        """At most so many answers that no part holds; with the last of them the refusals that none holds."""
        answers = self._read(f"{NOT_IN_PARTS.format(', '.join(COMPLETION), 'answers')} LIMIT ?2", generation_key, most)
        refusals = self._read(NOT_IN_PARTS.format(", ".join(REFUSAL), "refusals"), generation_key)
        kept = refusals if len(answers) < most else []
        return [as_completion(row) for row in answers], [
            Refusal(**dict(zip(REFUSAL, row, strict=True))) for row in kept
        ]

    def note_part(
        self, generation_key: str, name: str, answers: Sequence[Completion], refusals: Sequence[Refusal]
    ) -> None:
        """A part that holds these was handed on."""
        with self._together():
            self._note_part(generation_key, name, answers, refusals)

    def take(
        self,
        generation_key: str,
        name: str,
        answers: Sequence[Completion],
        refusals: Sequence[Refusal],
        engines: Sequence[EngineFacts],
        occasions: Sequence[str],
    ) -> int:
        """Add what a part holds, all of it or nothing. Returns the answers that were new."""
        with self._together():
            for because in occasions:
                self._write("INSERT INTO forgotten VALUES (?, ?) ON CONFLICT DO NOTHING", (generation_key, because))
            for facts in engines:
                self.note_engine(generation_key, facts)
            new = sum([self.add(generation_key, answer) for answer in answers])
            for refusal in refusals:
                self.refuse(generation_key, refusal)
            self._note_part(generation_key, name, answers, refusals)
        return new

    def occasions(self, generation_key: str) -> list[str]:
        """The occasions on which refusals of a plan were forgotten."""
        return [because for (because,) in self._read(OCCASIONS, generation_key)]

    def engine_notes(self, generation_key: str) -> list[EngineFacts]:
        """Every engine that answered a plan's requests."""
        rows = self._read("SELECT facts FROM engines WHERE generation_key = ?", generation_key)
        return [EngineFacts(**json.loads(facts)) for (facts,) in rows]

    def note_stream(self, generation_key: str, record: StreamRecord) -> None:
        """Keep what one stream did for a plan; a later note of the same stream takes the place of the earlier."""
        self._write(
            "INSERT INTO streams VALUES (?, ?, ?) ON CONFLICT (generation_key, started_at) DO UPDATE SET record = ?3",
            (generation_key, record.started_at, json.dumps(to_json(record))),
        )

    def streams(self, generation_key: str) -> tuple[StreamRecord, ...]:
        """What every stream did that asked for a plan's answers, the first one first."""
        rows = self._read("SELECT record FROM streams WHERE generation_key = ? ORDER BY started_at", generation_key)
        return tuple(_stream_record(json.loads(record)) for (record,) in rows)

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
        if self._version() != SCHEMA_VERSION:
            bring_up_to_date(self._database)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")

    def _version(self) -> int | None:
        """The schema version, None for an empty file. Raises JournalUnusable where we must not touch it."""
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if (application, version, tables) == (0, 0, 0):
            return None
        if application != APPLICATION_ID:
            raise JournalUnusable(f"{self.path} is another program's database, not a journal: name another file")
        if not 1 <= version <= SCHEMA_VERSION:
            raise JournalUnusable(
                f"{self.path} is a journal of version {version}, this program reads versions 1 to {SCHEMA_VERSION}: "
                "update the program, or name another journal"
            )
        return int(version)

    def _note_part(
        self, generation_key: str, name: str, answers: Sequence[Completion], refusals: Sequence[Refusal]
    ) -> None:
        self._write("INSERT INTO parts VALUES (?, ?) ON CONFLICT DO NOTHING", (generation_key, name))
        for kind, rows in (("answers", answers), ("refusals", refusals)):
            for row in rows:
                values = (generation_key, kind, row.problem_id, row.attempt)
                self._write("INSERT INTO in_parts VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", values)

    @contextmanager
    def _together(self) -> Iterator[None]:
        """What is written inside becomes durable together, or not at all."""
        with self._guard():
            self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        with self._guard():
            self._database.execute("COMMIT")

    def _write(self, statement: str, values: tuple[Any, ...]) -> bool:
        with self._guard():
            return self._database.execute(statement, values).rowcount == 1

    def _read(self, statement: str, *values: str | int) -> list[Any]:
        with self._guard():
            return self._database.execute(statement, values).fetchall()

    def _guard(self) -> AbstractContextManager[None]:
        return guarded(self.path)


def _as_refusal(row: tuple[Any, ...]) -> Refusal:
    return Refusal(**dict(zip(REFUSAL, row, strict=True)))


def _stream_record(record: dict[str, Any]) -> StreamRecord:
    replicas = [
        ReplicaRecord(**{**each, "history": tuple(CapPoint(**point) for point in each["history"])})
        for each in record["replicas"]
    ]
    return StreamRecord(started_at=record["started_at"], wall_s=record["wall_s"], replicas=tuple(replicas))
