"""Runs one command as a process group that cannot outlive its parent, nor its limits. Standard library only.

Started as `python supervisor.py GRACE_S LOG MEMORY_BYTES SECONDS COMMAND...` (0 is no limit) with a pipe as standard
input that the parent holds open. However the parent ends, also by SIGKILL, the pipe closes, and the whole group is
ended: SIGTERM, GRACE_S seconds, SIGKILL. Where the group takes more memory or time than it may, it is killed at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

POLL_S = 0.2
WEIGH_S = 1.0
PR_SET_PDEATHSIG = 1
OVER_MEMORY, OVER_TIME = 120, 121
"""Exit statuses that say which limit ended the command."""
FIRST_TO_GO = "500"
"""For the kernel, where memory runs out faster than we look: this command before the program that started it."""


def main(arguments: list[str]) -> int:
    """Run the command until it ends or the parent lets go; returns its exit status (128 + signal for signals)."""
    grace_s, log = float(arguments[0]), Path(arguments[1])
    memory, seconds, command = int(arguments[2]), float(arguments[3]), arguments[4:]
    signal.signal(signal.SIGTERM, lambda *_: os.close(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with log.open("ab", buffering=0) as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_go_first if memory else _die_with_supervisor,
        )
        sys.stdout.write(f"{child.pid}\n")
        sys.stdout.flush()
        over = _watch(child, memory, seconds)
        status = over or child.poll()
        _end_group(child, 0.0 if over else grace_s)
    return 0 if status is None else status if status >= 0 else 128 - status


def _watch(child: subprocess.Popen[bytes], memory: int, seconds: float) -> int | None:
    """Wait until the command ends or the parent lets go (None), or until a limit is passed (the exit status for it)."""
    started = weighed = time.monotonic()
    while child.poll() is None and not _parent_let_go():
        now = time.monotonic()
        if seconds and now - started > seconds:
            return OVER_TIME
        if memory and now - weighed > WEIGH_S:
            weighed = now
            if group_memory(child.pid) > memory:
                return OVER_MEMORY
    return None


def group_memory(session: int) -> int:
    """Bytes that the processes of a session hold: their own pages, and what they share counted once.

    Pages of files are left out: the kernel takes those back, and weights that are mapped count nothing.
    """
    own, shared = 0, 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
            if int(stat.rpartition(")")[2].split()[3]) != session:
                continue
            status = (entry / "status").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        own += _kilobytes(status, "RssAnon:")
        shared = max(shared, _kilobytes(status, "RssShmem:"))
    return 1024 * (own + shared)


def _kilobytes(status: str, name: str) -> int:
    _, found, rest = status.partition(name)
    return int(rest.split(maxsplit=1)[0]) if found else 0


def _go_first() -> None:
    """In the command's own process, before it runs: where memory ends, the kernel takes this one, no bystander."""
    _die_with_supervisor()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # some containers make it read-only
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO, encoding="ascii")


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
