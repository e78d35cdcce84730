"""The embedded store: one SQLite file, safe for many processes and threads, whole after any crash.

Contents are kept once, under their SHA-256; `files` says which content a name has now; `commits` is the log. A snapshot
is a version and its names with their hashes, so it reads its own contents whatever is committed later: contents that no
name refers to any more stay for a grace period and are then removed by whoever commits next.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from leaderboard.store import Changes, StoreUnusable, VersionConflict, checked_name

APPLICATION_ID = 0x6F723162
SCHEMA_VERSION = 1
EMPTY_VERSION = "0" * 40
GRACE_S = 3600.0
COMMITS_KEPT = 100_000
"""About a week of one worker's beats; older entries of the log are dropped, contents and files never."""
LOCK_TIMEOUT_S = 30.0
WAL_KEPT_BYTES = 64 * 2**20
HIGHEST_CHARACTER = "\U0010ffff"

VERSION_1 = """
CREATE TABLE commits (
    sequence INTEGER PRIMARY KEY, version TEXT NOT NULL UNIQUE, parent TEXT NOT NULL, message TEXT NOT NULL,
    committed_at TEXT NOT NULL
) STRICT;
CREATE TABLE blobs (hash TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;
CREATE TABLE files (name TEXT PRIMARY KEY, hash TEXT NOT NULL REFERENCES blobs (hash)) STRICT, WITHOUT ROWID;
CREATE INDEX files_by_hash ON files (hash);
CREATE TABLE released (hash TEXT PRIMARY KEY REFERENCES blobs (hash), at REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX released_by_time ON released (at);
"""
STEPS = (VERSION_1,)
"""What each version adds to the one before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SqliteSnapshot:
    """The tree at one version; see `leaderboard.store.Snapshot`."""

    version: str
    hashes: Mapping[str, str]
    read_blob: Callable[[str], bytes | None] = field(repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """File names, sorted."""
        return tuple(self.hashes)

    def fingerprint(self, name: str) -> str:
        """SHA-256 of the content, in hex."""
        return self.hashes[name]

    def read(self, name: str) -> bytes:
        """The content at this version.

        Raises:
            KeyError: the snapshot has no such name.
            StoreUnusable: the snapshot is older than the grace period and the content is gone.
        """
        content = self.read_blob(self.hashes[name])
        if content is None:
            raise StoreUnusable(
                f"{name} as of version {self.version[:12]} was replaced so long ago that its content has been removed; "
                "take a new snapshot"
            )
        return content


class SqliteStore:
    """A versioned tree of files in one SQLite file. May be shared by threads; every process opens its own.

    Commits are on disk when `commit` returns. `grace_s` is how long a snapshot can read what was replaced since.
    `now` gives seconds since the epoch.
    """

    def __init__(self, path: Path, *, grace_s: float = GRACE_S, now: Callable[[], float] = time.time) -> None:
        """Open the store, and create it where there is no file.

        Raises:
            StoreUnusable: the file is not a store, is of a newer version, or cannot be opened.
        """
        self._path, self._grace_s, self._now = path, grace_s, now
        self._idle: list[sqlite3.Connection] = []
        with self._reported():
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as db:
                self._ensure_schema(db)
                _enter_wal_mode(db)

    def version(self) -> str:
        """The newest version."""
        with self._connection() as db:
            return _newest_version(db)

    def known_version(self) -> str:
        """The newest version: a file is at hand."""
        return self.version()

    def refresh(self) -> None:
        """Nothing to do: every look is at the file itself."""

    def reachable(self) -> bool:
        """A file always is: whatever is wrong with it is raised."""
        return True

    def snapshot(self, prefix: str = "") -> SqliteSnapshot:
        """The newest tree, limited to names that begin with `prefix`."""
        with self._transaction("DEFERRED") as db:
            version = _newest_version(db)
            rows = db.execute(
                "SELECT name, hash FROM files WHERE name >= ? AND name < ? ORDER BY name",
                (prefix, prefix + HIGHEST_CHARACTER),
            ).fetchall()
        return SqliteSnapshot(version=version, hashes=dict(rows), read_blob=self._read_blob)

    def commit(self, changes: Changes, *, parent: str, message: str) -> str:
        """Apply all changes or none, and return the new version. See `leaderboard.store.Store.commit`."""
        hashes = {checked_name(name): _hash(content) for name, content in sorted(changes.items())}
        version = _child_version(parent, hashes)
        with self._transaction("IMMEDIATE") as db:
            newest = _newest_version(db)
            if newest == parent:
                now = self._now()
                replaced = _replace_files(db, changes, hashes)
                _release_unused(db, replaced, now)
                _remove_released(db, before=now - self._grace_s)
                _log(db, version, parent, message, now)
        if newest != parent:
            raise VersionConflict(f"the store is at version {newest[:12]}, not at {parent[:12]}: read it again")
        return version

    def close(self) -> None:
        """Close idle connections; the store opens new ones when it is used again."""
        while self._idle:
            self._idle.pop().close()

    def _read_blob(self, blob_hash: str) -> bytes | None:
        with self._connection() as db:
            row = db.execute("SELECT content FROM blobs WHERE hash = ?", (blob_hash,)).fetchone()
        return None if row is None else bytes(row[0])

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with self._connection() as db:
            db.execute(f"BEGIN {kind}")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile. After any error it is closed, which rolls back."""
        with self._reported():
            try:
                db = self._idle.pop()
            except IndexError:
                db = self._connect()
            try:
                yield db
            except BaseException:
                db.close()
                raise
            self._idle.append(db)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Turn what SQLite and the file system say into an error that names the store."""
        try:
            yield
        except (sqlite3.Error, OSError, OverflowError) as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
                raise self._not_a_store() from error
            raise StoreUnusable(
                f"the store {self._path} cannot be used: {error}; check the path, its permissions and the free disk "
                f"space, and that no program holds it locked for more than {LOCK_TIMEOUT_S:.0f} s"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        return db

    def _ensure_schema(self, db: sqlite3.Connection) -> None:
        """Bring a file to this version, from nothing or from an earlier one; two processes may try at once."""
        if self._version_of(db) < SCHEMA_VERSION:
            db.execute("BEGIN IMMEDIATE")
            for step in STEPS[self._version_of(db) :]:
                for statement in step.strip().split(";\n"):
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            db.execute("COMMIT")

    def _version_of(self, db: sqlite3.Connection) -> int:
        """The version of a store; 0 for an empty file. Raises StoreUnusable for any other, and for a newer one."""
        questions = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        application, version, tables = (db.execute(question).fetchone()[0] for question in questions)
        if application != APPLICATION_ID and (application or version or tables):
            raise self._not_a_store()
        if version > SCHEMA_VERSION:
            raise StoreUnusable(
                f"the store {self._path} is of schema {version}, this program knows up to {SCHEMA_VERSION}: use the "
                "program that wrote it, or a newer one"
            )
        return int(version)

    def _not_a_store(self) -> StoreUnusable:
        return StoreUnusable(f"{self._path} is not a store of this board; name another path, or move that file away")


def _hash(content: bytes | None) -> str | None:
    return None if content is None else sha256(content).hexdigest()


def _child_version(parent: str, hashes: Mapping[str, str | None]) -> str:
    """A hash over the parent's version and what changes: equal versions mean equal trees, in copies of a store too."""
    changed = "".join(f"\n{name}\n{blob_hash or 'deleted'}" for name, blob_hash in hashes.items())
    return sha256((parent + changed).encode()).hexdigest()[:40]


def _newest_version(db: sqlite3.Connection) -> str:
    row = db.execute("SELECT version FROM commits ORDER BY sequence DESC LIMIT 1").fetchone()
    return EMPTY_VERSION if row is None else str(row[0])


def _replace_files(db: sqlite3.Connection, changes: Changes, hashes: Mapping[str, str | None]) -> set[str]:
    """Write the new contents and names; returns the hashes that names had before."""
    replaced = set()
    for name, new_hash in hashes.items():
        row = db.execute("SELECT hash FROM files WHERE name = ?", (name,)).fetchone()
        if row is not None:
            replaced.add(str(row[0]))
        if new_hash is None:
            db.execute("DELETE FROM files WHERE name = ?", (name,))
            continue
        db.execute("INSERT INTO blobs VALUES (?, ?) ON CONFLICT DO NOTHING", (new_hash, changes[name]))
        db.execute("DELETE FROM released WHERE hash = ?", (new_hash,))
        db.execute("INSERT INTO files VALUES (?, ?) ON CONFLICT DO UPDATE SET hash = excluded.hash", (name, new_hash))
    return replaced


def _release_unused(db: sqlite3.Connection, replaced: set[str], now: float) -> None:
    """Note the moment from which no name refers to a content any more."""
    db.executemany(
        "INSERT INTO released SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM files WHERE hash = ?1)",
        [(blob_hash, now) for blob_hash in sorted(replaced)],
    )


def _remove_released(db: sqlite3.Connection, *, before: float) -> None:
    """Remove contents that were released before a moment, so that beats do not grow the file for ever."""
    gone = db.execute("DELETE FROM released WHERE at < ? RETURNING hash", (before,)).fetchall()
    db.executemany("DELETE FROM blobs WHERE hash = ?", gone)


def _log(db: sqlite3.Connection, version: str, parent: str, message: str, now: float) -> None:
    committed_at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    cursor = db.execute(
        "INSERT INTO commits (version, parent, message, committed_at) VALUES (?, ?, ?, ?)",
        (version, parent, message, committed_at),
    )
    db.execute("DELETE FROM commits WHERE sequence <= ?", ((cursor.lastrowid or 0) - COMMITS_KEPT,))


def _enter_wal_mode(db: sqlite3.Connection) -> None:
    """Switch the file to a write-ahead log; SQLite does not wait for others here, so this does."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
