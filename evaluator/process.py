"""A long-running command that dies with us: started through `supervisor.py`, its output in a log file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluator.supervisor import OVER_MEMORY, OVER_TIME

SUPERVISOR = Path(__file__).with_name("supervisor.py")
LOG_TAIL_LINES = 40
LOG_TAIL_BYTES = 64 * 1024
GIB = 1 << 30
GRACE_S = 10.0
BEYOND_GRACE_S = 20.0  # for the kernel to take down what SIGKILL ends: a GPU's memory is large


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Of one command and all its processes together. `memory_bytes` is main memory, never a GPU's; None is no limit."""

    memory_bytes: int | None = None
    seconds: float | None = None


NO_LIMITS = Limits()


class SupervisedProcess:
    """One command, its process group and its log. Ends with `stop`, or when this process ends, however it does."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        grace_s: float = GRACE_S,
        limits: Limits = NO_LIMITS,
    ) -> None:
        """Start the command. `environment` is all that it gets (see `clean_environment`); None inherits ours.

        `grace_s` is the time between SIGTERM and SIGKILL: for a command that supervises others, more than theirs.
        Where it passes one of the `limits`, its group is killed; `over_limit` then says so.
        """
        self.log, self._limits = log, limits
        self._stop_s = grace_s + BEYOND_GRACE_S
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SUPERVISOR), str(grace_s), str(log), *_words(limits), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        first = self._process.stdout.readline().strip()
        self.group = int(first) if first.isdigit() else 0
        """Process group of the command, for counting its workers; 0 where it could not be started."""
        if not self.group:
            with log.open("ab") as stream:
                stream.write(first + b"\n" + self._process.stdout.read())

    def exit_status(self) -> int | None:
        """None while it runs; afterwards its exit status, 128 + n for signal n."""
        return self._process.poll()

    def over_limit(self) -> str | None:
        """Which limit ended the command, in words; None where none did."""
        status, memory, seconds = self.exit_status(), self._limits.memory_bytes, self._limits.seconds
        if memory is not None and status == OVER_MEMORY:
            return f"it took more than the {memory / GIB:.1f} GiB of memory that it may have"
        if seconds is not None and status == OVER_TIME:
            return f"it ran for longer than the {seconds / 3600:.1f} hours that it may take"
        return None

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of the command's output."""
        with self.log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - LOG_TAIL_BYTES))
            text = stream.read().decode("utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> None:
        """End the whole group and wait for it. May be called again."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _words(limits: Limits) -> tuple[str, str]:
    return str(limits.memory_bytes or 0), str(limits.seconds or 0)


def clean_environment(inherited: Mapping[str, str], home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """A child's whole environment: what it may inherit (`Settings.child_environment`), a private HOME, and `extra`."""
    home.mkdir(parents=True, exist_ok=True)
    return {**inherited, "HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **extra}


def group_members(group: int) -> list[tuple[int, str]]:
    """(pid, command line or title) of every living process in a process group."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, process_group = after_name[0], int(after_name[2])
        if process_group == group and state != "Z":
            members.append((int(entry.name), title))
    return sorted(members)
