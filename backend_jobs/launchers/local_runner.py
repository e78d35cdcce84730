"""Runs one launched command on this machine, apart from whoever started it. Standard library only.

Started as `python local_runner.py FOLDER TIMEOUT_S COMMAND...`. It outlives its starter: `began.json`, `log`, and in
the end `ended.json` tell the next one what became of it. It holds a lock on `lock` while it lives, so nobody mistakes
another process for it, and no command runs twice. A file `cancel` ends it.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

POLL_S = 0.1
GRACE_S = 25.0
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run the command to its end, its time limit or its cancellation."""
    folder, timeout_s, command = Path(arguments[0]), float(arguments[1]), arguments[2:]
    with (folder / "lock").open("ab") as lock:
        # Who looks whether we live holds the lock for a moment, so one failure means nothing.
        while not taken(lock):
            if (folder / "began.json").exists():
                return 0
            time.sleep(POLL_S)
        if (folder / "began.json").exists() or (folder / "cancel").exists():
            return 0
        note(folder / "began.json", {"at": time.time()})
        started = time.monotonic()
        state, code = run(folder, command, timeout_s)
        note(folder / "ended.json", {"state": state, "exit_code": code, "running_s": time.monotonic() - started})
    return 0


def taken(lock: IO[bytes]) -> bool:
    """Whether the lock is ours now, and so the order."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run(folder: Path, command: list[str], timeout_s: float) -> tuple[str, int | None]:
    """The state in which the command ended, and its exit code where it ended by itself."""
    with (folder / "log").open("ab", buffering=0) as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_runner,
        )
    deadline, state = time.monotonic() + timeout_s, ""
    while child.poll() is None and not state:
        time.sleep(POLL_S)
        state = "cancelled" if (folder / "cancel").exists() else "timed out" if time.monotonic() > deadline else ""
    end_group(child)
    if state:
        return state, None
    return ("finished" if child.returncode == 0 else "failed"), child.returncode


def die_with_runner() -> None:
    """In the command, before it begins: nothing may run on that nobody watches over."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End the command, and whatever it left behind."""
    signal_group(child.pid, signal.SIGTERM)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        signal_group(child.pid, signal.SIGKILL)
        child.wait()


def signal_group(group: int, number: int) -> None:
    """Send a signal to a whole process group, if it is still there."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def note(path: Path, facts: dict[str, object]) -> None:
    """Write a file that is either whole or not there."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(facts), encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
