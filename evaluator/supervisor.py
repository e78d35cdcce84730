"""Runs one command as a process group that cannot outlive its parent. Standard library only.

Started as `python supervisor.py GRACE_S LOG COMMAND...` with a pipe as standard input that the parent holds open.
However the parent ends, also by SIGKILL, the pipe closes, and the whole group is ended: SIGTERM, GRACE_S seconds,
SIGKILL.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

POLL_S = 0.2
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Run the command until it ends or the parent lets go; returns its exit status (128 + signal for signals)."""
    grace_s, log, command = float(arguments[0]), Path(arguments[1]), arguments[2:]
    signal.signal(signal.SIGTERM, lambda *_: os.close(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with log.open("ab", buffering=0) as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_supervisor,
        )
        sys.stdout.write(f"{child.pid}\n")
        sys.stdout.flush()
        while child.poll() is None and not _parent_let_go():
            pass
        status = child.poll()
        _end_group(child, grace_s)
    return 0 if status is None else status if status >= 0 else 128 - status


def _die_with_supervisor() -> None:
    # The signal follows the thread that forked; this process has one thread only, which ends when the process does.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _parent_let_go() -> bool:
    try:
        ready, _, _ = select.select([0], [], [], POLL_S)
        return bool(ready) and os.read(0, 1) == b""
    except OSError:
        return True


def _end_group(child: subprocess.Popen[bytes], grace_s: float) -> None:
    """End what is left of the child's group; its workers may outlive the child itself."""
    _signal_group(child.pid, signal.SIGTERM)
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal_group(child.pid, signal.SIGKILL)


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
