"""Runs what a stranger's checkpoint makes a program do, in a process with limits: its template, its tokenizer.

The process gets one JSON object on standard input and answers with one. It has no environment, a limit of processor
time and of memory that the kernel enforces, and a deadline here.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from evaluator.errors import CheckpointRejected

TIMEOUT_S = 300.0
CPU_LIMIT_S = 10
MEMORY_LIMIT_BYTES = 2 << 30


def ask(module: str, asked: dict[str, Any], *, what: str) -> dict[str, Any]:
    """The answer of `python -m module` to one JSON object. `what` names the stranger's part, for the message.

    Raises:
        CheckpointRejected: it did not end within its limits, or says why it cannot answer.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(asked).encode(),
            capture_output=True,
            cwd=Path(__file__).resolve().parents[1],
            env={},
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointRejected(f"{what} did not end within {TIMEOUT_S:.0f} s") from error
    if done.returncode < 0:
        raise CheckpointRejected(f"{what} does not end: it ran out of processor time or memory")
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise CheckpointRejected(f"{what} cannot be used: {last[:500]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    if "error" in answer:
        raise CheckpointRejected(f"{what} cannot be used: {str(answer['error'])[:500]}")
    return answer


def confine() -> None:
    """Called in the process itself, before anything foreign runs: the limits from here on."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
    in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MEMORY_LIMIT_BYTES, in_use + MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
