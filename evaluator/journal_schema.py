"""The journal's tables, and how a journal of an earlier version becomes one of this version."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x6F72314A  # "or1J"
SCHEMA_VERSION = 3

VERSION_1 = """
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
"""
VERSION_2 = """
CREATE TABLE streams (
    generation_key TEXT NOT NULL, started_at TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (generation_key, started_at)
) STRICT;
CREATE TABLE parts (
    generation_key TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (generation_key, name)
) STRICT;
CREATE TABLE in_parts (
    generation_key TEXT NOT NULL, kind TEXT NOT NULL, problem_id TEXT NOT NULL, attempt INTEGER NOT NULL,
    PRIMARY KEY (generation_key, kind, problem_id, attempt)
) STRICT, WITHOUT ROWID;
"""
# Both came into files of version 1, which some have and some have not.
VERSION_3 = """
CREATE TABLE IF NOT EXISTS forgotten (
    generation_key TEXT NOT NULL, because TEXT NOT NULL,
    PRIMARY KEY (generation_key, because)
) STRICT;
CREATE TABLE IF NOT EXISTS spent (generation_key TEXT PRIMARY KEY, seconds REAL NOT NULL) STRICT;
"""
STEPS = (VERSION_1, VERSION_2, VERSION_3)
"""What each version added to the one before."""


def bring_up_to_date(database: sqlite3.Connection) -> None:
    """Create what the file lacks, all of it or nothing. Safe where another process does the same."""
    database.execute("BEGIN IMMEDIATE")
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        for step in STEPS[version:]:
            for statement in filter(str.strip, step.split(";")):
                database.execute(statement)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {max(version, SCHEMA_VERSION)}")
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
