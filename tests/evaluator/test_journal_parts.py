"""A journal of another version, and parts of one that travel to another machine."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evaluator.errors import JournalUnusable
from evaluator.journal import Journal
from evaluator.journal_parts import ROWS, fetch_parts, part_name, send_parts, take_part, write_part
from evaluator.journal_schema import APPLICATION_ID, SCHEMA_VERSION, VERSION_1, VERSION_3
from evaluator.types import CapPoint, Completion, EngineFacts, Refusal, ReplicaRecord, StreamRecord
from leaderboard.journal_parts import StoreParts, without_parts
from leaderboard.sqlite_store import SqliteStore

KEY = "0123456789abcdef"
FACTS = EngineFacts(engine="vLLM", version="0.31.0", device="cuda", replicas=2)


def completion(number: int, **changes: object) -> Completion:
    plain = Completion(
        problem_id=f"p{number}", attempt=number % 4, seed=number, text=f"answer {number} \U0001d538\n\0", latency_s=1.5
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


class Shelf:
    """Parts in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def names(self, generation_key: str) -> Sequence[str]:
        return [name for key, _, name in (path.partition("/") for path in self.kept) if key == generation_key]

    def read(self, generation_key: str, name: str) -> bytes:
        return self.kept[f"{generation_key}/{name}"]

    def add(self, generation_key: str, name: str, content: bytes) -> None:
        self.kept[f"{generation_key}/{name}"] = content


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
def test_a_journal_of_the_first_version_is_brought_up_to_date_and_keeps_everything(tmp_path: Path, late: bool) -> None:
    path = tmp_path / "j.db"
    old = sqlite3.connect(path)
    old.executescript(VERSION_1 + (VERSION_3 if late else ""))
    old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    old.execute("PRAGMA user_version = 1")
    old.execute(
        "INSERT INTO answers VALUES (?, 'p', 0, 7, 'an old answer', NULL, 'stop', 3, 5, 2.5, 1)",
        (KEY,),
    )
    old.execute("INSERT INTO engines VALUES (?, ?)", (KEY, json.dumps({"engine": "vLLM", "version": "0.30.0"})))
    if late:
        old.execute("INSERT INTO spent VALUES (?, 12.5)", (KEY,))
    old.commit()
    old.close()
    with Journal(path) as journal:
        (kept,) = journal.completions(KEY)
        assert (kept.text, kept.seed, kept.finish_reason, kept.retries) == ("an old answer", 7, "stop", 1)
        assert journal.engine(KEY) == EngineFacts(engine="vLLM", version="0.30.0")
        assert journal.spent(KEY) == (12.5 if late else 0.0)
        assert journal.streams(KEY) == ()
        assert journal.add(KEY, completion(1))
    reopened = sqlite3.connect(path)
    assert reopened.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    reopened.close()


def test_what_a_stream_did_is_kept_and_read_back(tmp_path: Path) -> None:
    point = CapPoint(at_s=1.0, cap=24, in_flight=16, kv_usage=0.5, why="slow start")
    replica = ReplicaRecord(
        answered=3,
        refused=1,
        requests_sent=5,
        completion_tokens=99,
        transient_faults=1,
        back_pressure=0,
        restarts=0,
        history=(point,),
    )
    first = StreamRecord(started_at="2026-01-01T00:00:00.000+00:00", wall_s=1.0, replicas=(replica,))
    second = StreamRecord(started_at="2026-01-02T00:00:00.000+00:00", wall_s=2.0, replicas=(replica, replica))
    with Journal(tmp_path / "j.db") as journal:
        journal.note_stream(KEY, second)
        journal.note_stream(KEY, replace(first, wall_s=0.5))
        journal.note_stream(KEY, first)
        assert journal.streams(KEY) == (first, second)


def test_answers_are_read_in_a_chosen_order_also_after_the_journal_was_closed(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        for number in range(10):
            journal.add(KEY, completion(number))
        chosen = [(f"p{number}", number % 4) for number in (7, 2, 5)]
        stored = journal.stored(KEY, chosen)
    assert [each.seed for each in stored] == [7, 2, 5]
    assert (len(stored), stored[1].seed, [each.seed for each in stored[1:]]) == (3, 2, [2, 5])
    with Journal(tmp_path / "j.db") as journal, pytest.raises(JournalUnusable, match="attempt 9 of problem gone"):
        list(journal.stored(KEY, [("gone", 9)]))


def test_another_machine_continues_from_the_parts(tmp_path: Path) -> None:
    parts = StoreParts(SqliteStore(tmp_path / "store.db"))
    answers = [completion(number) for number in range(ROWS + 20)]
    refused = Refusal(problem_id="too long", attempt=0, code="refused_400", reason="prompt is too long")
    with Journal(tmp_path / "here.db") as here:
        here.note_engine(KEY, FACTS)
        here.forget_refusals(KEY, because="first retry")
        for answer in answers:
            here.add(KEY, answer)
        here.refuse(KEY, refused)
        assert asyncio.run(send_parts(here, parts, KEY)) == len(answers)
        assert len(parts.names(KEY)) == 2
        assert asyncio.run(send_parts(here, parts, KEY)) == 0
        assert len(parts.names(KEY)) == 2
    with Journal(tmp_path / "there.db") as there:
        assert asyncio.run(fetch_parts(there, parts, KEY)) == len(answers)
        assert there.completions(KEY) == sorted(answers, key=lambda each: (each.problem_id, each.attempt))
        assert there.refusals(KEY) == [refused]
        assert there.engine(KEY) == FACTS
        assert there.forget_refusals(KEY, because="first retry") == 0, "that retry was used up on the first machine"
        assert asyncio.run(fetch_parts(there, parts, KEY)) == 0
        there.add(KEY, completion(10_000))
        assert asyncio.run(send_parts(there, parts, KEY)) == 1, "what came from parts is not sent again"
    with Journal(tmp_path / "here.db") as here:
        assert asyncio.run(fetch_parts(here, parts, KEY)) == 1


def test_an_answer_that_is_here_is_never_replaced_by_a_part(tmp_path: Path) -> None:
    content = write_part(KEY, [completion(1, text="theirs"), completion(2)], [])
    with Journal(tmp_path / "j.db") as journal:
        journal.add(KEY, completion(1, text="ours"))
        assert take_part(journal, KEY, part_name(content), content) == 1
        assert [each.text for each in journal.completions(KEY) if each.seed == 1] == ["ours"]


def test_what_was_refused_and_then_answered_travels_as_an_answer(tmp_path: Path) -> None:
    shelf = Shelf()
    with Journal(tmp_path / "j.db") as journal:
        journal.refuse(KEY, Refusal(problem_id="p1", attempt=1, code="timed_out", reason="too slow"))
        asyncio.run(send_parts(journal, shelf, KEY))
        journal.forget_refusals(KEY, because="retry")
        journal.add(KEY, completion(1))
        assert asyncio.run(send_parts(journal, shelf, KEY)) == 1
    with Journal(tmp_path / "other.db") as other:
        assert asyncio.run(fetch_parts(other, shelf, KEY)) == 1
        assert other.refusals(KEY) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not gzip at all", "cannot be read"),
        (write_part(KEY, [completion(1)], [])[:-9], "cannot be read"),
        (write_part("another plan", [completion(1)], []), "belongs to another plan"),
        (
            gzip.compress(json.dumps({"format": "open-r1 journal part", "version": 9, "generation_key": KEY}).encode()),
            "version 9",
        ),
        (
            gzip.compress(
                b'{"format": "open-r1 journal part", "version": 1, "generation_key": "%s"}\n{"answer": {"x": 1}}'
                % KEY.encode()
            ),
            "another shape",
        ),
    ],
    # Without names the ids hold the bytes, and with them the time at which a worker compressed them.
    ids=["not gzip", "cut short", "another plan", "a newer version", "another shape"],
)
def test_a_part_that_is_not_sound_is_refused_and_adds_nothing(tmp_path: Path, content: bytes, words: str) -> None:
    with Journal(tmp_path / "j.db") as journal:
        with pytest.raises(JournalUnusable, match=words):
            take_part(journal, KEY, part_name(content), content)
        assert journal.completions(KEY) == []


def test_a_part_that_was_changed_is_noticed(tmp_path: Path) -> None:
    content = write_part(KEY, [completion(1)], [])
    with Journal(tmp_path / "j.db") as journal, pytest.raises(JournalUnusable, match="not what it was"):
        take_part(journal, KEY, part_name(content), content + b"\0")


def test_the_parts_of_a_published_plan_are_removed_and_no_others(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    parts = StoreParts(store)
    parts.add(KEY, "a.jsonl.gz", b"1")
    parts.add("other", "b.jsonl.gz", b"2")
    parts.add(KEY, "a.jsonl.gz", b"1")
    assert without_parts(store.snapshot(), [KEY]) == {f"journals/{KEY}/a.jsonl.gz": None}
    assert parts.read("other", "b.jsonl.gz") == b"2"
