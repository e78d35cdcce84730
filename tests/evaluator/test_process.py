"""A supervised process dies with its parent, whatever kills the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluator.process import Limits, SupervisedProcess, clean_environment, group_members

# A command that starts a worker of its own, as an engine does, and ignores polite requests.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("ready", flush=True)
time.sleep(600)
"""
PARENT = """
import sys, time
from pathlib import Path
from evaluator.process import SupervisedProcess
child = SupervisedProcess([sys.executable, "-c", sys.argv[1]], log=Path(sys.argv[2]))
print(child.group, flush=True)
time.sleep(600)
"""


def wait_until(condition: object, seconds: float = 20.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_stop_ends_the_command_and_its_workers(tmp_path: Path) -> None:
    quick = STUBBORN.replace("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n", "")
    process = SupervisedProcess([sys.executable, "-c", quick], log=tmp_path / "log")
    assert wait_until(lambda: len(group_members(process.group)) == 2)
    process.stop()
    assert wait_until(lambda: not group_members(process.group))


def test_the_group_dies_when_the_parent_is_killed_with_sigkill(tmp_path: Path) -> None:
    log = tmp_path / "log"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, STUBBORN, str(log)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert parent.stdout is not None
    group = int(parent.stdout.readline())
    assert wait_until(lambda: log.exists() and "ready" in log.read_text())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not group_members(group))


def test_the_command_dies_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    process = SupervisedProcess([sys.executable, "-c", "import time; time.sleep(600)"], log=tmp_path / "log")
    os.kill(process._process.pid, signal.SIGKILL)
    assert wait_until(lambda: not group_members(process.group))
    process.stop()


@pytest.mark.parametrize(("grace_s", "tidied"), [(0.3, False), (20.0, True)])
def test_a_command_gets_the_time_to_tidy_up_that_it_was_promised(tmp_path: Path, grace_s: float, tidied: bool) -> None:
    code = "import signal, sys, time\n"
    code += "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), print('tidied', flush=True), sys.exit(0)))\n"
    code += "print('ready', flush=True)\ntime.sleep(600)"
    process = SupervisedProcess([sys.executable, "-c", code], log=tmp_path / "log", grace_s=grace_s)
    assert wait_until(lambda: "ready" in process.log_tail())
    process.stop()
    assert ("tidied" in process.log_tail()) is tidied
    assert not group_members(process.group)


def test_exit_status_and_last_lines_are_kept(tmp_path: Path) -> None:
    code = "print('one'); print('the reason'); raise SystemExit(3)"
    process = SupervisedProcess([sys.executable, "-c", code], log=tmp_path / "log")
    assert wait_until(lambda: process.exit_status() is not None)
    assert process.exit_status() == 3
    assert process.log_tail(1) == "the reason"
    process.stop()


def test_a_command_that_does_not_exist_says_so_in_its_log(tmp_path: Path) -> None:
    process = SupervisedProcess([str(tmp_path / "no-such-program")], log=tmp_path / "log")
    assert wait_until(lambda: process.exit_status() is not None)
    assert "no-such-program" in process.log_tail()
    process.stop()


def test_no_token_reaches_a_child_with_a_clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    environment = clean_environment({"PATH": os.environ["PATH"]}, tmp_path / "home", {"EXTRA": "1"})
    code = "import os; print(sorted(os.environ))"
    process = SupervisedProcess([sys.executable, "-c", code], log=tmp_path / "log", environment=environment)
    assert wait_until(lambda: process.exit_status() == 0)
    assert "HF_TOKEN" not in process.log_tail()
    assert "EXTRA" in process.log_tail()
    process.stop()


HOARDER = """
import subprocess, sys, time
hoard = "import os, time; kept = bytearray(os.urandom(1 << 20)) * 300; print('full', flush=True); time.sleep(600)"
for _ in range(2):
    subprocess.Popen([sys.executable, "-c", hoard])
time.sleep(600)
"""


def test_a_group_that_takes_more_memory_than_it_may_is_killed_whole(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=500 << 20)
    process = SupervisedProcess([sys.executable, "-c", HOARDER], log=tmp_path / "log", limits=limits)
    assert wait_until(lambda: process.exit_status() is not None, 60)
    assert process.over_limit() == "it took more than the 0.5 GiB of memory that it may have"
    assert wait_until(lambda: not group_members(process.group)), "the kernel takes a moment to take them down"
    process.stop()


def test_a_group_within_its_limits_is_left_alone(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=2 << 30, seconds=600.0)
    process = SupervisedProcess([sys.executable, "-c", HOARDER], log=tmp_path / "log", limits=limits)
    assert wait_until(lambda: process.log_tail().count("full") == 2, 60)
    time.sleep(2.5)
    assert (process.exit_status(), process.over_limit()) == (None, None)
    process.stop()


def test_a_command_that_ends_with_such_a_status_by_itself_passed_no_limit(tmp_path: Path) -> None:
    process = SupervisedProcess([sys.executable, "-c", "raise SystemExit(120)"], log=tmp_path / "log")
    assert wait_until(lambda: process.exit_status() is not None)
    assert (process.exit_status(), process.over_limit()) == (120, None)
    process.stop()
