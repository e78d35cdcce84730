"""Runs one launched command inside a Ray job, with a time limit, and with secrets that Ray shows nowhere.

Started by Ray as `python -m backend_jobs.launchers.ray_runner TIMEOUT_S ARGUMENTS...` in a folder of the job's own,
which holds `secrets.json`: read, removed, and given to the command as environment variables. The command runs in the
program's folder as a process group that ends with this process. At the limit it is ended, and the exit status is
TIMED_OUT.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from backend_jobs.launchers.local_runner import POLL_S, die_with_runner, end_group
from settings import ROOT, whole_environment

SECRETS = "secrets.json"
BEGINS = "--- the command begins ---"
"""What comes before this line in a job's log is Ray's own."""
TIMED_OUT = 124


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit status (128 + signal for signals)."""
    timeout_s, command = float(arguments[0]), [sys.executable, *arguments[1:]]
    signal.signal(signal.SIGTERM, stopped)
    sys.stdout.write(f"{BEGINS}\n")
    sys.stdout.flush()
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        env={**whole_environment(), **secrets(Path.cwd())},
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=die_with_runner,
    )
    deadline = time.monotonic() + timeout_s
    try:
        while child.poll() is None:
            if time.monotonic() > deadline:
                return TIMED_OUT
            time.sleep(POLL_S)
    finally:
        end_group(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def secrets(folder: Path) -> dict[str, str]:
    """What lies in the job's folder for us alone; nothing of it stays there."""
    path = folder / SECRETS
    if not path.exists():
        return {}
    found: dict[str, str] = json.loads(path.read_bytes())["environment"]
    path.unlink()
    return found


def stopped(number: int, _: object) -> NoReturn:
    """Ray ends the job: the command goes first."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
