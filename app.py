"""Entry point of the Space: settings, store, queue, page, and a worker that is kept alive. Wiring only."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from backend_jobs.clock import Clock
from backend_jobs.demo import queue_demo
from backend_jobs.evaluate_job import resolve_model
from backend_jobs.keeper import WorkerKeeper
from backend_jobs.logs import log_to_stderr
from backend_jobs.queue import StoreQueue
from leaderboard.board import Board
from leaderboard.board_files import BoardFiles
from leaderboard.contracts import JobQueue
from leaderboard.live import FileLive
from leaderboard.pages.frame import PageContext
from leaderboard.pages.site import build_page
from leaderboard.pages.theme import launch_options
from leaderboard.references import published_scores
from leaderboard.stores import open_store
from leaderboard.submissions import SubmissionRejected, check_submission
from leaderboard.types import JobRecord
from settings import Settings, read_settings

LOG = logging.getLogger("app")
KEEP_ALIVE_EVERY_S = 5.0


def main() -> None:
    """Serve the board until stopped."""
    log_to_stderr()
    settings = _settings()
    store = open_store(settings.store)
    queue = StoreQueue(store)
    keeper = WorkerKeeper([sys.executable, "-m", "backend_jobs", "worker", "--store", settings.store], settings)
    clock = Clock()
    if settings.has_engine:
        if settings.demo:
            queue_demo(queue)
        clock.every(KEEP_ALIVE_EVERY_S, keeper.keep_alive, name="keep the worker alive")
    else:
        LOG.warning("no engine environment here: jobs wait for a worker on another machine (scripts/install.sh engine)")
    clock.start()
    board = Board(store, published_scores())
    files = BoardFiles(board)
    page = build_page(
        PageContext(
            board=board,
            files=files,
            queue=queue,
            live=FileLive(settings.data_dir / "live"),
            submit=lambda form: take_submission(form, settings, queue),
            local_mode=settings.space is None,
        )
    )
    try:
        page.launch(server_name=settings.host, server_port=settings.port, **launch_options(files))
    finally:
        clock.stop()
        keeper.stop()


def take_submission(form: Mapping[str, object], settings: Settings, queue: JobQueue) -> JobRecord:
    """Check what the page's form sent, and queue it. Raises SubmissionRejected."""
    if settings.space is not None:
        raise SubmissionRejected(
            "this board cannot know who you are yet, so it takes no submissions; run your own with `make run`"
        )
    return queue.submit(check_submission(form, local_mode=True, resolve=lambda m, r: resolve_model(m, r, settings)))


def _settings() -> Settings:
    settings = read_settings()
    parser = argparse.ArgumentParser(prog="python app.py", description="The open-r1 leaderboard.")
    parser.add_argument("--store", default=settings.store, metavar="S", help="path of the board's store (%(default)s)")
    parser.add_argument("--port", type=int, default=settings.port, metavar="P", help="(%(default)s)")
    given = parser.parse_args()
    # The worker runs in the program's folder: a path that is meant from here must mean the same file there.
    store = given.store if "://" in given.store else str(Path(given.store).resolve())
    return replace(settings, store=store, port=given.port)


if __name__ == "__main__":
    main()
