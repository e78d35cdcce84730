"""The journal keeps every acknowledged answer, whatever happens to the process that writes it."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evaluator.errors import JournalUnusable
from evaluator.journal import Journal
from evaluator.journal_schema import SCHEMA_VERSION
from evaluator.types import Completion, EngineFacts, Refusal

ROOT = Path(__file__).parents[2]
KEY = "a" * 64

WRITER = """
import os, sys
from pathlib import Path
from evaluator.journal import Journal
from evaluator.types import Completion

def text(attempt):
    return f"{attempt}:" + chr(97 + attempt % 26) * (attempt * 977 % 60_000)

with Journal(Path(sys.argv[1])) as journal:
    for attempt in range(int(sys.argv[2]), 10**9):
        completion = Completion(problem_id="p", attempt=attempt, seed=attempt, text=text(attempt))
        if journal.add("k", completion):
            os.write(1, f"{attempt}\\n".encode())
"""


def completion(problem_id: str = "p1", attempt: int = 0, text: str = "4") -> Completion:
    return Completion(
        problem_id=problem_id,
        attempt=attempt,
        seed=2**63 - 1,
        text=text,
        reasoning="because",
        finish_reason="stop",
        completion_tokens=1,
        prompt_tokens=7,
        latency_s=0.25,
        retries=2,
    )


def refusal(problem_id: str = "p1", attempt: int = 0) -> Refusal:
    return Refusal(problem_id=problem_id, attempt=attempt, code="refused_400", reason="too long")


def run_python(script: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, cwd=ROOT)


def test_an_answer_comes_back_exactly_as_it_was_given(tmp_path: Path) -> None:
    given = [
        completion(text="π ≈ 3\0\r\n𝔸 \\boxed{4}"),
        Completion(problem_id="p2", attempt=1, seed=-(2**63), text=""),
    ]
    with Journal(tmp_path / "j.db") as journal:
        assert all(journal.add(KEY, each) for each in given)
    with Journal(tmp_path / "j.db") as journal:
        assert journal.completions(KEY) == given


def test_an_answer_is_never_replaced(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        assert journal.add(KEY, completion(text="first"))
        assert not journal.add(KEY, completion(text="second"))
        assert not journal.refuse(KEY, refusal())
        assert [each.text for each in journal.completions(KEY)] == ["first"]
        assert journal.refusals(KEY) == []


def test_plans_do_not_see_each_other(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        journal.add(KEY, completion())
        journal.refuse("other", refusal(attempt=3))
        assert journal.recorded(KEY) == {("p1", 0)}
        assert journal.recorded("other") == {("p1", 3)}
        assert journal.completions("other") == []


def test_a_refused_attempt_is_recorded_until_it_is_forgotten_or_answered(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        assert journal.refuse(KEY, refusal(attempt=0))
        assert journal.refuse(KEY, refusal(attempt=1))
        assert not journal.refuse(KEY, refusal(attempt=1))
        assert journal.add(KEY, completion(attempt=1))
        assert journal.refusals(KEY) == [refusal(attempt=0)]
        assert journal.recorded(KEY) == {("p1", 0), ("p1", 1)}
        assert journal.forget_refusals(KEY, because="the first retry") == 2
        assert journal.forget_refusals(KEY, because="the first retry") == 0
        assert journal.recorded(KEY) == {("p1", 1)}


def test_what_two_engines_do_not_share_is_unknown(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        assert journal.engine(KEY) == EngineFacts()
        journal.note_engine(KEY, EngineFacts(engine="vLLM", version="0.31.0", max_model_len=4096))
        journal.note_engine(KEY, EngineFacts(engine="vLLM", version="0.31.0", max_model_len=4096))
        assert journal.engine(KEY) == EngineFacts(engine="vLLM", version="0.31.0", max_model_len=4096)
        journal.note_engine(KEY, EngineFacts(engine="vLLM", version="0.32.0", max_model_len=4096))
        assert journal.engine(KEY) == EngineFacts(engine="vLLM", max_model_len=4096)


def test_a_journal_opened_in_one_thread_serves_another(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as journal:
        thread = threading.Thread(target=journal.add, args=(KEY, completion()))
        thread.start()
        thread.join()
        assert journal.recorded(KEY) == {("p1", 0)}


@pytest.mark.parametrize("seed", range(6))
def test_every_acknowledged_answer_survives_kill_minus_9(tmp_path: Path, seed: int) -> None:
    path, chance = tmp_path / "j.db", random.Random(seed)
    acknowledged: set[int] = set()
    for _ in range(3):
        writer = run_python(WRITER, str(path), str(len(acknowledged)))
        assert writer.stdout is not None
        acknowledged.add(int(writer.stdout.readline()))
        time.sleep(chance.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        acknowledged.update(int(line) for line in writer.communicate()[0].splitlines())
    with Journal(path) as journal:
        kept = {each.attempt: each.text for each in journal.completions("k")}
    assert acknowledged <= set(kept)
    assert len(kept) <= len(acknowledged) + 3, "a kill may fall between writing and acknowledging, once each"
    for attempt, text in kept.items():
        assert text == f"{attempt}:" + chr(97 + attempt % 26) * (attempt * 977 % 60_000)


def test_many_processes_create_and_write_one_journal_together(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from evaluator.journal import Journal; "
        "from evaluator.types import Completion; journal = Journal(Path(sys.argv[1])); "
        "print(sum(journal.add('k', Completion(problem_id='p', attempt=n, seed=n, text='x')) for n in range(50)))"
    )
    writers = [run_python(script, str(tmp_path / "j.db")) for _ in range(4)]
    written = [int(writer.communicate()[0]) for writer in writers]
    assert sum(written) == 50, "each attempt was added by exactly one of them"
    with Journal(tmp_path / "j.db") as journal:
        assert len(journal.completions("k")) == 50


def test_two_runs_may_not_claim_one_plan_but_may_claim_two(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.db") as ours, Journal(tmp_path / "j.db") as theirs:
        with ours.claim(KEY):
            with (
                pytest.raises(JournalUnusable, match=rf"pid {os.getpid()}\) is writing this journal"),
                theirs.claim(KEY),
            ):
                pass
            with theirs.claim("another plan"):
                pass
        with theirs.claim(KEY):
            pass


def test_the_claim_of_a_killed_run_is_free(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from evaluator.journal import Journal\n"
        "with Journal(Path(sys.argv[1])) as journal, journal.claim('k'):\n"
        "    print('claimed', flush=True); time.sleep(60)"
    )
    other = run_python(script, str(tmp_path / "j.db"))
    assert other.stdout is not None
    assert other.stdout.readline() == b"claimed\n"
    with Journal(tmp_path / "j.db") as journal:
        with pytest.raises(JournalUnusable, match=f"pid {other.pid}"), journal.claim("k"):
            pass
        other.kill()
        other.communicate()
        with journal.claim("k"):
            pass


def test_a_file_that_is_no_journal_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database at all, but long enough to be read as a header" * 10)
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match=r"notes\.txt.*not a journal"):
        Journal(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match="another program's database"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    Journal(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    with pytest.raises(JournalUnusable, match=f"version {SCHEMA_VERSION + 1}.*update"):
        Journal(path)


def test_a_place_that_cannot_hold_a_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "j.db", tmp_path):
        with pytest.raises(JournalUnusable, match="name another journal"):
            Journal(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write read-only files")
def test_a_read_only_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    Journal(path).close()
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(JournalUnusable, match="writable"), Journal(path) as journal:
            journal.add(KEY, completion())
    finally:
        tmp_path.chmod(0o755)


def test_a_full_disk_ends_in_a_clear_error_and_the_journal_stays_intact(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from evaluator.errors import JournalUnusable; from evaluator.journal import Journal\n"
        "from evaluator.types import Completion\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
        "journal, added = Journal(Path(sys.argv[1])), 0\n"
        "try:\n"
        "    while True:\n"
        "        journal.add('k', Completion(problem_id='p', attempt=added, seed=0, text='x' * 20_000)); added += 1\n"
        "except JournalUnusable as error:\n"
        "    print(added, error, sep='|')"
    )
    said = run_python(script, str(tmp_path / "j.db")).communicate()[0].decode()
    added, message = said.split("|")
    assert "what is in the journal stays" in message
    with Journal(tmp_path / "j.db") as journal:
        assert len(journal.completions("k")) == int(added) > 0
        assert journal.add("k", completion(attempt=10_000)), "with space again, it goes on"


def test_time_spent_on_a_plan_adds_up_over_its_runs(tmp_path: Path) -> None:
    for seconds in (1.5, 2.0):
        with Journal(tmp_path / "journal.db") as journal:
            journal.spend(KEY, seconds)
    with Journal(tmp_path / "journal.db") as journal:
        assert journal.spent(KEY) == pytest.approx(3.5)
        assert journal.spent("another plan") == 0
