"""One grading process, seen from its parent: started, asked, replaced when it dies.

The process gets no environment: no token, no setting of ours can reach it or move a verdict.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

from evaluator.errors import GraderUnavailable
from evaluator.grading import Judgement, Question
from evaluator.grading_worker import OUT_OF_MEMORY, READY
from evaluator.types import UngradedReason

ROOT = Path(__file__).resolve().parents[1]
START_S = 600.0
"""Wall-clock seconds in which a process must be ready. It needs two of CPU time; the machine may be very busy."""
BACKSTOP_FACTOR = 30
BACKSTOP_S = 120.0
"""The wall-clock backstop of one question: this, plus BACKSTOP_FACTOR times its CPU time."""
ENDING_S = 60.0
"""How long a process that has let go of its connection may take to end."""
LOG_TAIL_BYTES = 4_096


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """Why a question got no judgement."""

    reason: UngradedReason
    note: str


class GradingProcess:
    """A grading process that is started when it is asked and again after it died. For one thread.

    `memory_limit_bytes` is what it may allocate on top of what it needs to start. `command` is what runs it.
    """

    def __init__(self, *, memory_limit_bytes: int, command: tuple[str, ...] = (sys.executable,)) -> None:
        self._memory_limit_bytes = memory_limit_bytes
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._ready = self._killed = False
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """None where none runs."""
        return None if self._process is None else self._process.pid

    def ask(self, question: Question, cpu_limit_s: float) -> Judgement | Stopped:
        """The judgement, or why there is none, whatever happens to the process.

        Raises:
            GraderUnavailable: no process can be started.
        """
        asked = {
            "gold": question.gold,
            "text": question.answer.text,
            "exact": question.answer.exact,
            "cpu_limit_s": cpu_limit_s,
        }
        try:
            connection = self._connection or self._start()
            connection.send_bytes(json.dumps(asked).encode())
            if not connection.poll(BACKSTOP_S + BACKSTOP_FACTOR * cpu_limit_s):
                self._forget(0)
                return Stopped(reason=UngradedReason.TIMED_OUT, note="not graded before the wall-clock backstop")
            reply = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return self._why_it_ended(cpu_limit_s)
        return Judgement(answer=reply["answer"], correct=reply["correct"])

    def kill(self) -> None:
        """End the process now. From any thread: the one that waits for a reply learns that there is none."""
        self._killed = True
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """Let the process go, and wait until it has ended."""
        self._forget(0)
        if self._log is not None:
            self._log.close()

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        if self._log is not None:
            self._log.close()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (`close` closes it)
        try:
            self._process = subprocess.Popen(
                [
                    *self._command,
                    "-m",
                    "evaluator.grading_worker",
                    str(theirs.fileno()),
                    str(self._memory_limit_bytes),
                ],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env={},
            )
        except OSError as error:
            raise GraderUnavailable(f"no grading process can be started: {error}") from error
        finally:
            theirs.close()
        self._connection = ours
        if self._killed:
            self._process.kill()
        if not ours.poll(START_S) or ours.recv_bytes() != READY:
            raise EOFError
        self._ready = True
        return ours

    def _why_it_ended(self, cpu_limit_s: float) -> Stopped:
        ready = self._ready
        status, log = self._forget(ENDING_S), self._log_tail()
        if not ready and status >= 0:
            raise GraderUnavailable(
                f"a grading process ended before it was ready (exit status {status}): {log or 'it said nothing'}; "
                "install what requirements.txt names into the environment that runs this"
            )
        if status == -signal.SIGPROF:
            return Stopped(reason=UngradedReason.TIMED_OUT, note=f"not graded within {cpu_limit_s:g} s of CPU time")
        cause = "out of memory" if status == OUT_OF_MEMORY else f"exit status {status}"
        return Stopped(reason=UngradedReason.GRADER_STOPPED, note=f"the grading process ended: {cause}")

    def _forget(self, wait_s: float) -> int:
        """The exit status of the process, which is killed where it has not ended within `wait_s` seconds."""
        process, connection = self._process, self._connection
        self._process = self._connection = None
        self._ready = False
        if connection is not None:
            connection.close()
        if process is None:
            return 0
        try:
            return process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _log_tail(self) -> str:
        """The last line of what the process wrote outside its connection."""
        if self._log is None:
            return ""
        size = self._log.seek(0, 2)
        self._log.seek(max(0, size - LOG_TAIL_BYTES))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
