"""Keeps one worker process running beside the page: its crash costs a restart, never the page."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluator.process import SupervisedProcess
from settings import ROOT, Settings

COMMAND = (sys.executable, "-m", "backend_jobs")
ENDPOINT = "endpoint"
LOG = logging.getLogger(__name__)
WORKER_GRACE_S = 25.0
"""The worker first ends its engine, which has ten seconds of its own, then hands its job back."""


def kept_command(settings: Settings) -> list[str] | None:
    """What runs beside the page: a worker, or what gives every job a machine elsewhere; None where neither can."""
    if settings.launcher is not None:
        return [*COMMAND, "dispatch", "--store", settings.store]
    if settings.has_engine or settings.engine == ENDPOINT:
        return [*COMMAND, "worker", "--store", settings.store]
    return None


class WorkerKeeper:
    """Starts the worker's command, and starts it again whenever it has ended."""

    def __init__(self, command: Sequence[str], settings: Settings) -> None:
        self._command = list(command)
        self._log: Path = settings.data_dir / "worker.log"
        self._process: SupervisedProcess | None = None

    def keep_alive(self) -> None:
        """Called by the clock every few seconds."""
        if self._process is not None:
            status = self._process.exit_status()
            if status is None:
                return
            LOG.error("the worker ended with status %s; starting it again. Its last lines:\n%s", status, self._tail())
            self._process.stop()
        self._process = SupervisedProcess(self._command, log=self._log, folder=ROOT, grace_s=WORKER_GRACE_S)

    def alive(self) -> bool | None:
        """Whether the worker runs; None where none was started here."""
        return None if self._process is None else self._process.exit_status() is None

    def stop(self) -> None:
        """End the worker; a job it runs goes back to the queue."""
        if self._process is not None:
            self._process.stop()

    def _tail(self) -> str:
        return self._process.log_tail(15) if self._process else ""
