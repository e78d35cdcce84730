"""Grading processes under hostile answers. Deadlines here are CPU time, so a busy machine changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluator.errors import GraderUnavailable
from evaluator.grading_pool import GraderPool
from evaluator.types import Extraction, GradeInput, Score, UngradedReason, Verdict

ROOT = Path(__file__).resolve().parents[2]
# An interval is made by comparing its ends, so sympy works this sum out while it still reads the answer.
HANGS = "\\left( \\sum_{k=1}^{900} k^{k^2}, 2 \\right)"
MEMORY_BOMB = "\\left( \\sum_{k=1}^{60} 2^{2^{k}}, 2 \\right)"


def item(answer: str, target: str = "42", problem_id: str = "p") -> GradeInput:
    return GradeInput(
        problem_id=problem_id,
        attempt=0,
        text=f"So \\boxed{{{answer}}}.",
        target=target,
        extraction=Extraction.MATH,
        finish_reason="stop",
    )


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=1, cpu_limit_s=2.0) as started:
        yield started


def test_the_pool_says_what_the_grader_says(pool: GraderPool) -> None:
    answers = ["42", "41", "\\frac{84}{2}", "\\frac{83}{2}", "42.0"]
    verdicts = [pool.submit(item(answer)).result().verdict for answer in answers]
    assert verdicts == [Verdict.CORRECT, Verdict.INCORRECT, Verdict.CORRECT, Verdict.INCORRECT, Verdict.CORRECT]


def test_what_text_settles_is_settled_at_once_and_without_a_worker() -> None:
    with GraderPool(workers=1) as idle:
        assert idle.submit(item("42")).done()
        assert idle.submit_equal("042", "42").result() is True
        assert idle.pids == []


def test_votes_are_compared_in_the_workers_too(pool: GraderPool) -> None:
    assert pool.submit_equal("\\frac{1}{2}", "0.5").result() is True
    assert pool.submit_equal("\\frac{1}{2}", "0.6").result() is False


@pytest.mark.parametrize(
    "answer",
    [
        "((9!)!)!",
        "99999999!",
        "9**9**9",
        "{" * 100 + "5!" + "}" * 100,
        "{" * 20_000 + "5" + "}" * 20_000,
        "1+" * 20_000 + "1",
        " ".join(str(number) for number in range(20_000)),
    ],
    ids=["factorial tower", "factorial", "power tower", "braces", "many braces", "long sum", "many numbers"],
)
def test_hostile_answers_are_wrong_answers(pool: GraderPool, answer: str) -> None:
    assert pool.submit(item(answer)).result(timeout=60).verdict is Verdict.INCORRECT


def test_an_answer_that_hangs_is_ungraded_after_a_second_try_and_the_pool_goes_on() -> None:
    with GraderPool(workers=1, cpu_limit_s=0.2) as small:
        hanging, after = small.submit(item(HANGS)), small.submit(item("\\frac{84}{2}"))
        score = hanging.result(timeout=60)
        assert (score.verdict, score.reason) == (Verdict.UNGRADED, UngradedReason.TIMED_OUT)
        assert "1.2 s" in score.note
        assert after.result(timeout=60).verdict is Verdict.CORRECT
        assert small.submit_equal("42", HANGS).result(timeout=60) is False


def test_an_answer_that_eats_memory_is_ungraded_and_never_wrong() -> None:
    with GraderPool(workers=1, cpu_limit_s=60, memory_limit_bytes=32 << 20) as small:
        score = small.submit(item(MEMORY_BOMB)).result(timeout=120)
        assert (score.verdict, score.reason) == (Verdict.UNGRADED, UngradedReason.GRADER_STOPPED)
        assert small.submit(item("\\frac{84}{2}")).result(timeout=60).verdict is Verdict.CORRECT


def busy_worker(pool: GraderPool, *, other_than: int | None = None) -> int:
    """The pid of a grading process that has used CPU time for a while."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for pid in pool.pids:
            if pid != other_than and _cpu_ticks(pid) > 400:
                return pid
        time.sleep(0.05)
    raise AssertionError("no grading process got busy within 120 s")


def _cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])


def test_a_worker_killed_in_mid_row_is_replaced_and_its_row_is_asked_again() -> None:
    with GraderPool(workers=1, cpu_limit_s=1_000) as small:
        hanging = small.submit(item(HANGS))
        first = busy_worker(small)
        os.kill(first, signal.SIGKILL)
        second = busy_worker(small, other_than=first)
        assert not hanging.done()
        os.kill(second, signal.SIGKILL)
        score = hanging.result(timeout=60)
        assert (score.verdict, score.reason) == (Verdict.UNGRADED, UngradedReason.GRADER_STOPPED)
        assert small.submit(item("\\frac{84}{2}")).result(timeout=60).verdict is Verdict.CORRECT


def test_a_worker_that_dies_idle_takes_nothing_with_it() -> None:
    with GraderPool(workers=1) as small:
        assert small.submit(item("\\frac{84}{2}")).result(timeout=60).verdict is Verdict.CORRECT
        (idle,) = small.pids
        os.kill(idle, signal.SIGKILL)
        assert small.submit(item("\\frac{126}{3}")).result(timeout=60).verdict is Verdict.CORRECT


def test_leaving_the_pool_with_an_error_does_not_wait_for_hanging_rows() -> None:
    small = GraderPool(workers=1, cpu_limit_s=1_000)
    hanging = small.submit(item(HANGS))
    small.__exit__(KeyError, KeyError("stop"), None)
    assert hanging.result(timeout=60).reason is UngradedReason.GRADER_STOPPED


def test_a_question_after_the_pool_was_closed_is_ungraded() -> None:
    with GraderPool(workers=1) as closed:
        pass
    score = closed.submit(item("\\frac{84}{2}")).result(timeout=60)
    assert score.reason is UngradedReason.GRADER_STOPPED
    assert "closed" in score.note


def test_many_threads_may_submit_at_once(pool: GraderPool) -> None:
    scores: list[Score] = []

    def submit(number: int) -> None:
        scores.append(pool.submit(item(f"\\frac{{{number}}}{{1}}", problem_id=str(number))).result(timeout=120))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(38, 46)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {score.problem_id for score in scores if score.verdict is Verdict.CORRECT} == {"42"}
    assert len(scores) == 8


def test_grading_processes_get_no_environment(pool: GraderPool) -> None:
    assert pool.submit(item("\\frac{84}{2}")).result(timeout=120).verdict is Verdict.CORRECT
    (pid,) = pool.pids
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""


def test_where_no_grading_process_can_start_the_error_says_so_at_once(tmp_path: Path) -> None:
    without_packages = (sys.executable, "-S")
    for command, said in ((without_packages, "math-verify"), ((str(tmp_path / "python"),), "No such file")):
        with GraderPool(workers=2, command=command) as broken:
            futures = [broken.submit(item(f"\\frac{{{number}}}{{2}}")) for number in range(20)]
            for future in futures:
                with pytest.raises(GraderUnavailable, match=said):
                    future.result(timeout=120)
            assert broken.submit(item("42")).result().verdict is Verdict.CORRECT


def test_a_program_without_a_file_of_its_own_can_grade() -> None:
    program = (
        "from evaluator.grading_pool import GraderPool\n"
        "with GraderPool(workers=1) as pool: print(pool.submit_equal('\\\\frac{1}{2}', '0.5').result())\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=program, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


def test_a_grading_process_ends_with_the_program_that_started_it() -> None:
    program = (
        "import os, signal\n"
        "from evaluator.grading_pool import GraderPool\n"
        "with GraderPool(workers=1) as pool:\n"
        "    pool.submit_equal('\\\\frac{1}{2}', '0.5').result()\n"
        "    print(*pool.pids, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    deadline = time.monotonic() + 60
    while _alive(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(int(done.stdout))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
