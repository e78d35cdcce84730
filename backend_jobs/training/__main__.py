"""The training process: `python -m backend_jobs.training JOB.json [JOB.json ...]`, in the engine's environment.

Started by `backend_jobs/train.py`. Nothing heavy is imported here: processes that grade begin with this module.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backend_jobs.training.job import read_job

LOCK_WAIT_S = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out each job to its last step, continuing from its newest whole checkpoint; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m backend_jobs.training", description="Train what job files ask for."
    )
    parser.add_argument("jobs", nargs="+", type=Path, metavar="JOB.json")
    options = parser.parse_args(arguments)
    for path in options.jobs:
        job = read_job(path)
        with _only_trainer(job.work / "lock"), job.events.open("a", encoding="utf-8", buffering=1) as events:
            from backend_jobs.training.run import run_job

            run_job(job, events)
    return 0


@contextmanager
def _only_trainer(lock: Path) -> Iterator[None]:
    """Hold the run's lock; the kernel frees it however this process ends.

    Waits a little: a trainer whose parent was killed needs a moment to end. Of several processes that train one run
    together (accelerate), the first of the machine holds it.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as stream:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    sys.exit(f"another process holds {lock}: this run is being trained already (I am {os.getpid()})")
                time.sleep(0.2)
        yield


if __name__ == "__main__":
    sys.exit(main())
