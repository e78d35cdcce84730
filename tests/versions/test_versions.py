"""Stored data of every earlier version is read as it was meant; of a newer version it is refused and stays as it is.

`store-N.sql` and `journal-N.sql` were written by the programs of their time.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend_jobs.queue import StoreQueue
from backend_jobs.records import read_record
from backend_jobs.types import RecordUnreadable
from evaluator.errors import JournalUnusable
from evaluator.journal import Journal
from evaluator.journal_schema import APPLICATION_ID as JOURNAL_ID
from evaluator.journal_schema import SCHEMA_VERSION as JOURNAL_VERSION
from evaluator.types import Completion, EngineFacts, Refusal
from leaderboard.audit import AuditUnreadable, read_trail
from leaderboard.board import Board
from leaderboard.dataset.validate import validate
from leaderboard.moderation import read_hidden
from leaderboard.results import ResultUnreadable, read_row
from leaderboard.sqlite_store import APPLICATION_ID as STORE_ID
from leaderboard.sqlite_store import SCHEMA_VERSION as STORE_VERSION
from leaderboard.sqlite_store import SqliteStore
from leaderboard.store import StoreUnusable, update
from leaderboard.table import PROBLEMS_SCHEMA, VERSION_KEY, TableUnreadable, read_problems
from leaderboard.trials import TrialUnreadable, read_trials
from leaderboard.types import Status
from leaderboard.versions import SHAPES, NewerVersion, Shape, upgraded

HERE = Path(__file__).parent
KEY = "f" * 16


def restored(script: str, path: Path, *, application: int, version: int) -> Path:
    """A database as a program of an earlier version left it."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript((HERE / script).read_text(encoding="utf-8"))
        database.executescript(f"PRAGMA application_id = {application}; PRAGMA user_version = {version};")
    return path


def board(number: int, folder: Path) -> SqliteStore:
    """The store that was written when results and requests had this version."""
    return SqliteStore(restored(f"store-{number}.sql", folder / "store.db", application=STORE_ID, version=1))


@pytest.mark.parametrize("number", [1, 2])
def test_a_board_of_each_version_is_read_whole(tmp_path: Path, number: int) -> None:
    store = board(number, tmp_path)
    (row,) = Board(store).rows()
    assert (row.model, row.statistics.score, row.attempts_per_problem) == ("owner/model", 56.25, 4)
    assert (row.schema, row.template is None) == (2, number == 1)
    jobs = {job.submission.id: job for job in StoreQueue(store).jobs()}
    assert (jobs["job-1"].status, jobs["job-1"].results) == (Status.FINISHED, (row.plan_key,))
    assert (jobs["job-1"].schema, jobs["job-1"].priority, jobs["job-1"].submission.trial) == (2, 0, False)
    assert jobs["job-2"].failure is not None
    assert jobs["job-2"].failure.log_tail == "CUDA error"
    assert [problem.correct for problem in Board(store).problems(row.plan_key)] == [4, 2, 0, 3]
    assert len(Board(store).attempts(row.plan_key)) == 16
    assert validate(store.snapshot()).results == 1


@pytest.mark.parametrize("number", [1, 2])
def test_a_queue_of_each_version_goes_on(tmp_path: Path, number: int) -> None:
    store = board(number, tmp_path)
    queue = StoreQueue(store)
    queue.retry("job-2")
    claimed = queue.claim("a worker of today")
    assert claimed is not None
    written = json.loads(store.snapshot("requests/").read("requests/owner/model/job-2.json"))
    assert (written["schema"], written["retried"], written["status"]) == (2, 1, "RUNNING")


def test_reading_an_earlier_version_rewrites_nothing(tmp_path: Path) -> None:
    store = board(1, tmp_path)
    version = store.version()
    Board(store).rows()
    StoreQueue(store).jobs()
    assert store.version() == version


def test_the_template_the_trial_and_the_hidden_result_of_version_2_are_there(tmp_path: Path) -> None:
    store = board(2, tmp_path)
    (row,) = Board(store).rows()
    assert row.template is not None
    assert (row.template.differs, row.template.base) == (True, "owner/base")
    assert Board(store).template(row.template.hash) == "{{ messages }}!"
    assert [trial.benchmark for trial in read_trials(store, "job-1")] == ["arithmetic"]
    assert read_hidden(store.snapshot())[row.plan_key].reason == "wrong weights"
    assert read_trail(store)[0].subject == row.plan_key


def test_trials_of_version_1_were_a_bare_list(tmp_path: Path) -> None:
    store = board(2, tmp_path)
    kept = json.loads(store.snapshot("trials/").read("trials/job-1.json"))
    put(store, "trials/job-1.json", kept["trials"])
    assert [trial.benchmark for trial in read_trials(store, "job-1")] == ["arithmetic"]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_journal_of_each_version_is_brought_forward_with_its_answers(tmp_path: Path, version: int) -> None:
    path = restored(f"journal-{version}.sql", tmp_path / "journal.db", application=JOURNAL_ID, version=version)
    with Journal(path) as journal:
        first, second = journal.answers(KEY, "p0", "q")
        assert isinstance(first, Completion)
        assert isinstance(second, Refusal)
        assert (first.text, second.reason) == ("the answer is 4", "too long")
        assert journal.engine(KEY) == EngineFacts(engine="vLLM", version="0.31.0")
        assert journal.spent(KEY) == 0.0
        journal.forget_refusals(KEY, because="job-1 retry 1")
        assert len(journal.answers(KEY, "p0", "q")) == 1
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (JOURNAL_VERSION,)


def test_a_table_of_problems_of_version_1_has_no_subjects(tmp_path: Path) -> None:
    store = board(1, tmp_path)
    (name,) = (name for name in store.snapshot("problems/").names)
    content = store.snapshot(name).read(name)
    assert "subject" not in pq.read_schema(pa.BufferReader(content)).names
    assert {row.subject for row in read_problems(content)} == {""}


def put(store: SqliteStore, name: str, record: Any) -> bytes:
    content = json.dumps(record).encode()
    update(store, lambda _: {name: content}, message="by hand")
    return content


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_file_of_a_newer_version_is_refused_by_name(shape: Shape) -> None:
    newer = json.dumps({"schema": shape.version + 1}).encode()
    with pytest.raises(NewerVersion, match=rf"{shape.name} has schema {shape.version + 1}.*update the board"):
        upgraded(newer, shape)
    assert set(shape.steps) == set(range(1, shape.version)), "a step from every earlier version"


def test_what_a_newer_program_wrote_is_left_as_it_is(tmp_path: Path) -> None:
    store = board(2, tmp_path)
    for name in store.snapshot().names:
        if name.endswith(".json"):
            put(store, name, json.loads(store.snapshot(name).read(name)) | {"schema": 99, "more": 1})
    before = {name: store.snapshot(name).read(name) for name in store.snapshot().names}
    assert Board(store).rows() == ()
    assert StoreQueue(store).jobs() == []
    assert StoreQueue(store).claim("worker") is None
    result, request = (next(name for name in before if name.startswith(kind)) for kind in ("results/", "requests/"))
    with pytest.raises(ResultUnreadable, match="schema 99"):
        read_row(before[result])
    with pytest.raises(RecordUnreadable, match="schema 99"):
        read_record(request, before[request])
    with pytest.raises(TrialUnreadable, match="schema 99"):
        read_trials(store, "job-1")
    with pytest.raises(AuditUnreadable, match="schema 99"):
        read_trail(store)
    (hidden,) = read_hidden(store.snapshot()).values()
    assert "newer version" in hidden.reason, "a result that a newer board hid stays hidden"
    assert {name: store.snapshot(name).read(name) for name in store.snapshot().names} == before


def test_a_store_and_a_journal_of_a_newer_version_are_refused_and_not_touched(tmp_path: Path) -> None:
    store = restored("store-2.sql", tmp_path / "s.db", application=STORE_ID, version=STORE_VERSION + 1)
    journal = restored("journal-3.sql", tmp_path / "j.db", application=JOURNAL_ID, version=JOURNAL_VERSION + 1)
    before = store.read_bytes(), journal.read_bytes()
    with pytest.raises(StoreUnusable, match=f"schema {STORE_VERSION + 1}"):
        SqliteStore(store)
    with pytest.raises(JournalUnusable, match=f"version {JOURNAL_VERSION + 1}"):
        Journal(journal)
    assert (store.read_bytes(), journal.read_bytes()) == before


def test_a_table_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    newer = PROBLEMS_SCHEMA.with_metadata({VERSION_KEY: b"99"})
    pq.write_table(newer.empty_table(), tmp_path / "problems.parquet")
    with pytest.raises(TableUnreadable, match="schema 99"):
        read_problems((tmp_path / "problems.parquet").read_bytes())
