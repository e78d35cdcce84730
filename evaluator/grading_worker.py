"""A grading process: answers one question after another until its parent lets go, under limits that the kernel keeps.

Started by `evaluator/grading_process.py` as `python -m evaluator.grading_worker FD MEMORY_LIMIT_BYTES`, without any
environment. FD is a connection: it says "ready", then gets `{"gold", "text", "exact", "cpu_limit_s"}` and answers
`{"answer", "correct"}`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from evaluator import grading, math_equality
from evaluator.answers import Answer, Place
from evaluator.grading import Judgement, Question

STDOUT, STDERR = 1, 2
READY = b"ready"
OUT_OF_MEMORY = 86
"""Exit status where a verdict may stem from a failed allocation."""
DOUBTFUL_SHARE = 4
"""sympy takes a failed allocation for "not equal". Above a limit / 4 of memory, only "equal" is believed."""


def main(connection: Connection, memory_limit_bytes: int) -> None:
    """Prepare, say so, and answer until the connection closes."""
    doubtful_bytes = _prepare(memory_limit_bytes)
    connection.send_bytes(READY)
    while True:
        try:
            asked = json.loads(connection.recv_bytes())
        except EOFError:
            return
        answer = Answer(text=asked["text"], place=Place.BOX, exact=asked["exact"])
        judgement = _judge_within(Question(gold=asked["gold"], answer=answer), asked["cpu_limit_s"])
        if not judgement.correct and _peak_bytes() > doubtful_bytes:
            sys.exit(OUT_OF_MEMORY)
        connection.send_bytes(json.dumps({"answer": judgement.answer, "correct": judgement.correct}).encode())


def _prepare(memory_limit_bytes: int) -> float:
    """Imports and first uses are paid for before any deadline runs; then memory is limited.

    Returns the peak of memory in use above which only "equal" is believed.
    """
    os.dup2(STDERR, STDOUT)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    math_equality.warm_up()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _address_space_bytes() + memory_limit_bytes
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    return _peak_bytes() + memory_limit_bytes / DOUBTFUL_SHARE


def _judge_within(question: Question, cpu_limit_s: float) -> Judgement:
    """Answer one question. The kernel ends the process (SIGPROF) when the CPU time is used up, inside C code too."""
    signal.setitimer(signal.ITIMER_PROF, cpu_limit_s)
    try:
        return grading.judge(question)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _address_space_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()


def _peak_bytes() -> int:
    """The most memory this process has had in use. getrusage would count what its parent had before the exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main(Connection(int(sys.argv[1])), int(sys.argv[2]))
