"""How the programs log: one line each on standard error, with the job's id, without the chatter of libraries."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

CHATTY = ("apscheduler", "httpx", "httpx2", "httpcore", "datasets", "lighteval")
NO_JOB = "-"
_JOB: ContextVar[str] = ContextVar("job", default=NO_JOB)


def log_to_stderr(*, as_json: bool = False) -> None:
    """Set up logging for an entry point: lines for people, or one JSON object each for programs."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(job)s]: %(message)s")
    handler.setFormatter(_JsonLines() if as_json else text)
    handler.addFilter(_with_job)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def job_log(job_id: str) -> Iterator[None]:
    """Every line that this thread logs in the block, and what it starts with its context, carries the job's id.

    It is the id of the submission, so one search finds a job from the form to the commit, whose message names it too.
    """
    token = _JOB.set(job_id)
    try:
        yield
    finally:
        _JOB.reset(token)


def _with_job(record: logging.LogRecord) -> bool:
    record.job = _JOB.get()
    return True


class _JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, job, message and, after a crash, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "job": getattr(record, "job", NO_JOB),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
